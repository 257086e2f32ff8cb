import { Injectable } from '@nestjs/common';
import type { QuotaItem } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import { type MemberRemoval, MemberUsage } from '#libs/platform';
import { CatalogueIndex } from '../catalogue/catalogue-index.js';
import { holdingOf, removalObjection } from '../domain/member-removal.js';
import { QuotaRights } from '../quota-rights.js';
import { QuotaLedgers } from '../writer/quota-ledgers.js';

/** What the ledger of this process says of a member who is to leave. */
@Injectable()
export class QuotaMemberUsage extends MemberUsage {
  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly rights: QuotaRights,
    private readonly catalogue: CatalogueIndex,
  ) {
    super();
  }

  override async objectionTo(projectId: string, userId: string, removal: MemberRemoval): Promise<Refusal | null> {
    const { objection, holding } = await this.ledgers.look(projectId, (state) => ({
      objection: removalObjection(state, this.catalogue.now, { userId, ...removal }),
      holding: holdingOf(state, userId),
    }));
    if (objection !== null || removal.disposition !== 'transfer' || removal.to === null || holding.length === 0)
      return objection;
    return this.cannotTake(projectId, removal.to, holding);
  }

  /** Nobody takes over what it could not have asked for itself. */
  private async cannotTake(projectId: string, to: string, items: readonly QuotaItem[]): Promise<Refusal | null> {
    const services = [...new Set(items.map(({ service }) => service))];
    const { member, services: granted } = await this.rights.standing(projectId, to, services);
    // Whether the receiver is an active member, tenancy decides on the stream itself.
    if (member !== 'active' && member !== 'tenant-suspended') return null;
    const missing = granted === 'all' ? undefined : services.find((service) => !granted.has(service));
    if (missing === undefined) return null;
    return new Refusal('SERVICE_NOT_GRANTED', `${to} has no access to the service ${missing}, which is in use.`);
  }
}

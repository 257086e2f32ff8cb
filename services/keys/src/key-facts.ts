import { Inject, Injectable } from '@nestjs/common';
import type { Pool } from 'pg';
import { type KeyOwner, type KeyOwnerType, type MemberRole, namesService } from '#libs/contracts';
import { type Clock, HeadUnreached, IndexFollower, Refusal } from '#libs/eventsourcing';
import {
  AccessIndex,
  AcknowledgedPositions,
  CLOCK,
  memberRoleAtMost,
  POOL,
  type Principal,
  READ_WAIT_MS_MAX,
  ReadModels,
  roleCanUse,
} from '#libs/platform';
import type { NewKeyFacts } from './domain/commands.js';
import type { CallerBounds } from './domain/delegation.js';
import { effectivePolicy, type EffectiveKeyPolicy, type KeyCounts } from './domain/key-policy.js';
import { KEY_LIST } from './projections/key-list.projection.js';

/** Where a key stands; a principal's own key has no project, that of a principal of the platform no tenant either. */
export interface KeyPlaceIds {
  readonly tenantId: string | null;
  readonly projectId: string | null;
}

export interface OwnerWish {
  readonly type: KeyOwnerType;
  readonly id: string;
  /** For a project-owned key: in which role it acts. */
  readonly role?: MemberRole | undefined;
}

type OwnerFacts = Pick<NewKeyFacts, 'place' | 'owner'>;

const uncounted: KeyCounts = { owner: 0, project: 0 };

/** The bounds of the key that the caller came with; a person without a key has none. */
export const boundsOf = ({ key }: Principal): CallerBounds | null => key;

/** What commands need to know of other streams, from this process's index and from the read model. */
@Injectable()
export class KeyFacts {
  private readonly counting = new Map<string, Promise<unknown>>();

  constructor(
    private readonly access: AccessIndex,
    @Inject(IndexFollower) private readonly follower: Pick<IndexFollower, 'reachHead'>,
    private readonly readModels: ReadModels,
    private readonly acknowledged: AcknowledgedPositions,
    @Inject(POOL) private readonly pool: Pick<Pool, 'query'>,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  policyOf({ tenantId, projectId }: KeyPlaceIds): EffectiveKeyPolicy {
    if (projectId === null)
      return effectivePolicy(tenantId === null ? null : (this.access.tenant(tenantId)?.policy ?? null));
    const { tenant, project } = this.access.keyPoliciesOf(projectId);
    return effectivePolicy(tenant, project);
  }

  /** The owner with the role of today. What would refuse is looked at again at the head, so nobody is refused for lag. */
  async ownerIn(place: KeyPlaceIds, wish: OwnerWish, principal: Principal): Promise<OwnerFacts> {
    const role = this.roleWished(place, wish, principal);
    const facts = this.look(place, { type: wish.type, id: wish.id, role });
    if (facts.owner !== null) return facts;
    await this.reachHead('Whether the owner is active cannot be told now.');
    return this.look(place, { type: wish.type, id: wish.id, role });
  }

  /** The scopes that the owner's role of today can do nothing with. */
  scopesBeyond(owner: KeyOwner | null, scopes: readonly string[] | null): string[] {
    return owner === null ? [] : (scopes ?? []).filter((scope) => !roleCanUse(owner.role, scope));
  }

  /** The services named by the scopes that the owner has no access to; a refusal for one of them is given at the head. */
  async servicesWithheld(
    { projectId }: KeyPlaceIds,
    owner: KeyOwner | null,
    scopes: readonly string[] | null,
  ): Promise<string[]> {
    if (owner === null || scopes === null || scopes.length === 0) return [];
    const look = (): string[] =>
      this.access
        .servicesWithheld(owner, projectId)
        .filter((service) => scopes.some((scope) => namesService(scope, service)));
    if (look().length > 0) await this.reachHead('Whether the owner has access to the service cannot be told now.');
    return look();
  }

  roleNow(owner: KeyOwner, { tenantId, projectId }: KeyPlaceIds): KeyOwner {
    const state = this.access.ownerState(owner, projectId, tenantId);
    return state.active ? { ...owner, role: state.role } : owner;
  }

  /**
   * Counts the keys beside the one in question and does the work before anyone else in this process counts there: a
   * limit is overshot by what is in flight in other processes only. Without a limit nothing is counted and nobody waits.
   */
  async counted<Result>(
    place: KeyPlaceIds,
    policy: EffectiveKeyPolicy,
    owner: Pick<KeyOwner, 'type' | 'id'> | null,
    keyId: string,
    work: (counts: KeyCounts) => Promise<Result>,
  ): Promise<Result> {
    if (owner === null || (policy.maxKeysPerOwner === null && policy.maxKeysPerProject === null))
      return work(uncounted);
    const queue = place.projectId ?? `${owner.type}:${owner.id}`;
    const before = this.counting.get(queue) ?? Promise.resolve();
    const done = before.catch(() => undefined).then(async () => work(await this.count(place, owner, keyId)));
    this.counting.set(queue, done);
    try {
      return await done;
    } finally {
      if (this.counting.get(queue) === done) this.counting.delete(queue);
    }
  }

  private async count(
    { tenantId, projectId }: KeyPlaceIds,
    owner: Pick<KeyOwner, 'type' | 'id'>,
    keyId: string,
  ): Promise<KeyCounts> {
    const position = this.acknowledged.of(tenantId);
    if (position !== undefined && !(await this.readModels.reach(KEY_LIST, position, READ_WAIT_MS_MAX)))
      throw new Refusal('PROJECTION_LAG', 'The keys that the policy limits cannot be counted yet.', {
        retryAfterSeconds: 1,
      });
    const { rows } = await this.pool.query<{ owner: number; project: number }>(
      `select count(*)::int as project,
         count(*) filter (where owner_type = $2 and owner_id = $3)::int as owner
       from keys.key_list
       where ${projectId === null ? 'project_id is null and owner_id = $1' : 'project_id = $1'}
         and not revoked and expires_at > $4 and key_id <> $5`,
      [projectId ?? owner.id, owner.type, owner.id, this.clock.now(), keyId],
    );
    return rows[0] ?? uncounted;
  }

  private async reachHead(unreached: string): Promise<void> {
    try {
      await this.follower.reachHead();
    } catch (error) {
      if (!(error instanceof HeadUnreached)) throw error;
      throw new Refusal('STORE_UNAVAILABLE', unreached, { retryAfterSeconds: 1 });
    }
  }

  private roleWished({ tenantId, projectId }: KeyPlaceIds, wish: OwnerWish, principal: Principal): MemberRole {
    const role = wish.role ?? 'tenant_user';
    if (wish.type !== 'project') return role;
    const most = projectId === null || tenantId === null ? null : memberRoleAtMost(principal, tenantId, projectId);
    if (role === 'tenant_admin' && most !== 'tenant_admin')
      throw new Refusal('FORBIDDEN', 'A project-owned key acts at most in its creator’s role.');
    return role;
  }

  private look({ tenantId, projectId }: KeyPlaceIds, owner: KeyOwner): OwnerFacts {
    const state = this.access.ownerState(owner, projectId, tenantId);
    if (state.active) return { place: 'open', owner: { ...owner, role: state.role } };
    if (state.why === 'project-closed') return { place: 'projectClosed', owner: null };
    return { place: state.why === 'tenant-suspended' ? 'tenantSuspended' : 'open', owner: null };
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { HeadUnreached, IndexFollower, Refusal } from '#libs/eventsourcing';
import { AccessIndex, Gatekeeper, type RequestContext, Targets, type VisibleScope } from '#libs/platform';
import { CatalogueIndex } from './catalogue/catalogue-index.js';
import { resourceOf } from './domain/catalogue.js';
import type { LimitWish, MemberStanding } from './domain/commands.js';

type Caller = Pick<RequestContext, 'principal'>;

interface Name {
  readonly service: string;
  readonly resource: string;
}

/** Of whom a list of a project may show something: of everybody, or of the caller alone (null: of nobody). */
export type Audience = { readonly kind: 'all' } | { readonly kind: 'own'; readonly userId: string | null };

/** The guard has found some rule that reaches the project; which of the caller's rules do is told here. */
export function audienceOf(visible: readonly VisibleScope[], tenantId: string | null, projectId: string): Audience {
  let userId: string | null = null;
  for (const scope of visible)
    switch (scope.kind) {
      case 'all':
        return { kind: 'all' };
      case 'tenant':
        if (scope.tenantId === tenantId) return { kind: 'all' };
        break;
      case 'project':
        if (scope.projectId === projectId) return { kind: 'all' };
        break;
      case 'own':
        if (scope.projectId === projectId && scope.ownerType === 'user') userId = scope.ownerId;
    }
  return { kind: 'own', userId };
}

export const isSeenBy = (audience: Audience, userId: string): boolean =>
  audience.kind === 'all' || audience.userId === userId;

/** What tenancy and the policy table say about a command, before the ledger decides it. */
@Injectable()
export class QuotaRights {
  constructor(
    private readonly access: AccessIndex,
    private readonly catalogue: CatalogueIndex,
    private readonly gatekeeper: Gatekeeper,
    private readonly targets: Targets,
    @Inject(IndexFollower) private readonly follower: Pick<IndexFollower, 'reachHead'>,
  ) {}

  async mayWriteFor(context: Caller, projectId: string, userId: string): Promise<void> {
    await this.gatekeeper.authorize(context, 'reservations:write', () => this.targets.member(projectId, userId));
  }

  /** True if memory permits it; what it does not is told by `mayWriteFor`. */
  mayWriteForNow(context: Caller, projectId: string, userId: string): boolean {
    return this.gatekeeper.permitsNow(context, 'reservations:write', this.targets.member(projectId, userId));
  }

  async mayReadOf(context: RequestContext, projectId: string, userId: string): Promise<void> {
    await this.gatekeeper.authorize(context, 'reservations:read', () => this.targets.member(projectId, userId));
  }

  audience({ access: { visible } }: RequestContext, projectId: string): Audience {
    return audienceOf(visible, this.access.project(projectId)?.tenantId ?? null, projectId);
  }

  /** What was used is read by whoever may read the quota: of a member, or (null) of the whole project. */
  async mayReadUsage(context: RequestContext, projectId: string, userId: string | null): Promise<void> {
    await this.gatekeeper.authorize(context, 'quotas:read', () =>
      userId === null ? this.targets.project(projectId) : this.targets.member(projectId, userId),
    );
  }

  /** To count what is so, whatever the limits are: the right of those who report usage. */
  async mayForce(context: Caller, projectId: string): Promise<void> {
    await this.gatekeeper.authorize(context, 'reservations:reconcile', () => this.targets.project(projectId));
  }

  async maySet(context: Caller, projectId: string, wishes: readonly Pick<LimitWish, 'scope'>[]): Promise<void> {
    if (wishes.some(({ scope }) => scope.type === 'project'))
      await this.gatekeeper.authorize(context, 'quotas:write', () => this.targets.project(projectId));
    if (wishes.some(({ scope }) => scope.type !== 'project'))
      await this.gatekeeper.authorize(context, 'quotas:write-member', () => this.targets.project(projectId));
  }

  /** Refuses to give anything in a project that is closed or whose tenant is suspended. */
  async projectIsActive(projectId: string): Promise<void> {
    const reason = (): Refusal | undefined => {
      const project = this.access.project(projectId);
      if (project === undefined) return new Refusal('NOT_FOUND', 'There is no such project.');
      if (project.closed) return new Refusal('PROJECT_CLOSED', 'The project is closed.');
      if (this.access.tenant(project.tenantId)?.state === 'suspended')
        return new Refusal('TENANT_IS_SUSPENDED', 'The tenant is suspended.');
      return undefined;
    };
    if (reason() === undefined) return;
    await this.reachHead();
    const refusal = reason();
    if (refusal !== undefined) throw refusal;
  }

  /** As tenancy knows the person; what would be refused is looked at again at the head. */
  async standing(projectId: string, userId: string, services: readonly string[]): Promise<MemberStanding> {
    const now = this.standingNow(projectId, userId);
    const isGood =
      now.member === 'active' &&
      (now.services === 'all' || services.every((service) => (now.services as ReadonlySet<string>).has(service)));
    if (isGood) return now;
    await this.reachHead();
    return this.standingNow(projectId, userId);
  }

  /** A limit is set for a member only; one who left has none. */
  async isMember(projectId: string, userId: string): Promise<void> {
    if (this.isMemberNow(projectId, userId)) return;
    await this.reachHead();
    const member = this.access.member(projectId, userId);
    if (member === undefined) throw new Refusal('MEMBER_UNKNOWN', 'The user is no member of the project.');
    if (member.removed) throw new Refusal('MEMBER_REMOVED', 'The member has left the project.');
  }

  async standsIn(projectId: string, userId: string): Promise<boolean> {
    if (!this.isMemberNow(projectId, userId)) await this.reachHead();
    return this.isMemberNow(projectId, userId);
  }

  /** A resource that another process has just added is not refused for lag. */
  async catalogueHas(names: readonly Name[]): Promise<void> {
    if (names.some((name) => resourceOf(this.catalogue.now, name) === undefined)) await this.reachHead();
  }

  private isMemberNow(projectId: string, userId: string): boolean {
    return this.access.member(projectId, userId)?.removed === false;
  }

  private standingNow(projectId: string, userId: string): MemberStanding {
    const member = this.access.member(projectId, userId);
    if (member === undefined) return { member: 'unknown', services: 'all' };
    if (member.removed) return { member: 'removed', services: 'all' };
    const services = new Set(member.services);
    const project = this.access.project(projectId);
    if (project?.closed === true) return { member: 'project-closed', services };
    const isTenantSuspended = this.access.tenant(project?.tenantId ?? '')?.state === 'suspended';
    return { member: isTenantSuspended ? 'tenant-suspended' : member.suspended ? 'suspended' : 'active', services };
  }

  private async reachHead(): Promise<void> {
    try {
      await this.follower.reachHead();
    } catch (error) {
      if (!(error instanceof HeadUnreached)) throw error;
      throw new Refusal('STORE_UNAVAILABLE', 'Whether this is to be refused cannot be told now.', {
        retryAfterSeconds: 1,
      });
    }
  }
}

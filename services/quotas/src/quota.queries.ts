import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { QuotaScope } from '#libs/contracts';
import { type Position, Refusal } from '#libs/eventsourcing';
import { type Page, pageOf, placeOfCursor, type RequestContext } from '#libs/platform';
import { CatalogueIndex } from './catalogue-index.js';
import { allocationAnswer, reservationAnswer } from './domain/reservations.js';
import { type CatalogueResource, knownResource, resourcesOf } from './domain/catalogue.js';
import { limitsOf } from './domain/evolve.js';
import { isAbove, limitOfScope, quotaRow } from './domain/limits.js';
import type { Entry, LiveAllocation, ProjectQuota } from './domain/project-quota.js';
import { ProjectMembers } from './project-members.js';
import { QuotaRights } from './quota-rights.js';
import type { AllocationsQuery, ReservationsQuery } from './quotas.dto.js';
import {
  allocationView,
  type AllocationView,
  type LimitView,
  type OwnQuotasView,
  type ProjectQuotasView,
  type QuotaPolicyView,
  reservationView,
  type ReservationView,
  rowView,
} from './quotas.views.js';
import { QuotaLedgers } from './writer/quota-ledgers.js';

export class GetQuotasQuery extends Query<ProjectQuotasView> {
  constructor(
    readonly projectId: string,
    readonly service: string | undefined,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class GetOwnQuotasQuery extends Query<OwnQuotasView> {
  constructor(
    readonly projectId: string,
    readonly service: string | undefined,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class GetLimitQuery extends Query<{ readonly view: LimitView; readonly position: Position | null }> {
  constructor(
    readonly projectId: string,
    readonly scope: QuotaScope,
    readonly name: { readonly service: string; readonly resource: string },
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class GetQuotaPolicyQuery extends Query<{
  readonly view: QuotaPolicyView;
  readonly revision: number;
  readonly position: Position | null;
}> {
  constructor(
    readonly projectId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class ListReservationsQuery extends Query<Page<ReservationView>> {
  constructor(
    readonly projectId: string,
    readonly query: ReservationsQuery,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class GetReservationQuery extends Query<ReservationView> {
  constructor(
    readonly projectId: string,
    readonly id: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class ListAllocationsQuery extends Query<Page<AllocationView>> {
  constructor(
    readonly projectId: string,
    readonly query: AllocationsQuery,
    readonly context: RequestContext,
  ) {
    super();
  }
}

/** Resources by service, both in the order of their names. */
function byService(resources: readonly CatalogueResource[]): [service: string, resources: CatalogueResource[]][] {
  const services = new Map<string, CatalogueResource[]>();
  for (const resource of resources) {
    const known = services.get(resource.service);
    if (known === undefined) services.set(resource.service, [resource]);
    else known.push(resource);
  }
  return [...services];
}

/** Those who left and still use or reserve something are on the page too, else its rows would not add up. */
const orphans = (state: ProjectQuota, members: ReadonlySet<string>): string[] =>
  [...state.members.values()]
    .filter(({ userId, open, live }) => userId !== null && open + live > 0 && !members.has(userId))
    .flatMap(({ userId }) => userId ?? [])
    .sort();

@QueryHandler(GetQuotasQuery)
export class GetQuotasHandler implements IQueryHandler<GetQuotasQuery> {
  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly catalogue: CatalogueIndex,
    private readonly members: ProjectMembers,
  ) {}

  async execute({ projectId, service, context }: GetQuotasQuery): Promise<ProjectQuotasView> {
    const members = await this.members.of(projectId);
    const catalogue = this.catalogue.now;
    const resources = byService(
      resourcesOf(catalogue).filter((one) => service === undefined || one.service === service),
    );
    return this.ledgers.look(
      projectId,
      (state, position) => {
        const rows = (userId: string | null, ofService: CatalogueResource[]) =>
          ofService.map((resource) => rowView(quotaRow(state, catalogue, userId, resource)));
        const left = orphans(state, new Set(members.map(({ userId }) => userId)));
        const people = [...members, ...left.map((userId) => ({ userId, role: null, displayName: null }))];
        const services = resources.map(([name, ofService]) => ({
          service: name,
          project: rows(null, ofService),
          members: people.map(({ userId, displayName, role }) => ({
            userId,
            displayName,
            role,
            resources: rows(userId, ofService),
          })),
        }));
        return { projectId, position, services };
      },
      context.minPosition,
    );
  }
}

@QueryHandler(GetOwnQuotasQuery)
export class GetOwnQuotasHandler implements IQueryHandler<GetOwnQuotasQuery> {
  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly catalogue: CatalogueIndex,
    private readonly rights: QuotaRights,
  ) {}

  async execute({ projectId, service, context }: GetOwnQuotasQuery): Promise<OwnQuotasView> {
    const userId = context.principal.id;
    if (context.principal.type !== 'user' || !(await this.rights.standsIn(projectId, userId)))
      throw new Refusal('NOT_FOUND', 'The caller is no member of this project.');
    const catalogue = this.catalogue.now;
    const resources = byService(
      resourcesOf(catalogue).filter((one) => service === undefined || one.service === service),
    );
    return this.ledgers.look(
      projectId,
      (state, position) => ({
        projectId,
        userId,
        position,
        services: resources.map(([name, ofService]) => ({
          service: name,
          resources: ofService.map((resource) => rowView(quotaRow(state, catalogue, userId, resource))),
        })),
      }),
      context.minPosition,
    );
  }
}

@QueryHandler(GetLimitQuery)
export class GetLimitHandler implements IQueryHandler<GetLimitQuery> {
  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly catalogue: CatalogueIndex,
    private readonly rights: QuotaRights,
  ) {}

  async execute({ projectId, scope, name, context }: GetLimitQuery) {
    await this.rights.catalogueHas([name]);
    const catalogue = this.catalogue.now;
    const { service, resource, unit } = knownResource(catalogue, name);
    return this.ledgers.look(
      projectId,
      (state, position) => {
        const counted = state.resource(service, resource);
        // A member is not named in the ledger by being looked at.
        const isNamed = scope.type !== 'member' || state.members.has(scope.userId ?? '');
        const standing = isNamed ? limitsOf(state, scope).get(counted) : undefined;
        const { limit: effective, source } = limitOfScope(state, catalogue, scope, counted);
        const holder = scope.type === 'project' ? state.project : state.members.get(scope.userId ?? '');
        const { used, reserved } = holder?.counters[counted.index] ?? { used: 0, reserved: 0 };
        const view: LimitView = {
          scope,
          ...{ service, resource, unit },
          limit: standing?.limit ?? 'inherit',
          effective,
          source,
          soft: standing?.soft ?? null,
          belowUsage: isAbove(used + reserved, effective),
          revision: standing?.revision ?? 0,
        };
        return { view, position };
      },
      context.minPosition,
    );
  }
}

@QueryHandler(GetQuotaPolicyQuery)
export class GetQuotaPolicyHandler implements IQueryHandler<GetQuotaPolicyQuery> {
  constructor(private readonly ledgers: QuotaLedgers) {}

  execute({ projectId, context }: GetQuotaPolicyQuery) {
    return this.ledgers.look(
      projectId,
      ({ overcommit, frozen, status, policyRevision: revision }, position) => ({
        view: { overcommit, frozen, closed: status === 'closed' },
        revision,
        position,
      }),
      context.minPosition,
    );
  }
}

/** Whether the caller may see what this user reserves or uses in the project; the guard has said which rules hold. */
function shows({ access }: RequestContext, projectId: string, userId: string): boolean {
  return access.visible.some((scope) => {
    if (scope.kind === 'own')
      return scope.projectId === projectId && scope.ownerType === 'user' && scope.ownerId === userId;
    // The guard has found that a rule of the tenant or the platform reaches this project.
    return scope.kind !== 'project' || scope.projectId === projectId;
  });
}

const byId = (a: { readonly id: string }, b: { readonly id: string }): number => (a.id < b.id ? -1 : 1);

interface Listed {
  readonly id: string;
  readonly userId: string;
}

function paged<View extends Listed>(
  name: string,
  projectId: string,
  query: ReservationsQuery | AllocationsQuery,
  context: RequestContext,
  all: () => View[],
): Page<View> {
  const { limit, cursor, ...filters } = query;
  const { type, id } = context.principal;
  const identity = [name, projectId, { ...filters }, type, id];
  const place = placeOfCursor(identity, cursor);
  const rows = all()
    .filter((view) => query.userId === undefined || view.userId === query.userId)
    .filter((view) => shows(context, projectId, view.userId))
    .filter((view) => place === undefined || view.id > place.id)
    .sort(byId);
  return pageOf(rows.slice(0, limit + 1), limit, identity, (last) => ({ values: [], id: last.id }));
}

const reservationOf = (entry: Entry | undefined): ReservationView | null => {
  const answer = reservationAnswer(entry, false);
  return answer === null ? null : reservationView(answer);
};

@QueryHandler(ListReservationsQuery)
export class ListReservationsHandler implements IQueryHandler<ListReservationsQuery> {
  constructor(private readonly ledgers: QuotaLedgers) {}

  execute({ projectId, query, context }: ListReservationsQuery): Promise<Page<ReservationView>> {
    const status = query.status ?? 'open';
    return this.ledgers.look(
      projectId,
      (state) =>
        paged('reservations', projectId, query, context, () =>
          [...state.entries.values()].flatMap((entry) => {
            if (status === 'open' && entry.kind !== 'open') return [];
            const view = reservationOf(entry);
            return view?.status === status ? [view] : [];
          }),
        ),
      context.minPosition,
    );
  }
}

@QueryHandler(GetReservationQuery)
export class GetReservationHandler implements IQueryHandler<GetReservationQuery> {
  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly rights: QuotaRights,
  ) {}

  async execute({ projectId, id, context }: GetReservationQuery): Promise<ReservationView> {
    const view = await this.ledgers.look(
      projectId,
      (state) => reservationOf(state.entries.get(id)),
      context.minPosition,
    );
    if (view === null)
      throw new Refusal('RESERVATION_NOT_FOUND', 'There is no such reservation, or it is over for more than a day.');
    await this.rights.mayReadOf(context, projectId, view.userId);
    return view;
  }
}

@QueryHandler(ListAllocationsQuery)
export class ListAllocationsHandler implements IQueryHandler<ListAllocationsQuery> {
  constructor(private readonly ledgers: QuotaLedgers) {}

  execute({ projectId, query, context }: ListAllocationsQuery): Promise<Page<AllocationView>> {
    const view = (entry: LiveAllocation): AllocationView => allocationView(allocationAnswer(entry, 'live', false));
    return this.ledgers.look(
      projectId,
      ({ entries, liveByRef }) =>
        paged('allocations', projectId, query, context, () => {
          const { resourceRef } = query;
          const found =
            resourceRef === undefined ? [...entries.values()] : [entries.get(liveByRef.get(resourceRef) ?? '')];
          return found.flatMap((entry) => (entry?.kind === 'live' ? [view(entry)] : []));
        }),
      context.minPosition,
    );
  }
}

export const quotaQueryHandlers = [
  GetQuotasHandler,
  GetOwnQuotasHandler,
  GetLimitHandler,
  GetQuotaPolicyHandler,
  ListReservationsHandler,
  GetReservationHandler,
  ListAllocationsHandler,
];

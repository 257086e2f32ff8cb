import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Pool } from 'pg';
import type { QuotaScope } from '#libs/contracts';
import { type Clock, type Position, Refusal } from '#libs/eventsourcing';
import {
  CLOCK,
  type Page,
  PAGE_LIMIT_DEFAULT,
  pageOf,
  placeOfCursor,
  POOL,
  ReadGate,
  type RequestContext,
} from '#libs/platform';
import { CatalogueIndex } from './catalogue/catalogue-index.js';
import { allocationAnswer, reservationAnswer } from './domain/reservations.js';
import { type CatalogueResource, knownResource, resourcesOf } from './domain/catalogue.js';
import { limitsOf } from './domain/evolve.js';
import { isAbove, limitOfScope, quotaRow } from './domain/limits.js';
import type { Entry, LiveAllocation, ProjectQuota } from './domain/project-quota.js';
import { type Audience, isSeenBy, QuotaRights } from './quota-rights.js';
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
import { readQuotaPage } from './read-models/quota-page.js';
import { QUOTAS } from './read-models/quotas.projection.js';
import { readReservations } from './read-models/reservation-list.js';
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

/** From the read model, as all that shows more than one person's row: only there do the members have their names. */
@QueryHandler(GetQuotasQuery)
export class GetQuotasHandler implements IQueryHandler<GetQuotasQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly gate: ReadGate,
    private readonly catalogue: CatalogueIndex,
  ) {}

  async execute({ projectId, service, context }: GetQuotasQuery): Promise<ProjectQuotasView> {
    await this.gate.reach(context, QUOTAS);
    return readQuotaPage(this.pool, { projectId, service, catalogue: this.catalogue.now, at: this.clock.now() });
  }
}

/**
 * One person's rows and one limit are answered from the ledger itself: whoever has just reserved or is about to send an
 * If-Match sees what the next command will be decided by, and nothing is waited for.
 */
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

const byId = (a: { readonly id: string }, b: { readonly id: string }): number => (a.id < b.id ? -1 : 1);

/** The first so many by id, without putting them all in order: there may be a million, and the project waits. */
export function firstById<Thing extends { readonly id: string }>(things: Iterable<Thing>, size: number): Thing[] {
  let first: Thing[] = [];
  let last: string | undefined;
  for (const thing of things) {
    if (last !== undefined && thing.id >= last) continue;
    first.push(thing);
    if (first.length < 2 * size) continue;
    first = first.sort(byId).slice(0, size);
    last = first.at(-1)?.id;
  }
  return first.sort(byId).slice(0, size);
}

function pageOfAllocations(
  { projectId, query, context }: ListAllocationsQuery,
  audience: Audience,
  { entries, liveByRef }: Pick<ProjectQuota, 'entries' | 'liveByRef'>,
): Page<AllocationView> {
  const { limit, cursor, ...filters } = query;
  const { userId, resourceRef } = query;
  const { type, id } = context.principal;
  const identity = ['allocations', projectId, { ...filters }, type, id];
  const place = placeOfCursor(identity, cursor);
  const isWanted = (entry: Entry | undefined): entry is LiveAllocation =>
    entry?.kind === 'live' &&
    (userId === undefined || entry.userId === userId) &&
    isSeenBy(audience, entry.userId) &&
    (place === undefined || entry.id > place.id);
  function* wanted(): Generator<LiveAllocation, void, undefined> {
    const found = resourceRef === undefined ? entries.values() : [entries.get(liveByRef.get(resourceRef) ?? '')];
    for (const entry of found) if (isWanted(entry)) yield entry;
  }
  const rows = firstById(wanted(), limit + 1).map((entry) => allocationView(allocationAnswer(entry, 'live', false)));
  return pageOf(rows, limit, identity, (last) => ({ values: [], id: last.id }));
}

const reservationOf = (entry: Entry | undefined): ReservationView | null => {
  const answer = reservationAnswer(entry, false);
  return answer === null ? null : reservationView(answer);
};

@QueryHandler(ListReservationsQuery)
export class ListReservationsHandler implements IQueryHandler<ListReservationsQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly gate: ReadGate,
    private readonly rights: QuotaRights,
  ) {}

  async execute({ projectId, query, context }: ListReservationsQuery): Promise<Page<ReservationView>> {
    await this.gate.reach(context, QUOTAS);
    const { limit = PAGE_LIMIT_DEFAULT, cursor, ...filter } = query;
    const audience = this.rights.audience(context, projectId);
    const at = this.clock.now();
    return readReservations(this.pool, {
      projectId,
      audience,
      principal: context.principal,
      filter,
      limit,
      cursor,
      at,
    });
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
  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly rights: QuotaRights,
  ) {}

  execute(asked: ListAllocationsQuery): Promise<Page<AllocationView>> {
    const { projectId, context } = asked;
    return this.ledgers.look(
      projectId,
      (state) => pageOfAllocations(asked, this.rights.audience(context, projectId), state),
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

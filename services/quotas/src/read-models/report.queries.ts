import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Pool } from 'pg';
import { asRefusal, type Clock, type Ledger } from '#libs/eventsourcing';
import { CLOCK, LEDGER, type Page, PAGE_LIMIT_DEFAULT, POOL, ReadGate, type RequestContext } from '#libs/platform';
import { CatalogueIndex } from '../catalogue/catalogue-index.js';
import { resourceOf, resourcesOf } from '../domain/catalogue.js';
import { QuotaRights } from '../quota-rights.js';
import { readLimitChanges } from './limit-changes.js';
import { QUOTAS } from './quotas.projection.js';
import type { LimitChangesQuery, LimitChangeView, UsageHistoryQuery, UsageHistoryView } from './reports.dto.js';
import { historyRange, readUsageHistory, resourcesNamed } from './usage-history.js';

export class GetUsageHistoryQuery extends Query<UsageHistoryView> {
  constructor(
    readonly projectId: string,
    readonly query: Omit<UsageHistoryQuery, 'format'>,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class ListLimitChangesQuery extends Query<Page<LimitChangeView>> {
  constructor(
    readonly projectId: string,
    readonly query: LimitChangesQuery,
    readonly context: RequestContext,
  ) {
    super();
  }
}

@QueryHandler(GetUsageHistoryQuery)
export class GetUsageHistoryHandler implements IQueryHandler<GetUsageHistoryQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly gate: ReadGate,
    private readonly catalogue: CatalogueIndex,
    private readonly rights: QuotaRights,
  ) {}

  async execute({ projectId, query, context }: GetUsageHistoryQuery): Promise<UsageHistoryView> {
    const { service, resource, userId = null, step = 'hour', from, to } = query;
    await this.rights.mayReadUsage(context, projectId, userId);
    if (service !== undefined && resource !== undefined) await this.rights.catalogueHas([{ service, resource }]);
    const resources = resourcesNamed(resourcesOf(this.catalogue.now), { service, resource });
    const range = historyRange({ step, from, to }, resources.length, this.clock.nowMs());
    await this.gate.reach(context, QUOTAS);
    const series = await readUsageHistory(this.pool, { projectId, userId }, resources, range);
    const [first, last] = [range.fromMs, range.toMs].map((ms) => new Date(ms).toISOString()) as [string, string];
    return { projectId, userId, step, from: first, to: last, series };
  }
}

@QueryHandler(ListLimitChangesQuery)
export class ListLimitChangesHandler implements IQueryHandler<ListLimitChangesQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly gate: ReadGate,
    private readonly catalogue: CatalogueIndex,
    private readonly rights: QuotaRights,
  ) {}

  async execute({ projectId, query, context }: ListLimitChangesQuery): Promise<Page<LimitChangeView>> {
    await this.gate.reach(context, QUOTAS);
    const { limit = PAGE_LIMIT_DEFAULT, cursor, userId, scope, service, resource, from, to } = query;
    try {
      return await readLimitChanges(this.pool, this.ledger, {
        filter: { userId, scope, service, resource, from, to },
        ...{ projectId, limit, cursor },
        audience: this.rights.audience(context, projectId),
        principal: context.principal,
        unitOf: (service, resource) => resourceOf(this.catalogue.now, { service, resource })?.unit ?? null,
      });
    } catch (error) {
      throw asRefusal(error);
    }
  }
}

export const reportQueryHandlers = [GetUsageHistoryHandler, ListLimitChangesHandler];

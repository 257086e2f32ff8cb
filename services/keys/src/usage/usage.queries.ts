import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Pool } from 'pg';
import { type Clock, Refusal } from '#libs/eventsourcing';
import { CLOCK, Gatekeeper, KeyDirectory, POOL, type RequestContext, Targets } from '#libs/platform';
import { LastUses } from './last-uses.js';
import { type UsageRange, usageRange, type UsageStep } from './usage-range.js';
import { keyBuckets, keyServices, placeBuckets, topKeys } from './usage-reports.js';
import type {
  AllKeyUsageQuery,
  AllKeyUsageView,
  KeyUsageQuery,
  KeyUsageView,
  ProjectKeyUsageQuery,
  ProjectKeyUsageView,
} from './usage.dto.js';

const TOP_DEFAULT = 10;

export class GetKeyUsageQuery extends Query<KeyUsageView> {
  constructor(
    readonly keyId: string,
    readonly query: Omit<KeyUsageQuery, 'format'>,
  ) {
    super();
  }
}

export class GetProjectKeyUsageQuery extends Query<ProjectKeyUsageView> {
  constructor(
    readonly projectId: string,
    readonly query: Omit<ProjectKeyUsageQuery, 'format'>,
  ) {
    super();
  }
}

export class GetAllKeyUsageQuery extends Query<AllKeyUsageView> {
  constructor(
    readonly query: Omit<AllKeyUsageQuery, 'format'>,
    readonly context: RequestContext,
  ) {
    super();
  }
}

const rangeOf = <Step extends UsageStep>(
  step: Step,
  { from, to }: { readonly from?: string; readonly to?: string },
  clock: Clock,
): { range: UsageRange; shown: { step: Step; from: string; to: string } } => {
  const range = usageRange({ step, from, to }, clock.nowMs());
  const [first, last] = [range.fromMs, range.toMs].map((ms) => new Date(ms).toISOString()) as [string, string];
  return { range, shown: { step, from: first, to: last } };
};

@QueryHandler(GetKeyUsageQuery)
export class GetKeyUsageHandler implements IQueryHandler<GetKeyUsageQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly directory: KeyDirectory,
    private readonly lastUses: LastUses,
  ) {}

  async execute({ keyId, query }: GetKeyUsageQuery): Promise<KeyUsageView> {
    if (this.directory.find(keyId)?.deleted !== false) throw new Refusal('NOT_FOUND', 'There is no such key.');
    const { range, shown } = rangeOf(query.step ?? 'hour', query, this.clock);
    const [buckets, services, lastUses] = await Promise.all([
      keyBuckets(this.pool, keyId, range),
      keyServices(this.pool, keyId, range),
      this.lastUses.of([keyId]),
    ]);
    return { keyId, ...shown, lastUsedAt: lastUses.get(keyId)?.at ?? null, buckets, services };
  }
}

@QueryHandler(GetProjectKeyUsageQuery)
export class GetProjectKeyUsageHandler implements IQueryHandler<GetProjectKeyUsageQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async execute({ projectId, query }: GetProjectKeyUsageQuery): Promise<ProjectKeyUsageView> {
    const { range, shown } = rangeOf(query.step ?? 'hour', query, this.clock);
    const [buckets, keys] = await Promise.all([
      placeBuckets(this.pool, { projectId }, range),
      topKeys(this.pool, projectId, range, query.top ?? TOP_DEFAULT),
    ]);
    return { projectId, ...shown, buckets, topKeys: keys };
  }
}

/** Of a tenant or the whole platform, for whoever may read all keys there. */
@QueryHandler(GetAllKeyUsageQuery)
export class GetAllKeyUsageHandler implements IQueryHandler<GetAllKeyUsageQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly gatekeeper: Gatekeeper,
    private readonly targets: Targets,
  ) {}

  async execute({ query, context }: GetAllKeyUsageQuery): Promise<AllKeyUsageView> {
    const { tenantId } = query;
    await this.gatekeeper.authorize(context, 'keys:read', () =>
      tenantId === undefined ? { tenantId: null, projectId: null } : this.targets.tenant(tenantId),
    );
    const { range, shown } = rangeOf(query.step ?? 'hour', query, this.clock);
    return { tenantId: tenantId ?? null, ...shown, buckets: await placeBuckets(this.pool, { tenantId }, range) };
  }
}

export const usageQueryHandlers = [GetKeyUsageHandler, GetProjectKeyUsageHandler, GetAllKeyUsageHandler];

import type { QuotaItem } from '#libs/contracts';
import { type CsvColumns, type Page, PAGE_LIMIT_MAX, validationRefusal } from '#libs/platform';
import type { ProjectQuotasView, ReservationView } from '../quotas.views.js';
import type { LimitChangeView, QuotaPageLine, UsageHistoryView, UsageSeriesView } from './reports.dto.js';

/** The reports as tables. What has no single value in a cell, such as items, is a text that a person can read. */

export const quotaPageColumns: CsvColumns<QuotaPageLine> = {
  service: ({ service }) => service,
  scope: ({ userId }) => (userId === null ? 'project' : 'member'),
  userId: ({ userId }) => userId,
  displayName: ({ displayName }) => displayName,
  role: ({ role }) => role,
  resource: ({ row }) => row.resource,
  unit: ({ row }) => row.unit,
  limit: ({ row }) => row.limit,
  soft: ({ row }) => row.soft,
  used: ({ row }) => row.used,
  reserved: ({ row }) => row.reserved,
  available: ({ row }) => row.available,
  source: ({ row }) => row.source,
  over: ({ row }) => row.over,
};

export const quotaPageLines = ({ services }: ProjectQuotasView): QuotaPageLine[] =>
  services.flatMap(({ service, project, members }) => [
    ...project.map((row) => ({ service, userId: null, displayName: null, role: null, row })),
    ...members.flatMap(({ userId, displayName, role, resources }) =>
      resources.map((row) => ({ service, userId, displayName, role, row })),
    ),
  ]);

const itemsText = (items: readonly QuotaItem[]): string =>
  items.map(({ service, resource, amount }) => `${service}/${resource}: ${amount}`).join('; ');

export const reservationColumns: CsvColumns<ReservationView> = {
  id: ({ id }) => id,
  status: ({ status }) => status,
  userId: ({ userId }) => userId,
  items: ({ items }) => itemsText(items),
  reservedAt: ({ reservedAt }) => reservedAt,
  expiresAt: ({ expiresAt }) => expiresAt,
  ttlSeconds: ({ ttlSeconds }) => ttlSeconds,
  mode: ({ mode }) => mode,
  resourceRef: ({ resourceRef }) => resourceRef,
  labels: ({ labels }) =>
    Object.entries(labels)
      .map(([name, value]) => `${name}=${value}`)
      .join('; '),
};

type HistoryLine = Pick<UsageHistoryView, 'projectId' | 'userId'> &
  Omit<UsageSeriesView, 'buckets'> & { readonly bucket: UsageSeriesView['buckets'][number] };

export const usageColumns: CsvColumns<HistoryLine> = {
  projectId: ({ projectId }) => projectId,
  userId: ({ userId }) => userId,
  service: ({ service }) => service,
  resource: ({ resource }) => resource,
  unit: ({ unit }) => unit,
  start: ({ bucket }) => bucket.start,
  end: ({ bucket }) => bucket.end,
  used: ({ bucket }) => bucket.used,
  reserved: ({ bucket }) => bucket.reserved,
  usedMax: ({ bucket }) => bucket.usedMax,
  reservedMax: ({ bucket }) => bucket.reservedMax,
  usedSeconds: ({ bucket }) => bucket.usedSeconds,
  reservedSeconds: ({ bucket }) => bucket.reservedSeconds,
};

export const usageLines = ({ projectId, userId, series }: UsageHistoryView): HistoryLine[] =>
  series.flatMap(({ buckets, ...named }) => buckets.map((bucket) => ({ projectId, userId, ...named, bucket })));

export const limitChangeColumns: CsvColumns<LimitChangeView> = {
  recordedAt: ({ recordedAt }) => recordedAt,
  kind: ({ kind }) => kind,
  scope: ({ scope }) => scope.type,
  userId: ({ scope }) => scope.userId,
  service: ({ service }) => service,
  resource: ({ resource }) => resource,
  unit: ({ unit }) => unit,
  before: ({ before }) => before,
  after: ({ after }) => after,
  soft: ({ soft }) => soft,
  effective: ({ effective }) => effective,
  belowUsage: ({ belowUsage }) => belowUsage,
  forced: ({ forced }) => forced,
  actorType: ({ actor }) => actor.type,
  actorId: ({ actor }) => actor.id,
  comment: ({ comment }) => comment,
  commentStatus: ({ commentStatus }) => commentStatus,
  revision: ({ revision }) => revision,
  position: ({ position }) => position,
  correlationId: ({ correlationId }) => correlationId,
};

/** Which page of a list: the first one with its usual size, unless told. */
export interface PageWish {
  readonly limit?: number;
  readonly cursor?: string;
}

/** CSV is all that a filter matches, so what belongs to pages is refused with it. */
export function holdToAll(query: PageWish): void {
  const ofPages = (['limit', 'cursor'] as const).filter((name) => query[name] !== undefined);
  if (ofPages.length > 0)
    throw validationRefusal(ofPages.map((name) => ({ location: `query.${name}`, message: 'is for JSON pages' })));
}

/** An answer ends somewhere, however fast a list grows. */
const PAGES_MAX = 5_000;

/** All rows of a list, page by page. */
export async function* allPages<Row>(
  read: (page: PageWish) => Promise<Page<Row>>,
): AsyncGenerator<readonly Row[], void, undefined> {
  let cursor: string | null = null;
  for (let pages = 0; pages < PAGES_MAX; pages += 1) {
    const { data, page }: Page<Row> = await read({ limit: PAGE_LIMIT_MAX, ...(cursor === null ? {} : { cursor }) });
    yield data;
    cursor = page.nextCursor;
    if (cursor === null) return;
  }
  throw new Error('The list is longer than an answer may be.');
}

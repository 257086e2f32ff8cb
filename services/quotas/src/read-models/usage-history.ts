import type { Pool } from 'pg';
import { Refusal } from '#libs/eventsourcing';
import { validationRefusal } from '#libs/platform';
import type { CatalogueResource } from '../domain/catalogue.js';
import { bucketsOf, HOUR_MS, type UsageHour } from './hourly-usage.js';
import { hourOf } from './quotas.projection.js';
import type { UsageSeriesView } from './reports.dto.js';

/** How many buckets one answer has at most, over all its resources. */
export const BUCKETS_MAX = 1_000;

export const STEP_MS = { hour: HOUR_MS, day: 24 * HOUR_MS } as const;
const STEPS_DEFAULT = { hour: 24, day: 30 } as const;
/** What lies behind cannot be written as RFC 3339, and PostgreSQL would not read it. */
const TIME_MS_MAX = Date.UTC(9999, 11, 31, 23);

export interface HistoryWish {
  readonly step: keyof typeof STEP_MS;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

export interface HistoryRange {
  readonly fromMs: number;
  readonly toMs: number;
  readonly stepMs: number;
  readonly nowMs: number;
}

/**
 * Whole buckets of UTC: the one that holds `from` is the first, the one before `to` or holding it the last. The last day by
 * the hour or the last 30 days, unless told. Refuses with VALIDATION what is no range or has too many buckets.
 */
export function historyRange({ step, from, to }: HistoryWish, resources: number, nowMs: number): HistoryRange {
  const stepMs = STEP_MS[step];
  const floor = (ms: number): number => ms - (ms % stepMs);
  const endMs = to === undefined ? nowMs : Date.parse(to);
  const toMs = Math.min(endMs === floor(endMs) ? endMs : floor(endMs) + stepMs, TIME_MS_MAX);
  const fromMs = from === undefined ? Math.max(0, toMs - STEPS_DEFAULT[step] * stepMs) : floor(Date.parse(from));
  if (fromMs >= toMs) throw validationRefusal([{ location: 'query.from', message: 'must be before query.to' }]);
  const buckets = Math.ceil((toMs - fromMs) / stepMs) * resources;
  if (buckets > BUCKETS_MAX)
    throw validationRefusal([
      {
        location: 'query.from',
        message: `asks for ${buckets} buckets over ${resources} resources, and one answer has at most ${BUCKETS_MAX}: ask for fewer resources, a shorter time or step=day`,
      },
    ]);
  return { fromMs, toMs, stepMs, nowMs };
}

/** The resources of the catalogue that a request names; all of them where it names none. */
export function resourcesNamed(
  all: readonly CatalogueResource[],
  { service, resource }: { readonly service?: string | undefined; readonly resource?: string | undefined },
): CatalogueResource[] {
  const found = all.filter(
    (one) => (service ?? one.service) === one.service && (resource ?? one.resource) === one.resource,
  );
  if (found.length > 0) return found;
  throw new Refusal('UNKNOWN_RESOURCE', `The catalogue has no resource ${service ?? '*'}/${resource ?? '*'}.`);
}

// The last hour before the range tells the level with which it begins.
const HOURS = `
  select h.*
  from json_to_recordset($3) as n (service text, resource text)
  cross join lateral (
    (select * from quotas.usage_hours b where b.project_id = $1 and b.user_id = $2
       and b.service = n.service and b.resource = n.resource and b.hour < $4 order by b.hour desc limit 1)
    union all
    (select * from quotas.usage_hours w where w.project_id = $1 and w.user_id = $2
       and w.service = n.service and w.resource = n.resource and w.hour >= $4 and w.hour < $5)
  ) h
  order by h.hour`;

/** `userId` null is the project. */
export async function readUsageHistory(
  pool: Pick<Pool, 'query'>,
  place: { readonly projectId: string; readonly userId: string | null },
  resources: readonly CatalogueResource[],
  range: HistoryRange,
): Promise<UsageSeriesView[]> {
  const names = resources.map(({ service, resource }) => ({ service, resource }));
  const { rows } = await pool.query<Record<string, unknown>>(HOURS, [
    place.projectId,
    place.userId ?? '',
    JSON.stringify(names),
    new Date(range.fromMs).toISOString(),
    new Date(range.toMs).toISOString(),
  ]);
  const hours = new Map<string, UsageHour[]>(names.map(({ service, resource }) => [`${service} ${resource}`, []]));
  for (const row of rows) hours.get(`${String(row['service'])} ${String(row['resource'])}`)?.push(hourOf(row));
  return resources.map(({ service, resource, unit }) => ({
    ...{ service, resource, unit },
    buckets: bucketsOf(hours.get(`${service} ${resource}`) ?? [], range).map((bucket) => ({
      start: new Date(bucket.startMs).toISOString(),
      end: new Date(bucket.endMs).toISOString(),
      used: bucket.used,
      reserved: bucket.reserved,
      usedMax: bucket.usedMax,
      reservedMax: bucket.reservedMax,
      usedSeconds: String(bucket.usedSeconds),
      reservedSeconds: String(bucket.reservedSeconds),
    })),
  }));
}

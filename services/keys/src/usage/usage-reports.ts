import type { Pool } from 'pg';
import { type UsageRange, wholeHours } from './usage-range.js';
import { type KeyUsageView, type ProjectKeyUsageView, TOP_MAX, type KeyUsageBucketView } from './usage.dto.js';

type Database = Pick<Pool, 'query'>;

interface Count {
  readonly start: Date;
  readonly code: string;
  readonly verifications: string;
}

const timeOf = (ms: number): string => new Date(ms).toISOString();
const boundsOf = ({ fromMs, toMs }: UsageRange): [string, string] => [timeOf(fromMs), timeOf(toMs)];

/** Rows in the order of time, gathered by their bucket. */
function bucketsOf(rows: readonly Count[]): KeyUsageBucketView[] {
  const buckets: KeyUsageBucketView[] = [];
  for (const { start, code, verifications: text } of rows) {
    const verifications = Number(text);
    const startText = start.toISOString();
    let bucket = buckets.at(-1);
    if (bucket?.start !== startText) {
      bucket = { start: startText, verifications: 0, codes: [] };
      buckets.push(bucket);
    }
    bucket.verifications += verifications;
    bucket.codes.push({ code, verifications });
  }
  return buckets;
}

const startOf = ({ step }: UsageRange, column: string): string =>
  step === 'day' ? `date_trunc('day', ${column}, 'UTC')` : column;

export async function keyBuckets(database: Database, keyId: string, range: UsageRange): Promise<KeyUsageBucketView[]> {
  const { rows } = await database.query<Count>(
    `select ${startOf(range, 'hour')} as start, code, sum(verifications) as verifications from keys.usage_hours
     where key_id = $3 and hour >= $1 and hour < $2 group by 1, 2 order by 1, 2`,
    [...boundsOf(range), keyId],
  );
  return bucketsOf(rows);
}

export async function keyServices(
  database: Database,
  keyId: string,
  range: UsageRange,
): Promise<KeyUsageView['services']> {
  const { rows } = await database.query<{ service: string; verifications: string }>(
    `select service, sum(verifications) as verifications from keys.usage_hours
     where key_id = $3 and hour >= $1 and hour < $2 group by 1 order by 2 desc, 1 limit ${TOP_MAX}`,
    [...boundsOf(range), keyId],
  );
  return rows.map(({ service, verifications }) => ({ service, verifications: Number(verifications) }));
}

export interface UsagePlace {
  readonly projectId?: string;
  readonly tenantId?: string | undefined;
}

/** Of a project, of a tenant's keys, or of the platform. */
export async function placeBuckets(
  database: Database,
  { projectId, tenantId }: UsagePlace,
  range: UsageRange,
): Promise<KeyUsageBucketView[]> {
  const column = range.step === 'minute' ? 'minute' : 'hour';
  const values = [...boundsOf(range)];
  const conditions = [`${column} >= $1`, `${column} < $2`];
  if (projectId !== undefined) conditions.push(`project_id = $${values.push(projectId)}`);
  if (tenantId !== undefined) conditions.push(`tenant_id = $${values.push(tenantId)}`);
  const { rows } = await database.query<Count>(
    `select ${startOf(range, column)} as start, code, sum(verifications) as verifications from keys.verification_${column}s
     where ${conditions.join(' and ')} group by 1, 2 order by 1, 2`,
    values,
  );
  return bucketsOf(rows);
}

export async function topKeys(
  database: Database,
  projectId: string,
  range: UsageRange,
  top: number,
): Promise<ProjectKeyUsageView['topKeys']> {
  const [fromMs, toMs] = wholeHours(range);
  const { rows } = await database.query<{ key_id: string; verifications: string }>(
    `select key_id, sum(verifications) as verifications from keys.usage_hours
     where project_id = $3 and hour >= $1 and hour < $2 group by 1 order by 2 desc, 1 limit $4`,
    [timeOf(fromMs), timeOf(toMs), projectId, top],
  );
  return rows.map(({ key_id, verifications }) => ({ keyId: key_id, verifications: Number(verifications) }));
}

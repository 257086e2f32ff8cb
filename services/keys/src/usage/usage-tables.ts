import type { ClientBase, Pool } from 'pg';
import type { KeyUsageBatch } from '#libs/contracts';
import { createOwnTable } from '../own-tables.js';

/** How long counts are kept, and the sources of batches that may come again. */
export const KEPT_DAYS = { minutes: 7, hours: 400, sources: 30 } as const;
const PRUNED_ROWS_MAX = 5_000;

/**
 * Where a thing stands in no project or tenant, the text is empty, for null is no part of a primary key. In the order in
 * which a batch is folded: an index that is there locks its table all the same, and replicas start while others fold.
 */
const DDL = `
  create table if not exists keys.usage_offsets (
    topic text collate "C" not null,
    partition integer not null,
    next_offset bigint not null,
    primary key (topic, partition)
  );

  create table if not exists keys.usage_sources (
    source uuid primary key,
    sequence bigint not null,
    taken_at timestamptz not null
  );
  create index if not exists usage_sources_taken_at on keys.usage_sources (taken_at);

  create table if not exists keys.usage_hours (
    key_id text collate "C" not null,
    hour timestamptz not null,
    code text collate "C" not null,
    service text collate "C" not null,
    project_id text collate "C" not null,
    verifications bigint not null,
    primary key (key_id, hour, code, service)
  ) with (fillfactor = 80);
  create index if not exists usage_hours_project on keys.usage_hours (project_id, hour);
  create index if not exists usage_hours_hour on keys.usage_hours (hour);

  create table if not exists keys.verification_minutes (
    project_id text collate "C" not null,
    minute timestamptz not null,
    code text collate "C" not null,
    tenant_id text collate "C" not null,
    verifications bigint not null,
    primary key (project_id, minute, code, tenant_id)
  ) with (fillfactor = 80);
  create index if not exists verification_minutes_minute on keys.verification_minutes (minute);
  create index if not exists verification_minutes_tenant on keys.verification_minutes (tenant_id, minute);

  create table if not exists keys.verification_hours (
    project_id text collate "C" not null,
    hour timestamptz not null,
    code text collate "C" not null,
    tenant_id text collate "C" not null,
    verifications bigint not null,
    primary key (project_id, hour, code, tenant_id)
  ) with (fillfactor = 80);
  create index if not exists verification_hours_hour on keys.verification_hours (hour);
  create index if not exists verification_hours_tenant on keys.verification_hours (tenant_id, hour);

  create table if not exists keys.key_usage (
    key_id text collate "C" primary key,
    last_used_at timestamptz not null,
    by_version jsonb not null
  );
  create index if not exists key_usage_last_used_at on keys.key_usage (last_used_at, key_id);
`;

const TAKE = `
  insert into keys.usage_sources as s (source, sequence, taken_at) values ($1, $2, clock_timestamp())
  on conflict (source) do update set sequence = excluded.sequence, taken_at = excluded.taken_at
    where s.sequence < excluded.sequence`;

const COUNTS = `jsonb_to_recordset($1::jsonb)
  as c (minute timestamptz, "keyId" text, "tenantId" text, "projectId" text, service text, code text, count bigint)`;
const HOUR = `date_trunc('hour', minute, 'UTC')`;

// Every statement locks its rows in the order of the key, and all batches run the statements in one order: no deadlock.
const ADD_TO_KEYS = `
  insert into keys.usage_hours as h (key_id, hour, code, service, project_id, verifications)
  select "keyId", ${HOUR}, code, service, coalesce(min("projectId"), ''), sum(count) from ${COUNTS}
  where "keyId" is not null group by 1, 2, 3, 4 order by 1, 2, 3, 4
  on conflict (key_id, hour, code, service) do update set verifications = h.verifications + excluded.verifications`;

const addToAll = (table: string, column: string, start: string): string => `
  insert into keys.${table} as t (project_id, ${column}, code, tenant_id, verifications)
  select coalesce("projectId", ''), ${start}, code, coalesce("tenantId", ''), sum(count) from ${COUNTS}
  group by 1, 2, 3, 4 order by 1, 2, 3, 4
  on conflict (project_id, ${column}, code, tenant_id) do update set verifications = t.verifications + excluded.verifications`;
const ADD_TO_MINUTES = addToAll('verification_minutes', 'minute', 'minute');
const ADD_TO_HOURS = addToAll('verification_hours', 'hour', HOUR);

// Of two verifiers the later one may write first, so each secret keeps the latest of its uses. As texts they sort as times.
const ADD_USES = `
  insert into keys.key_usage as k (key_id, last_used_at, by_version)
  select key_id, max(at)::timestamptz, jsonb_object_agg(version, at) from (
    select "keyId" as key_id, version, max(at collate "C") as at
    from jsonb_to_recordset($1::jsonb) as u ("keyId" text, version integer, at text)
    group by 1, 2
  ) uses
  group by 1 order by 1
  on conflict (key_id) do update set
    last_used_at = greatest(k.last_used_at, excluded.last_used_at),
    by_version = (
      select jsonb_object_agg(version, at) from (
        select version, max(at collate "C") as at from (
          select * from jsonb_each_text(k.by_version) union all select * from jsonb_each_text(excluded.by_version)
        ) both_uses (version, at)
        group by version
      ) latest
    )`;

export async function createUsageTables(pool: Pick<Pool, 'query'>): Promise<void> {
  await createOwnTable(pool, DDL);
}

/**
 * Adds what the batch counted, once: false, and nothing is done, where its source is already past it. Within the caller's
 * transaction, for a batch over Kafka with the offset in it.
 */
export async function foldUsage(client: Pick<ClientBase, 'query'>, batch: KeyUsageBatch): Promise<boolean> {
  const { rowCount } = await client.query(TAKE, [batch.source, batch.sequence]);
  if (rowCount === 0) return false;
  if (batch.counts.length > 0) {
    const counts = [JSON.stringify(batch.counts)];
    await client.query(ADD_TO_KEYS, counts);
    await client.query(ADD_TO_MINUTES, counts);
    await client.query(ADD_TO_HOURS, counts);
  }
  if (batch.lastUses.length > 0) await client.query(ADD_USES, [JSON.stringify(batch.lastUses)]);
  return true;
}

const PRUNED = [
  ['usage_hours', 'hour', KEPT_DAYS.hours],
  ['verification_minutes', 'minute', KEPT_DAYS.minutes],
  ['verification_hours', 'hour', KEPT_DAYS.hours],
  ['usage_sources', 'taken_at', KEPT_DAYS.sources],
] as const;

/** Deletes some of what is too old; answers whether more may be left. Several processes may do so at once. */
export async function pruneUsage(pool: Pick<Pool, 'query'>): Promise<boolean> {
  let isMore = false;
  for (const [table, column, days] of PRUNED) {
    const { rowCount } = await pool.query(
      `delete from keys.${table} where ctid = any(array(
         select ctid from keys.${table} where ${column} < now() - make_interval(days => $1)
         limit ${PRUNED_ROWS_MAX} for update skip locked))`,
      [days],
    );
    isMore ||= rowCount === PRUNED_ROWS_MAX;
  }
  return isMore;
}

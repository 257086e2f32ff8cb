import type { ProjectionTable } from '#libs/eventsourcing';

/**
 * The tables of the read model. `user_id` is '' for the project itself; an amount of `Infinity` is unlimited, which lets
 * SQL compare and subtract limits as they are.
 */

const text = 'text collate "C"';

const ledgers = (table: string): string => `
  create table ${table} (
    project_id ${text} primary key,
    revision bigint not null,
    position ${text} not null,
    recorded_at timestamptz not null
  )`;

/** Names are private parts: they are wiped here when their person is erased. */
const members = (table: string, bare: string): string => `
  create table ${table} (
    project_id ${text} not null,
    user_id ${text} not null,
    role text not null,
    display_name ${text},
    primary key (project_id, user_id)
  );
  create index ${bare}_by_user on ${table} (user_id) where display_name is not null`;

/** A limit that was cleared stays, without an amount, for its revision is its ETag. */
const limits = (table: string): string => `
  create table ${table} (
    project_id ${text} not null,
    scope text not null,
    user_id ${text} not null,
    service ${text} not null,
    resource ${text} not null,
    amount numeric,
    soft bigint,
    revision bigint not null,
    primary key (project_id, scope, user_id, service, resource)
  )`;

const counters = (table: string): string => `
  create table ${table} (
    project_id ${text} not null,
    user_id ${text} not null,
    service ${text} not null,
    resource ${text} not null,
    used bigint not null check (used >= 0),
    reserved bigint not null check (reserved >= 0),
    -- The last hour in which it changed.
    hour timestamptz not null,
    primary key (project_id, user_id, service, resource)
  ) with (fillfactor = 70)`;

const usageHours = (table: string): string => `
  create table ${table} (
    project_id ${text} not null,
    user_id ${text} not null,
    service ${text} not null,
    resource ${text} not null,
    hour timestamptz not null,
    changed_at timestamptz not null,
    used bigint not null,
    reserved bigint not null,
    used_max bigint not null,
    reserved_max bigint not null,
    -- Amount x ms from the beginning of the hour up to changed_at.
    used_ms numeric not null,
    reserved_ms numeric not null,
    primary key (project_id, user_id, service, resource, hour)
  ) with (fillfactor = 70)`;

const reservations = (table: string, bare: string): string => `
  create table ${table} (
    project_id ${text} not null,
    id ${text} not null,
    user_id ${text} not null,
    items json not null,
    ttl_seconds integer not null,
    expires_at timestamptz not null,
    mode text not null,
    resource_ref text,
    labels json not null,
    reserved_at timestamptz not null,
    status text not null,
    resolved_at timestamptz,
    primary key (project_id, id)
  );
  create index ${bare}_by_status on ${table} (project_id, status, id);
  create index ${bare}_by_user on ${table} (project_id, user_id, status, id);
  create index ${bare}_due on ${table} (expires_at, project_id) where status = 'open';
  create index ${bare}_resolved on ${table} (project_id, resolved_at) where resolved_at is not null`;

/** Those that live, and of them only what later events leave out. */
const allocations = (table: string): string => `
  create table ${table} (
    project_id ${text} not null,
    id ${text} not null,
    user_id ${text} not null,
    items json not null,
    primary key (project_id, id)
  )`;

const limitChanges = (table: string, bare: string): string => `
  create table ${table} (
    project_id ${text} not null,
    revision bigint not null,
    -- A removed member loses several limits by one event.
    n integer not null,
    position ${text} not null,
    recorded_at timestamptz not null,
    kind text not null,
    scope text not null,
    user_id ${text} not null,
    service ${text} not null,
    resource ${text} not null,
    before numeric,
    after numeric,
    soft bigint,
    effective numeric,
    below_usage boolean not null,
    forced boolean not null,
    request_id text,
    actor json not null,
    correlation_id text not null,
    primary key (project_id, revision, n)
  );
  create index ${bare}_by_user on ${table} (project_id, user_id, revision, n)`;

export const quotaTables: readonly ProjectionTable[] = [
  { name: 'ledgers', ddl: ledgers },
  { name: 'members', ddl: members },
  { name: 'limits', ddl: limits },
  { name: 'counters', ddl: counters },
  { name: 'usage_hours', ddl: usageHours },
  { name: 'reservations', ddl: reservations },
  { name: 'allocations', ddl: allocations },
  { name: 'limit_changes', ddl: limitChanges },
];

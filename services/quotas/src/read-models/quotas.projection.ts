import { categoryOf } from '#libs/contracts';
import type { OpenedEvent, Projection, ProjectionTransaction } from '#libs/eventsourcing';
import { hourAfter, type UsageHour } from './hourly-usage.js';
import { LedgerChanges, type Move, namedIn } from './ledger-changes.js';
import {
  type AllocationRow,
  counterKey,
  type CounterName,
  type LimitRow,
  type PlaceOf,
  placeKey,
  type ReservationRow,
} from './quota-rows.js';
import { MemberChanges, type MemberRow, membersNamedIn } from './member-changes.js';
import { quotaTables } from './quota-tables.js';

/**
 * Everything that is read of quotas beside the ledgers themselves: limits, current usage, its hours, reservations and
 * the changes of limits, with the members of the projects as tenancy's events name them. One projection, for all of it
 * follows from one fold and one checkpoint then tells how far the whole page is. A page of events costs a fixed number
 * of statements, whatever it holds.
 */
export const QUOTAS = 'quotas';

/** How long a reservation is shown after it was resolved. Longer than a late commit can come. */
export const RESOLVED_SHOWN_DAYS = 30;
const DAY_MS = 86_400_000;

type Tables = Readonly<Record<string, string>>;

const columnsOf = (places: readonly PlaceOf[]): [projectIds: string[], ids: string[]] => [
  places.map(({ projectId }) => projectId),
  places.map(({ id }) => id),
];

/** The rows that stand at these places, by place. */
async function standingAt<Row>(
  tx: ProjectionTransaction,
  table: string | undefined,
  places: readonly PlaceOf[],
  { columns, id = 'id' }: { readonly columns: string; readonly id?: string },
): Promise<Map<string, Row>> {
  if (places.length === 0) return new Map();
  const { rows } = await tx.query(
    `select ${columns} from ${table} t
     join (select distinct * from unnest($1::text[], $2::text[])) as k (p, i) on t.project_id = k.p and t.${id} = k.i`,
    columnsOf(places),
  );
  return new Map(
    rows.map((row) => [placeKey(row['project_id'] as string, row[id] as string), row as unknown as Row] as const),
  );
}

/** Times come back as the text that they went in as, so that a row can be written again as it was. */
const time = (column: string): string =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`;

const RESERVATION_COLUMNS = `project_id, id, user_id, items, ttl_seconds, ${time('expires_at')}, mode, resource_ref, labels,
  ${time('reserved_at')}, status, ${time('resolved_at')}`;

async function standingLimits(
  tx: ProjectionTransaction,
  table: string | undefined,
  removed: readonly PlaceOf[],
): Promise<LimitRow[]> {
  if (removed.length === 0) return [];
  const { rows } = await tx.query(
    `select project_id, scope, user_id, service, resource, amount::text as amount, soft::float8 as soft, revision::float8 as revision
     from ${table} t join (select distinct * from unnest($1::text[], $2::text[])) as k (p, i)
       on t.project_id = k.p and t.scope = 'member' and t.user_id = k.i`,
    columnsOf(removed),
  );
  return rows.map((row) => ({ ...row, amount: amountOf(row['amount'] as string | null) }) as LimitRow);
}

const amountOf = (text: string | null): LimitRow['amount'] =>
  text === null || text === 'Infinity' ? text : Number(text);

/** Writes all rows with one statement; of those that stand already, every column but the key. */
async function upsert(
  tx: ProjectionTransaction,
  table: string | undefined,
  key: readonly string[],
  rows: readonly object[],
): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const changed = Object.keys(first).filter((column) => !key.includes(column));
  await tx.query(
    `insert into ${table} select r.* from json_populate_recordset(null::${table}, $1) r
     on conflict (${key.join(', ')}) do update set ${changed.map((column) => `${column} = excluded.${column}`).join(', ')}`,
    [JSON.stringify(rows)],
  );
}

async function deleteAt(
  tx: ProjectionTransaction,
  table: string | undefined,
  places: readonly PlaceOf[],
  id = 'id',
): Promise<void> {
  if (places.length === 0) return;
  await tx.query(
    `delete from ${table} t using unnest($1::text[], $2::text[]) as k (p, i) where t.project_id = k.p and t.${id} = k.i`,
    columnsOf(places),
  );
}

const placesOf = (keys: readonly string[]): PlaceOf[] =>
  keys.map((key) => {
    const [projectId = '', id = ''] = key.split(' ');
    return { projectId, id };
  });

const HOUR_COLUMNS = ['hour', 'changed_at', 'used', 'reserved', 'used_max', 'reserved_max', 'used_ms', 'reserved_ms'];

/** The last hour of each counter that is moved. */
async function lastHours(
  tx: ProjectionTransaction,
  tables: Tables,
  counters: ReadonlyMap<string, CounterName>,
): Promise<Map<string, UsageHour>> {
  const names = [...counters.values()];
  const { rows } = await tx.query(
    `select project_id, user_id, service, resource, ${HOUR_COLUMNS.map((column) => `h.${column}`).join(', ')}
     from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as k (p, u, s, r)
     join ${tables['counters']} c on c.project_id = k.p and c.user_id = k.u and c.service = k.s and c.resource = k.r
     join ${tables['usage_hours']} h using (project_id, user_id, service, resource, hour)`,
    (['project_id', 'user_id', 'service', 'resource'] as const).map((column) => names.map((name) => name[column])),
  );
  return new Map(rows.map((row) => [counterKey(row as unknown as CounterName), hourOf(row)] as const));
}

/** A row of `usage_hours` as the fold has it. */
export const hourOf = (row: Record<string, unknown>): UsageHour => ({
  startMs: (row['hour'] as Date).getTime(),
  changedMs: (row['changed_at'] as Date).getTime(),
  used: Number(row['used']),
  reserved: Number(row['reserved']),
  usedMax: Number(row['used_max']),
  reservedMax: Number(row['reserved_max']),
  usedMs: BigInt(row['used_ms'] as string),
  reservedMs: BigInt(row['reserved_ms'] as string),
});

async function countMoves(tx: ProjectionTransaction, tables: Tables, moves: readonly Move[]): Promise<void> {
  if (moves.length === 0) return;
  const counters = new Map(moves.map(({ key, counter }) => [key, counter] as const));
  const last = await lastHours(tx, tables, counters);
  const hours = new Map<string, { readonly counter: CounterName; readonly hour: UsageHour }>();
  for (const move of moves) {
    const { key, counter, atMs } = move;
    const hour = hourAfter(last.get(key) ?? null, atMs, move);
    last.set(key, hour);
    hours.set(`${key} ${hour.startMs}`, { counter, hour });
  }
  const name = ['project_id', 'user_id', 'service', 'resource'];
  const rows = [...hours.values()].map(({ counter, hour }) => ({
    ...counter,
    hour: new Date(hour.startMs).toISOString(),
    changed_at: new Date(hour.changedMs).toISOString(),
    used: hour.used,
    reserved: hour.reserved,
    used_max: hour.usedMax,
    reserved_max: hour.reservedMax,
    used_ms: String(hour.usedMs),
    reserved_ms: String(hour.reservedMs),
  }));
  await upsert(tx, tables['usage_hours'], [...name, 'hour'], rows);
  const levels = [...counters].map(([key, counter]) => {
    const { used, reserved, startMs } = last.get(key) as UsageHour;
    return { ...counter, used, reserved, hour: new Date(startMs).toISOString() };
  });
  await upsert(tx, tables['counters'], name, levels);
}

/** What was resolved long ago, by the ledger's own time, so that a rebuild leaves the same rows. */
async function forgetResolved(
  tx: ProjectionTransaction,
  table: string | undefined,
  { ledgers }: LedgerChanges,
): Promise<void> {
  const rows = [...ledgers.values()];
  await tx.query(
    `delete from ${table} t using unnest($1::text[], $2::timestamptz[]) as k (p, resolved_before)
     where t.project_id = k.p and t.resolved_at < k.resolved_before`,
    [
      rows.map(({ project_id }) => project_id),
      rows.map(({ recorded_at }) => new Date(Date.parse(recorded_at) - RESOLVED_SHOWN_DAYS * DAY_MS).toISOString()),
    ],
  );
}

async function applyLedgers(tx: ProjectionTransaction, tables: Tables, events: readonly OpenedEvent[]): Promise<void> {
  const { ledgers, limits, limit_changes, reservations, allocations } = tables;
  const named = namedIn(events);
  const changes = new LedgerChanges({
    reservations: await standingAt<ReservationRow>(tx, reservations, named.reservations, {
      columns: RESERVATION_COLUMNS,
    }),
    allocations: await standingAt<AllocationRow>(tx, allocations, named.allocations, {
      columns: 'project_id, id, user_id, items',
    }),
    limits: await standingLimits(tx, limits, named.removed),
  });
  for (const event of events) changes.add(event);

  await upsert(tx, ledgers, ['project_id'], [...changes.ledgers.values()]);
  await upsert(tx, reservations, ['project_id', 'id'], [...changes.reservations.values()]);
  const ended = [...changes.allocations].flatMap(([key, row]) => (row === null ? [key] : []));
  await deleteAt(tx, allocations, placesOf(ended));
  const live = [...changes.allocations.values()].filter((row) => row !== null);
  await upsert(tx, allocations, ['project_id', 'id'], live);
  if (changes.removedMembers.length > 0)
    await tx.query(
      `delete from ${limits} t using unnest($1::text[], $2::text[]) as k (p, i)
       where t.project_id = k.p and t.scope = 'member' and t.user_id = k.i`,
      columnsOf(changes.removedMembers),
    );
  await upsert(tx, limits, ['project_id', 'scope', 'user_id', 'service', 'resource'], [...changes.limits.values()]);
  await upsert(tx, limit_changes, ['project_id', 'revision', 'n'], changes.limitChanges);
  await countMoves(tx, tables, changes.moves);
  await forgetResolved(tx, reservations, changes);
}

async function applyMembers(tx: ProjectionTransaction, tables: Tables, events: readonly OpenedEvent[]): Promise<void> {
  const { members } = tables;
  const at = { columns: 'project_id, user_id, role, display_name', id: 'user_id' };
  const changes = new MemberChanges(await standingAt<MemberRow>(tx, members, membersNamedIn(events), at));
  for (const event of events) changes.add(event);

  if (changes.erased.length > 0)
    await tx.query(`update ${members} set display_name = null where user_id = any($1) and display_name is not null`, [
      changes.erased,
    ]);
  const left = [...changes.rows].flatMap(([key, row]) => (row === null ? [key] : []));
  await deleteAt(tx, members, placesOf(left), 'user_id');
  const standing = [...changes.rows.values()].filter((row) => row !== null);
  await upsert(tx, members, ['project_id', 'user_id'], standing);
}

export const quotasProjection: Projection = {
  name: QUOTAS,
  schema: 'quotas',
  version: 1,
  categories: ['projectQuota', 'project', 'subject'],
  parts: ['person'],
  tables: quotaTables,
  async apply(tx, tables, events) {
    const ofLedgers = events.filter(({ stream }) => categoryOf(stream) === 'projectQuota');
    if (ofLedgers.length > 0) await applyLedgers(tx, tables, ofLedgers);
    if (ofLedgers.length < events.length)
      await applyMembers(
        tx,
        tables,
        events.filter(({ stream }) => categoryOf(stream) !== 'projectQuota'),
      );
  },
};

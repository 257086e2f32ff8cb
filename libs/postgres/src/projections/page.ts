import type { PoolClient } from 'pg';
import {
  type Codec,
  type FollowPage,
  type OpenedEvent,
  openEvents,
  type Position,
  type Projection,
  type RecordedEvent,
  type StoredEvent,
  UnknownEvent,
} from '#libs/eventsourcing';
import { type Checkpoint, moveCheckpoint, physicalTables } from './generations.js';
import { type Database, inTransaction, isTransient, reasonOf } from '../transaction.js';

export interface PageContext {
  readonly database: Database;
  readonly codec: Codec;
  readonly projection: Projection;
  /** Told of each event that was parked because it failed by itself. */
  readonly onParked?: (event: StoredEvent, key: string, reason: string) => void;
}

interface ParkedRow {
  readonly event: RecordedEvent;
  readonly key: string;
  /** Null for an event that only stands behind another. */
  readonly reason: string | null;
}

const keyOf = (projection: Projection, event: RecordedEvent): string => projection.parkBy?.(event) ?? event.stream;

/**
 * Applies a page and moves the checkpoint in one transaction. Undefined means that somebody else changed the
 * checkpoint and nothing was done. An event that fails by itself is parked with its key, in the same transaction.
 * Throws what is transient, and UnknownEvent once all before it was applied.
 */
export async function applyPage(
  context: PageContext,
  checkpoint: Checkpoint,
  page: Pick<FollowPage, 'events' | 'position'>,
): Promise<Checkpoint | undefined> {
  try {
    return await applyReadable(context, checkpoint, page.events, page.position);
  } catch (error) {
    if (!(error instanceof UnknownEvent)) throw error;
    const { stream, revision } = error;
    const unknown = page.events.findIndex((event) => event.stream === stream && event.revision === revision);
    const readable = page.events.slice(0, Math.max(0, unknown));
    const last = readable.at(-1);
    if (last !== undefined && (await applyReadable(context, checkpoint, readable, last.position)) === undefined)
      return undefined;
    throw error;
  }
}

async function applyReadable(
  context: PageContext,
  checkpoint: Checkpoint,
  events: readonly StoredEvent[],
  position: Position,
): Promise<Checkpoint | undefined> {
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    try {
      return await applyTogether(context, checkpoint, events, position);
    } catch (error) {
      if (isTransient(error) || error instanceof UnknownEvent) throw error;
    }
  }
  return applySingly(context, checkpoint, events, position);
}

async function applyTogether(
  context: PageContext,
  checkpoint: Checkpoint,
  stored: readonly StoredEvent[],
  position: Position,
): Promise<Checkpoint | undefined> {
  const { codec, projection } = context;
  const opened = await openEvents(codec, stored, projection.parts);
  return inTransaction(context.database, async (client) => {
    const moved = await applyWithin(client, projection, checkpoint, opened, position);
    return moved ? { ...checkpoint, position } : undefined;
  });
}

/** Within the caller's transaction; false means that it must be rolled back. */
export async function applyWithin(
  client: PoolClient,
  projection: Projection,
  checkpoint: Checkpoint,
  opened: readonly OpenedEvent[],
  position: Position,
): Promise<boolean> {
  const skipped = await skippedPositions(client, projection.name, checkpoint, opened);
  const free: OpenedEvent[] = [];
  const behind: ParkedRow[] = [];
  for (const event of opened) {
    if (skipped.has(event.position)) continue;
    const key = keyOf(projection, event);
    if (checkpoint.parkedKeys.has(key)) behind.push({ event, key, reason: null });
    else free.push(event);
  }
  if (free.length > 0) await projection.apply(client, physicalTables(projection, checkpoint.generation), free);
  await park(client, projection.name, checkpoint.generation, behind);
  return moveCheckpoint(client, projection.name, checkpoint, position);
}

async function applySingly(
  context: PageContext,
  checkpoint: Checkpoint,
  stored: readonly StoredEvent[],
  position: Position,
): Promise<Checkpoint | undefined> {
  const { projection } = context;
  const tables = physicalTables(projection, checkpoint.generation);
  const parkedKeys = new Set(checkpoint.parkedKeys);
  const failures: { event: StoredEvent; key: string; reason: string }[] = [];
  const moved = await inTransaction(context.database, async (client) => {
    const rows: ParkedRow[] = [];
    const skipped = await skippedPositions(client, projection.name, checkpoint, stored);
    for (const event of stored) {
      if (skipped.has(event.position)) continue;
      const closed = context.codec.decode(event);
      const key = keyOf(projection, closed);
      if (parkedKeys.has(key)) {
        rows.push({ event: closed, key, reason: null });
        continue;
      }
      const failure = await applyOne(context, client, tables, event);
      if (failure === undefined) continue;
      const reason = reasonOf(failure);
      parkedKeys.add(key);
      rows.push({ event: closed, key, reason });
      failures.push({ event, key, reason });
    }
    await park(client, projection.name, checkpoint.generation, rows);
    return (await moveCheckpoint(client, projection.name, checkpoint, position)) ? true : undefined;
  });
  if (moved === undefined) return undefined;
  for (const { event, key, reason } of failures) context.onParked?.(event, key, reason);
  return { ...checkpoint, position, parkedKeys };
}

/** Applies one event within a savepoint; answers its own error, throws a transient one. */
export async function applyOne(
  context: PageContext,
  client: PoolClient,
  tables: Readonly<Record<string, string>>,
  stored: StoredEvent,
): Promise<unknown> {
  await client.query('savepoint event');
  try {
    const events = await openEvents(context.codec, [stored], context.projection.parts);
    await context.projection.apply(client, tables, events);
    await client.query('release savepoint event');
    return undefined;
  } catch (error) {
    if (isTransient(error) || error instanceof UnknownEvent) throw error;
    await client.query('rollback to savepoint event');
    return error ?? new Error('The projection threw nothing.');
  }
}

/** A live runner never meets a skipped event: its checkpoint had passed it when it was skipped. */
async function skippedPositions(
  client: PoolClient,
  projection: string,
  checkpoint: Checkpoint,
  events: readonly { readonly position: Position }[],
): Promise<ReadonlySet<Position>> {
  if (checkpoint.status === 'live' || events.length === 0) return new Set();
  const { rows } = await client.query<{ position: string }>(
    'select position from projections.skipped_events where projection = $1 and position = any($2)',
    [projection, events.map(({ position }) => position)],
  );
  return new Set(rows.map(({ position }) => position));
}

async function park(
  client: PoolClient,
  projection: string,
  generation: number,
  rows: readonly ParkedRow[],
): Promise<void> {
  if (rows.length === 0) return;
  await client.query(
    `insert into projections.parked_events
       (projection, generation, key, position, stream, revision, type, reason, attempts)
     select $1, $2, u.key, u.position, u.stream, u.revision, u.type, u.reason, case when u.reason is null then 0 else 1 end
     from unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[])
       as u (key, position, stream, revision, type, reason)`,
    [
      projection,
      generation,
      rows.map(({ key }) => key),
      rows.map(({ event }) => event.position),
      rows.map(({ event }) => event.stream),
      rows.map(({ event }) => event.revision),
      rows.map(({ event }) => event.type),
      rows.map(({ reason }) => reason),
    ],
  );
}

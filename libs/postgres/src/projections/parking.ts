import type { EventStore, Position } from '#libs/eventsourcing';
import { lockLive, physicalTables } from './generations.js';
import { applyOne, type PageContext } from './page.js';
import { type Database, inTransaction, isTransient, reasonOf } from '../transaction.js';

const RETRY_EVENTS_MAX = 1_000;
const ATTEMPTS_MAX = 5;

export interface ParkedEvent {
  readonly projection: string;
  readonly key: string;
  readonly position: Position;
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
  /** Why it failed; null for an event that only stands behind another of its key. */
  readonly reason: string | null;
  readonly attempts: number;
  /** RFC 3339. */
  readonly parkedAt: string;
}

export interface RetryResult {
  readonly applied: number;
  /** What still stands in the parking lot under the key. */
  readonly remaining: number;
  /** Why the first of them failed again. */
  readonly reason?: string;
}

/** Nothing is parked under that key. */
export class NothingParked extends Error {
  constructor(projection: string, key: string) {
    super(`The projection ${projection} has nothing parked under ${key}.`);
    this.name = 'NothingParked';
  }
}

interface ParkedRow {
  readonly key: string;
  readonly position: string;
  readonly stream: string;
  readonly revision: string;
  readonly type: string;
  readonly reason: string | null;
  readonly attempts: number;
  readonly parked_at: Date;
}

/** The parking lot of the live generation, in log order; all projections or one. */
export async function listParked(database: Database, projection?: string, limit = 1_000): Promise<ParkedEvent[]> {
  const { rows } = await database.query<ParkedRow & { projection: string }>(
    `select p.* from projections.parked_events p
     join projections.checkpoints c using (projection, generation)
     where c.status = 'live' and ($1::text is null or p.projection = $1)
     order by p.projection, p.position limit $2`,
    [projection ?? null, limit],
  );
  return rows.map((row) => ({
    projection: row.projection,
    key: row.key,
    position: row.position,
    stream: row.stream,
    revision: Number(row.revision),
    type: row.type,
    reason: row.reason,
    attempts: row.attempts,
    parkedAt: row.parked_at.toISOString(),
  }));
}

/** Applies what is parked under a key, in order, up to the first event that fails again. Throws NothingParked. */
export async function retryParked(context: PageContext, store: EventStore, key: string): Promise<RetryResult> {
  let applied = 0;
  for (;;) {
    const round = await retryRound(context, store, key, undefined);
    applied += round.applied;
    if (round.remaining === 0 || round.reason !== undefined) return { ...round, applied };
  }
}

/**
 * Leaves out the event that holds its key up, for this and every later generation, and retries those behind it. The
 * reason is kept. Throws NothingParked.
 */
export async function skipParked(
  context: PageContext,
  store: EventStore,
  key: string,
  reason: string,
): Promise<RetryResult> {
  const first = await retryRound(context, store, key, reason);
  if (first.remaining === 0 || first.reason !== undefined) return first;
  const rest = await retryParked(context, store, key);
  return { ...rest, applied: first.applied + rest.applied };
}

/** The runner may hold rows that the parked events want; one of the two is then told of a deadlock and tries again. */
async function retryRound(
  context: PageContext,
  store: EventStore,
  key: string,
  skipReason: string | undefined,
): Promise<RetryResult> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await drain(context, store, key, skipReason);
    } catch (error) {
      if (!isTransient(error) || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

async function drain(
  context: PageContext,
  store: EventStore,
  key: string,
  skipReason: string | undefined,
): Promise<RetryResult> {
  const { database, projection } = context;
  const result = await inTransaction(database, async (client): Promise<RetryResult> => {
    const live = await lockLive(client, projection.name);
    if (live === undefined || !live.parkedKeys.has(key)) throw new NothingParked(projection.name, key);
    const place = [projection.name, live.generation, key];
    await client.query(
      `update projections.checkpoints set parking_revision = parking_revision + 1
       where projection = $1 and generation = $2`,
      place.slice(0, 2),
    );
    const { rows } = await client.query<ParkedRow>(
      `select * from projections.parked_events where projection = $1 and generation = $2 and key = $3
       order by position limit $4`,
      [...place, RETRY_EVENTS_MAX],
    );
    const tables = physicalTables(projection, live.generation);
    let done = 0;
    let failure: unknown;
    for (const [n, row] of rows.entries()) {
      if (n === 0 && skipReason !== undefined)
        await client.query(
          `insert into projections.skipped_events (projection, position, stream, revision, reason)
           values ($1, $2, $3, $4, $5) on conflict do nothing`,
          [projection.name, row.position, row.stream, row.revision, skipReason],
        );
      else {
        const revision = Number(row.revision);
        const [stored] = await store.readStream(row.stream, { from: revision, to: revision });
        if (stored === undefined) throw new Error(`${row.stream}/${revision} is parked and not in the store.`);
        failure = await applyOne(context, client, tables, stored);
        if (failure !== undefined) break;
      }
      done += 1;
      await client.query(
        'delete from projections.parked_events where projection = $1 and generation = $2 and key = $3 and position = $4',
        [...place, row.position],
      );
    }
    if (failure !== undefined)
      await client.query(
        `update projections.parked_events set reason = $5, attempts = attempts + 1
         where projection = $1 and generation = $2 and key = $3 and position = $4`,
        [...place, rows[done]?.position, reasonOf(failure)],
      );
    const left = await client.query<{ count: number }>(
      `select count(*)::int as count from projections.parked_events
       where projection = $1 and generation = $2 and key = $3`,
      place,
    );
    return {
      applied: skipReason === undefined ? done : Math.max(0, done - 1),
      remaining: left.rows[0]?.count ?? 0,
      ...(failure === undefined ? {} : { reason: reasonOf(failure) }),
    };
  });
  if (result === undefined) throw new NothingParked(projection.name, key);
  return result;
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient, QueryResult, QueryResultRow } from 'pg';
import { withDeadline } from '#libs/eventsourcing';
import { asError, type Database } from '../transaction.js';

export interface LeaseTimes {
  /** How long a holder that is silent keeps its lease, ms. */
  readonly ttlMs: number;
  readonly renewMs: number;
}

export const LEASE_TIMES: LeaseTimes = { ttlMs: 10_000, renewMs: 3_000 };

/**
 * The one connection on which a process takes and renews its leases. It ends with the process, so the leases of a
 * process that was killed are free at once; those of one that is paused or cut off run out.
 */
export class LeaseSession {
  private client: Promise<PoolClient> | undefined;
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly database: Pick<Database, 'connect'>) {}

  /** One statement at a time. Rejects after `deadlineMs`, and then goes on with another connection. */
  async query<Row extends QueryResultRow>(
    text: string,
    values: readonly unknown[],
    deadlineMs: number,
  ): Promise<QueryResult<Row>> {
    const pending = (this.client ??= this.connect());
    const result = Promise.all([pending, this.last]).then(([client]) => client.query<Row>(text, [...values]));
    this.last = result.catch(ignore);
    try {
      return await withDeadline(result, deadlineMs);
    } catch (error) {
      this.drop(pending, asError(error));
      throw error;
    }
  }

  close(): void {
    if (this.client !== undefined) this.drop(this.client, undefined);
  }

  private async connect(): Promise<PoolClient> {
    const client = await this.database.connect();
    client.on('error', ignore);
    return client;
  }

  private drop(pending: Promise<PoolClient>, error: Error | undefined): void {
    if (this.client !== pending) return;
    this.client = undefined;
    this.last = Promise.resolve();
    pending.then((client) => {
      client.off('error', ignore);
      client.release(error);
    }, ignore);
  }
}

const ignore = (): void => undefined;

/** The names under a prefix that somebody holds at this moment, sorted. */
export async function heldLeases(session: LeaseSession, prefix: string, deadlineMs: number): Promise<string[]> {
  const { rows } = await session.query<{ name: string }>(
    `select l.name from projections.leases l
     where starts_with(l.name, $1) and l.expires_at > clock_timestamp() and exists (
       select from pg_stat_activity a
       where a.pid = l.session_pid and coalesce(a.backend_start = l.session_started_at, true))
     order by l.name`,
    [prefix],
    deadlineMs,
  );
  return rows.map(({ name }) => name);
}

/** One holder at a time, by the database's clock; every new holder has a higher epoch. */
export class Lease {
  private readonly ending = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private validUntilMs: number;

  private constructor(
    private readonly session: LeaseSession,
    readonly name: string,
    readonly owner: string,
    readonly epoch: number,
    private readonly times: LeaseTimes,
    askedAtMs: number,
  ) {
    this.validUntilMs = askedAtMs + times.ttlMs;
    this.renewLater();
  }

  /** Undefined while another holds it. Throws when the database cannot be asked. */
  static async tryAcquire(
    session: LeaseSession,
    name: string,
    owner: string,
    times: LeaseTimes,
  ): Promise<Lease | undefined> {
    const askedAtMs = performance.now();
    const { rows } = await session.query<{ epoch: string }>(
      `insert into projections.leases as l (name, owner, epoch, expires_at, session_pid, session_started_at)
       select $1, $2, 1, clock_timestamp() + $3 * interval '1 ms', a.pid, a.backend_start
       from pg_stat_activity a where a.pid = pg_backend_pid()
       on conflict (name) do update
         set owner = excluded.owner, epoch = l.epoch + 1, expires_at = excluded.expires_at,
           session_pid = excluded.session_pid, session_started_at = excluded.session_started_at
         where l.expires_at <= clock_timestamp() or l.owner = excluded.owner or not exists (
           select from pg_stat_activity a
           where a.pid = l.session_pid and coalesce(a.backend_start = l.session_started_at, true))
       returning epoch`,
      [name, owner, times.ttlMs],
      times.ttlMs,
    );
    const [row] = rows;
    return row && new Lease(session, name, owner, Number(row.epoch), times, askedAtMs);
  }

  /** Waits for the lease; undefined once the signal aborts. */
  static async acquire(
    session: LeaseSession,
    name: string,
    owner: string,
    times: LeaseTimes,
    signal: AbortSignal,
  ): Promise<Lease | undefined> {
    while (!signal.aborted) {
      const lease = await Lease.tryAcquire(session, name, owner, times);
      if (lease !== undefined) return lease;
      await sleep(Math.min(1_000, times.renewMs), undefined, { signal }).catch(ignore);
    }
    return undefined;
  }

  /** Aborts when the lease is lost, could not be renewed in time, or was released. */
  get signal(): AbortSignal {
    return this.ending.signal;
  }

  /** Lets the next holder in at once. */
  async release(): Promise<void> {
    this.end();
    await this.session.query(
      'update projections.leases set expires_at = clock_timestamp() where name = $1 and owner = $2 and epoch = $3',
      [this.name, this.owner, this.epoch],
      this.times.renewMs,
    );
  }

  private end(): void {
    this.ending.abort();
    clearTimeout(this.timer);
  }

  private renewLater(): void {
    this.timer = setTimeout(() => void this.renew(), this.times.renewMs);
    this.timer.unref();
  }

  /** The database's word counts; where it cannot be heard, the holder stops by its own clock. */
  private async renew(): Promise<void> {
    const askedAtMs = performance.now();
    let held: boolean;
    try {
      const { rowCount } = await this.session.query(
        `update projections.leases l set expires_at = clock_timestamp() + $4 * interval '1 ms',
           session_pid = a.pid, session_started_at = a.backend_start
         from pg_stat_activity a
         where a.pid = pg_backend_pid() and l.name = $1 and l.owner = $2 and l.epoch = $3`,
        [this.name, this.owner, this.epoch, this.times.ttlMs],
        Math.max(1, Math.min(this.times.renewMs, this.validUntilMs - askedAtMs)),
      );
      held = rowCount === 1;
      if (held) this.validUntilMs = askedAtMs + this.times.ttlMs;
    } catch {
      held = performance.now() < this.validUntilMs;
    }
    if (this.ending.signal.aborted) return;
    if (held) this.renewLater();
    else this.end();
  }
}

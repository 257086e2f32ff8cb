import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from './transaction.js';

export interface LeaseTimes {
  /** How long a holder that is silent keeps its lease, ms. */
  readonly ttlMs: number;
  readonly renewMs: number;
}

export const LEASE_TIMES: LeaseTimes = { ttlMs: 10_000, renewMs: 3_000 };

/** One holder at a time, by the database's clock; every new holder has a higher epoch. */
export class Lease {
  private readonly ending = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private validUntilMs: number;

  private constructor(
    private readonly database: Database,
    readonly name: string,
    readonly owner: string,
    readonly epoch: number,
    private readonly times: LeaseTimes,
    askedAtMs: number,
  ) {
    this.validUntilMs = askedAtMs + times.ttlMs;
    this.timer = setTimeout(() => void this.renew(), times.renewMs);
    this.timer.unref();
  }

  /** Undefined while another holds it. Throws when the database cannot be asked. */
  static async tryAcquire(
    database: Database,
    name: string,
    owner: string,
    times: LeaseTimes,
  ): Promise<Lease | undefined> {
    const askedAtMs = performance.now();
    const { rows } = await database.query<{ epoch: string }>(
      `insert into projections.leases as l (name, owner, epoch, expires_at)
       values ($1, $2, 1, clock_timestamp() + $3 * interval '1 ms')
       on conflict (name) do update
         set owner = excluded.owner, epoch = l.epoch + 1, expires_at = excluded.expires_at
         where l.expires_at <= clock_timestamp() or l.owner = excluded.owner
       returning epoch`,
      [name, owner, times.ttlMs],
    );
    const [row] = rows;
    return row && new Lease(database, name, owner, Number(row.epoch), times, askedAtMs);
  }

  /** Waits for the lease; undefined once the signal aborts. */
  static async acquire(
    database: Database,
    name: string,
    owner: string,
    times: LeaseTimes,
    signal: AbortSignal,
  ): Promise<Lease | undefined> {
    while (!signal.aborted) {
      const lease = await Lease.tryAcquire(database, name, owner, times);
      if (lease !== undefined) return lease;
      await sleep(Math.min(1_000, times.renewMs), undefined, { signal }).catch(() => undefined);
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
    await this.database.query(
      'update projections.leases set expires_at = clock_timestamp() where name = $1 and owner = $2 and epoch = $3',
      [this.name, this.owner, this.epoch],
    );
  }

  /** Stops renewing without telling anyone. */
  end(): void {
    this.ending.abort();
    clearTimeout(this.timer);
  }

  private async renew(): Promise<void> {
    const askedAtMs = performance.now();
    // The database's word counts; where it cannot be heard, the holder stops by its own clock.
    let held: boolean;
    try {
      const { rowCount } = await this.database.query(
        `update projections.leases set expires_at = clock_timestamp() + $4 * interval '1 ms'
         where name = $1 and owner = $2 and epoch = $3`,
        [this.name, this.owner, this.epoch, this.times.ttlMs],
      );
      held = rowCount === 1;
      if (held) this.validUntilMs = askedAtMs + this.times.ttlMs;
    } catch {
      held = performance.now() < this.validUntilMs;
    }
    if (this.ending.signal.aborted) return;
    if (!held) {
      this.end();
      return;
    }
    this.timer = setTimeout(() => void this.renew(), this.times.renewMs);
    this.timer.unref();
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Codec,
  type EventStore,
  HeadReader,
  type Position,
  type Projection,
  type StoredEvent,
} from '#libs/eventsourcing';
import { LEASE_TIMES, LeaseSession, type LeaseTimes } from '../leases/lease.js';
import { listParked, type ParkedEvent, retryParked, type RetryResult, skipParked } from './parking.js';
import { ProjectionRunner, type RunnerState } from './projection-runner.js';
import { rebuild, type RebuildProgress, type RebuildResult } from './rebuild.js';
import type { Database } from '../transaction.js';

const HEAD_EVERY_MS = 1_000;
const POLL_MS = 20;
const REACH_WAITERS_MAX = 10_000;

/** What a host has to say; nobody has to listen. */
export interface ProjectionListener {
  /** An event failed by itself: it and what follows under its key waits in the parking lot. */
  parked?(projection: string, key: string, event: StoredEvent, reason: string): void;
  /** A projection stopped: an event that this release cannot read, or tables of a newer release. */
  failed?(projection: string, error: Error): void;
  /** The database or the store is out of reach; it is tried again. */
  retrying?(projection: string, error: Error): void;
}

export interface ProjectionHostOptions {
  readonly database: Database;
  readonly store: EventStore;
  readonly codec: Codec;
  readonly projections?: readonly Projection[];
  readonly listener?: ProjectionListener;
  readonly leaseTimes?: LeaseTimes;
  readonly retiredGraceMs?: number;
}

export interface ProjectionStatus {
  readonly name: string;
  /** The version that this release knows; `liveVersion` and `generation` are null until the tables stand. */
  readonly version: number;
  readonly liveVersion: number | null;
  readonly generation: number | null;
  readonly position: Position | null;
  readonly parkedCount: number;
  /** In this process; where the host was not started, `elsewhere` if another process runs it, else `idle`. */
  readonly state: RunnerState | 'elsewhere';
  readonly eventsApplied: number;
  /** Ms since the newest head was read that the projection has passed; null if it is not run here. */
  readonly stalenessMs: number | null;
  readonly failed?: string;
}

/** Runs the projections of this process, and answers how far they are: also those that another process runs. */
export class ProjectionHost {
  private readonly runners = new Map<string, { projection: Projection; runner: ProjectionRunner }>();
  private readonly polls = new Map<string, Promise<void>>();
  private readonly head: HeadReader;
  private readonly leaseSession: LeaseSession;
  private timer: NodeJS.Timeout | undefined;
  private started = false;

  constructor(private readonly options: ProjectionHostOptions) {
    this.leaseSession = new LeaseSession(options.database);
    this.head = new HeadReader(
      options.store,
      () => performance.now(),
      (sample) => {
        for (const { runner } of this.runners.values()) runner.headRead(sample);
      },
    );
    for (const projection of options.projections ?? []) this.register(projection);
  }

  register(projection: Projection): void {
    if (this.runners.has(projection.name)) throw new Error(`Two projections are called ${projection.name}.`);
    const { listener, leaseTimes = LEASE_TIMES } = this.options;
    const runner = new ProjectionRunner({
      ...this.context(projection),
      store: this.options.store,
      leaseSession: this.leaseSession,
      leaseTimes,
      retiredGraceMs: this.options.retiredGraceMs,
      onFailure: (error) => listener?.failed?.(projection.name, error),
      onRetry: (error) => listener?.retrying?.(projection.name, error),
    });
    this.runners.set(projection.name, { projection, runner });
    if (this.started) runner.start();
  }

  start(): void {
    if (this.started) return;
    this.started = true;
    for (const { runner } of this.runners.values()) runner.start();
    const readHead = (): void => void this.head.read().catch(() => undefined);
    this.timer = setInterval(readHead, HEAD_EVERY_MS);
    this.timer.unref();
    readHead();
  }

  /** Finishes the pages in hand and gives the leases back; also after a rebuild by a host that was never started. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all([...this.runners.values()].map(({ runner }) => runner.stop()));
    for (const { runner } of this.runners.values()) runner.watch.giveUp();
    await Promise.all(this.polls.values());
    this.leaseSession.close();
  }

  /** Waits until the live tables have passed the position: false when the time is over. */
  async reach(name: string, position: Position, timeoutMs: number): Promise<boolean> {
    const { runner } = this.of(name);
    if (position <= runner.watch.position) return true;
    if (runner.watch.waiting >= REACH_WAITERS_MAX) return false;
    const reached = runner.watch.waitFor(position, timeoutMs);
    if (!this.polls.has(name)) {
      const poll = this.poll(name, runner).finally(() => this.polls.delete(name));
      this.polls.set(name, poll);
    }
    return reached;
  }

  async status(): Promise<ProjectionStatus[]> {
    const { rows } = await this.options.database.query<{
      projection: string;
      version: number;
      generation: number;
      position: string;
      parked: number;
      led: boolean;
    }>(
      `select c.projection, c.version, c.generation, c.position,
         (select count(*)::int from projections.parked_events p
          where p.projection = c.projection and p.generation = c.generation) as parked,
         exists (select from projections.leases l where l.name = c.projection and l.expires_at > clock_timestamp()) as led
       from projections.checkpoints c where c.status = 'live'`,
    );
    const live = new Map(rows.map((row) => [row.projection, row]));
    return [...this.runners.values()].map(({ projection, runner }) => {
      const row = live.get(projection.name);
      const runsHere = runner.state === 'leading';
      return {
        name: projection.name,
        version: projection.version,
        liveVersion: row?.version ?? null,
        generation: row?.generation ?? null,
        position: row?.position ?? null,
        parkedCount: row?.parked ?? 0,
        state: !this.started && row?.led === true ? 'elsewhere' : runner.state,
        eventsApplied: runner.eventsApplied,
        stalenessMs: runsHere ? runner.stalenessMs() : null,
        ...(runner.failure === undefined ? {} : { failed: runner.failure.message }),
      };
    });
  }

  /** Beside the live tables and from any process; queries are answered throughout. Throws RebuildRunning. */
  rebuild(
    name: string,
    onProgress?: (progress: RebuildProgress) => void,
    signal?: AbortSignal,
  ): Promise<RebuildResult> {
    const { projection, runner } = this.of(name);
    return rebuild(this.context(projection), {
      store: this.options.store,
      owner: `${runner.owner}:rebuild`,
      leaseSession: this.leaseSession,
      leaseTimes: this.options.leaseTimes ?? LEASE_TIMES,
      retiredGraceMs: this.options.retiredGraceMs,
      onProgress,
      signal,
    });
  }

  listParked(name?: string): Promise<ParkedEvent[]> {
    return listParked(this.options.database, name);
  }

  retryParked(name: string, key: string): Promise<RetryResult> {
    return retryParked(this.context(this.of(name).projection), this.options.store, key);
  }

  skipParked(name: string, key: string, reason: string): Promise<RetryResult> {
    return skipParked(this.context(this.of(name).projection), this.options.store, key, reason);
  }

  private context(projection: Projection) {
    const { database, codec, listener } = this.options;
    return {
      database,
      codec,
      projection,
      onParked: (event: StoredEvent, key: string, reason: string) =>
        listener?.parked?.(projection.name, key, event, reason),
    };
  }

  private of(name: string): { projection: Projection; runner: ProjectionRunner } {
    const found = this.runners.get(name);
    if (found === undefined) throw new Error(`No projection is called ${name}.`);
    return found;
  }

  /** One poll a projection for all who wait; it asks only while another process runs the projection. */
  private async poll(name: string, runner: ProjectionRunner): Promise<void> {
    while (runner.watch.waiting > 0) {
      try {
        if (runner.state === 'leading') continue;
        const { rows } = await this.options.database.query<{ position: string }>(
          `select position from projections.checkpoints where projection = $1 and status = 'live'`,
          [name],
        );
        if (rows[0] !== undefined) runner.learn(rows[0].position);
      } catch {
        // The waiters' own time limit answers them.
      } finally {
        if (runner.watch.waiting > 0) await sleep(POLL_MS);
      }
    }
  }
}

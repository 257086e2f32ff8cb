import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type EventStore,
  type FollowPage,
  type HeadSample,
  PositionWatch,
  Staleness,
  traceEvents,
  UnknownEvent,
} from '#libs/eventsourcing';
import { adoptCheckpoint, type Checkpoint, dropRetired, ensureLive, moveCheckpoint } from './generations.js';
import { leadUntilStopped } from '../leases/lead-until-stopped.js';
import { Lease, type LeaseSession, type LeaseTimes } from '../leases/lease.js';
import { applyPage, type PageContext } from './page.js';
import { PAGE_EVENTS_MAX, rebuild, RebuildRunning, RETIRED_GRACE_MS } from './rebuild.js';
import { settledWithin } from '../settled-within.js';
import { asError } from '../transaction.js';

/** Pages without an event of the projection move its stored checkpoint this often at most. */
const QUIET_CHECKPOINT_MS = 50;
const RETRY_MS_MAX = 5_000;
const STANDBY_MS = 1_000;

/** A newer release switched the projection to a version that this one does not know. */
export class ProjectionSuperseded extends Error {
  constructor(projection: string, live: number, own: number) {
    super(`The live tables of ${projection} have version ${live}; this release knows version ${own}.`);
    this.name = 'ProjectionSuperseded';
  }
}

export interface RunnerOptions extends PageContext {
  readonly store: EventStore;
  readonly leaseSession: LeaseSession;
  readonly leaseTimes: LeaseTimes;
  readonly retiredGraceMs?: number | undefined;
  /** Told when the projection stops for good, and of what passes by itself. */
  readonly onFailure?: ((error: Error) => void) | undefined;
  readonly onRetry?: ((error: Error) => void) | undefined;
}

export type RunnerState = 'idle' | 'standby' | 'building' | 'leading' | 'failed' | 'stopped';

/** Runs one projection: waits for its lease, then applies the log page by page until it is stopped or fenced. */
export class ProjectionRunner {
  readonly owner = randomUUID();
  /** How far this process knows the live tables to be. */
  readonly watch: PositionWatch;
  private readonly staleness = new Staleness();
  private readonly stopping = new AbortController();
  private loop: Promise<void> | undefined;
  private current: RunnerState = 'idle';
  private failed: Error | undefined;
  private applied = 0;

  constructor(private readonly options: RunnerOptions) {
    this.watch = new PositionWatch(options.store.origin);
  }

  get state(): RunnerState {
    return this.current;
  }

  /** Why it does not go on; a superseded projection goes on by itself once its version is live again. */
  get failure(): Error | undefined {
    return this.failed;
  }

  get eventsApplied(): number {
    return this.applied;
  }

  start(): void {
    this.loop ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
    if (this.current !== 'failed') this.current = 'stopped';
  }

  headRead(sample: HeadSample): void {
    this.staleness.headRead(sample, this.watch.position);
  }

  /** Ms since the newest head was read that the projection has passed; infinite until the first. */
  stalenessMs(): number {
    return this.staleness.ms(performance.now());
  }

  /** Learnt from the database by whoever asked it. */
  learn(position: string): void {
    this.watch.advance(position);
    this.staleness.reached(this.watch.position);
  }

  private async run(): Promise<void> {
    const failure = await leadUntilStopped(() => this.lead(), {
      signal: this.stopping.signal,
      isExpected: (error) => error instanceof RebuildRunning,
      onRetry: this.options.onRetry,
    });
    if (failure === undefined) return;
    this.current = 'failed';
    this.failed = failure;
    this.options.onFailure?.(failure);
  }

  private async lead(): Promise<void> {
    const { database, projection, store, leaseSession, leaseTimes, retiredGraceMs } = this.options;
    this.current = 'standby';
    const live = await ensureLive(database, projection, store.origin);
    this.learn(live.position);
    if (live.version < projection.version) {
      this.current = 'building';
      const { signal } = this.stopping;
      await rebuild(this.options, { store, owner: this.owner, leaseSession, leaseTimes, signal, retiredGraceMs });
      return;
    }
    if (live.version > projection.version) {
      this.superseded(live);
      await this.pause(STANDBY_MS);
      return;
    }
    if (this.failed instanceof ProjectionSuperseded) this.failed = undefined;
    const lease = await Lease.acquire(leaseSession, projection.name, this.owner, leaseTimes, this.stopping.signal);
    if (lease === undefined) return;
    try {
      await dropRetired(database, projection.name, retiredGraceMs ?? RETIRED_GRACE_MS);
      await this.leadUnder(lease);
    } finally {
      await lease.release().catch(() => undefined);
    }
  }

  private superseded(live: Checkpoint): void {
    if (this.failed !== undefined) return;
    const { projection } = this.options;
    this.failed = new ProjectionSuperseded(projection.name, live.version, projection.version);
    this.options.onFailure?.(this.failed);
  }

  /** What passes by itself is tried again under the same lease, from the checkpoint that then stands. */
  private async leadUnder(lease: Lease): Promise<void> {
    const { database, projection } = this.options;
    const signal = AbortSignal.any([this.stopping.signal, lease.signal]);
    let pauseMs = 0;
    while (!signal.aborted) {
      const before = this.applied;
      try {
        const checkpoint = await adoptCheckpoint(database, projection.name, 'live', lease.epoch);
        if (checkpoint === undefined || checkpoint.version !== projection.version) return;
        this.current = 'leading';
        this.learn(checkpoint.position);
        await this.follow(checkpoint, signal);
        pauseMs = 0;
      } catch (error) {
        if (error instanceof UnknownEvent) throw error;
        this.options.onRetry?.(asError(error));
        pauseMs = this.applied > before ? 50 : Math.min(Math.max(50, pauseMs * 2), RETRY_MS_MAX);
        await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Returns when the signal aborts or the checkpoint was changed by another. */
  private async follow(from: Checkpoint, signal: AbortSignal): Promise<void> {
    const { projection, store } = this.options;
    const ending = new AbortController();
    const pages = store
      .follow({
        after: from.position,
        signal: AbortSignal.any([signal, ending.signal]),
        filter: { categories: projection.categories },
        pageSize: PAGE_EVENTS_MAX,
      })
      [Symbol.asyncIterator]();
    let checkpoint = from;
    let quiet = from.position;
    try {
      let awaited = pages.next();
      while (!signal.aborted) {
        const next = quiet > checkpoint.position ? await settledWithin(awaited, QUIET_CHECKPOINT_MS) : await awaited;
        if (next?.done === true) return;
        const page: Pick<FollowPage, 'events' | 'position'> = next?.value ?? { events: [], position: quiet };
        if (next !== undefined && page.events.length === 0) {
          quiet = page.position;
          this.learn(quiet);
        } else {
          const moved = await (page.events.length > 0
            ? this.applyTraced(checkpoint, page)
            : this.moveQuietly(checkpoint, page.position));
          if (moved === undefined) return;
          checkpoint = moved;
          this.applied += page.events.length;
          this.learn(moved.position);
        }
        if (next !== undefined) {
          awaited = pages.next();
          awaited.catch(() => undefined);
        }
      }
    } finally {
      ending.abort();
      // A generator that stands at its yield hears no signal: only `return` lets it give up what it holds.
      void pages.return?.().catch(() => undefined);
    }
  }

  private applyTraced(checkpoint: Checkpoint, page: Pick<FollowPage, 'events' | 'position'>) {
    return traceEvents(`project ${this.options.projection.name}`, page.events, () =>
      applyPage(this.options, checkpoint, page),
    );
  }

  private async moveQuietly(checkpoint: Checkpoint, position: string): Promise<Checkpoint | undefined> {
    const { database, projection } = this.options;
    const moved = await moveCheckpoint(database, projection.name, checkpoint, position);
    return moved ? { ...checkpoint, position } : undefined;
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }
}

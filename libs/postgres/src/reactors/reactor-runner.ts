import { randomUUID } from 'node:crypto';
import {
  type Codec,
  type EventStore,
  type FollowPage,
  type Position,
  PositionWatch,
  type Reactor,
  type RecordedEvent,
  type StoredEvent,
  traceReaction,
} from '#libs/eventsourcing';
import { leadUntilStopped } from '../leases/lead-until-stopped.js';
import { Lease, type LeaseSession, type LeaseTimes } from '../leases/lease.js';
import { settledWithin } from '../settled-within.js';
import { asError, type Database, reasonOf } from '../transaction.js';
import { ReactorCheckpoints, ReactorDeposed, type WaitingEvent } from './reactor-checkpoint.js';

const PAGE_EVENTS_MAX = 100;
/** Without anything to react to the stored checkpoint moves this often, so that it costs no write an append. */
const QUIET_CHECKPOINT_MS = 10_000;
const TIMER_MS_MAX = 60_000;

export interface ReactorRunnerOptions {
  readonly database: Database;
  readonly store: EventStore;
  readonly codec: Codec;
  readonly reactor: Reactor;
  readonly leaseSession: LeaseSession;
  readonly leaseTimes: LeaseTimes;
  /** Told of every reaction that failed: it is tried again. */
  readonly onFailedReaction?: (event: RecordedEvent, error: Error, attempts: number) => void;
  /** Told of what passes by itself: the database or the store out of reach. */
  readonly onRetry?: (error: Error) => void;
  /** Told once, when an event came that this release cannot read. */
  readonly onFailure?: (error: Error) => void;
}

export type ReactorState = 'idle' | 'standby' | 'leading' | 'failed' | 'stopped';

interface Leading {
  readonly epoch: number;
  readonly signal: AbortSignal;
  readonly waitingKeys: Set<string>;
  stored: Position;
  storedAtMs: number;
  /** When the first of the waiting events is due, by performance.now(). */
  retryAtMs: number;
}

/** Runs one reactor: waits for its lease, then reacts to one event after the other until it is stopped or deposed. */
export class ReactorRunner {
  private readonly owner = randomUUID();
  private readonly stopping = new AbortController();
  private readonly checkpoints: ReactorCheckpoints;
  /** How far this process has reacted; what waits has been passed too. */
  private readonly watch: PositionWatch;
  private loop: Promise<void> | undefined;
  private current: ReactorState = 'idle';
  private leading: Leading | undefined;
  private caughtUpAtMs: number | undefined;
  private isCaughtUp = false;

  constructor(private readonly options: ReactorRunnerOptions) {
    this.checkpoints = new ReactorCheckpoints(options.database, options.reactor.name);
    this.watch = new PositionWatch(options.store.origin);
  }

  get state(): ReactorState {
    return this.current;
  }

  /** How many keys have an event that waits to be tried again; 0 where another process runs the reactor. */
  get waitingKeys(): number {
    return this.leading?.waitingKeys.size ?? 0;
  }

  /** 0 while caught up, else the time since it last was; null where another process runs the reactor. */
  get lagMs(): number | null {
    if (this.current !== 'leading' || this.caughtUpAtMs === undefined) return null;
    return this.isCaughtUp ? 0 : performance.now() - this.caughtUpAtMs;
  }

  /** Waits until this process has reacted to everything up to the position: false when the time is over. */
  reach(position: Position, timeoutMs: number): Promise<boolean> {
    return this.watch.waitFor(position, timeoutMs);
  }

  /** Fixes where the reactor begins, if it never ran. */
  async register(): Promise<void> {
    if (await this.checkpoints.isRegistered()) return;
    await this.checkpoints.register(await this.beginning());
  }

  start(): void {
    this.loop ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
    this.watch.giveUp();
    if (this.current !== 'failed') this.current = 'stopped';
  }

  private async run(): Promise<void> {
    const failure = await leadUntilStopped(() => this.lead(), {
      signal: this.stopping.signal,
      isExpected: (error) => error instanceof ReactorDeposed,
      onRetry: this.options.onRetry,
    });
    if (failure === undefined) return;
    this.current = 'failed';
    this.options.onFailure?.(failure);
  }

  private async lead(): Promise<void> {
    const { leaseSession, leaseTimes, reactor } = this.options;
    this.current = 'standby';
    await this.register();
    const name = `reactor:${reactor.name}`;
    const lease = await Lease.acquire(leaseSession, name, this.owner, leaseTimes, this.stopping.signal);
    if (lease === undefined) return;
    try {
      this.leading = await this.adopt(lease);
      this.current = 'leading';
      this.caughtUpAtMs = performance.now();
      await this.follow(this.leading);
    } finally {
      this.leading = undefined;
      await lease.release().catch(() => undefined);
    }
  }

  private async adopt({ epoch, signal: lost }: Lease): Promise<Leading> {
    const { store } = this.options;
    const { position, waitingKeys } = await this.checkpoints.adopt(epoch);
    // A position that the log does not have is of another log: it was restored from a backup.
    const known = store.isPosition(position) && position <= (await store.head());
    const stored = known ? position : await this.beginning();
    if (!known) await this.checkpoints.move(epoch, stored);
    return {
      epoch,
      signal: AbortSignal.any([this.stopping.signal, lost]),
      waitingKeys: new Set(waitingKeys),
      stored,
      storedAtMs: performance.now(),
      retryAtMs: waitingKeys.size > 0 ? 0 : Number.POSITIVE_INFINITY,
    };
  }

  private beginning(): Promise<Position> | Position {
    const { reactor, store } = this.options;
    return reactor.startsAt === 'head' ? store.head() : store.origin;
  }

  private async follow(leading: Leading): Promise<void> {
    const { store, reactor } = this.options;
    const ending = new AbortController();
    const pages = store
      .follow({
        after: leading.stored,
        signal: AbortSignal.any([leading.signal, ending.signal]),
        filter: { types: reactor.types },
        pageSize: PAGE_EVENTS_MAX,
      })
      [Symbol.asyncIterator]();
    try {
      let awaited = pages.next();
      while (!leading.signal.aborted) {
        const next = await settledWithin(awaited, waitMsOf(leading));
        if (next?.done === true) return;
        if (next !== undefined) {
          await this.take(leading, next.value);
          awaited = pages.next();
          awaited.catch(() => undefined);
        }
        if (performance.now() >= leading.retryAtMs) await this.retry(leading);
      }
    } finally {
      ending.abort();
      // A generator that stands at its yield hears no signal: only `return` lets it give up what it holds.
      void pages.return?.().catch(() => undefined);
    }
  }

  private async take(leading: Leading, page: FollowPage): Promise<void> {
    const { codec } = this.options;
    this.isCaughtUp = false;
    const waiting: WaitingEvent[] = [];
    for (const stored of page.events) {
      const event = codec.decode(stored);
      const key = this.keyOf(event);
      if (leading.waitingKeys.has(key)) {
        waiting.push({ event, key, reason: null });
        continue;
      }
      const error = await this.react(leading, stored, event, 1);
      if (leading.signal.aborted) return;
      if (error === undefined) continue;
      waiting.push({ event, key, reason: reasonOf(error) });
      leading.waitingKeys.add(key);
    }
    const due = page.events.length > 0 || performance.now() - leading.storedAtMs >= QUIET_CHECKPOINT_MS;
    if (due && page.position !== leading.stored) {
      await this.checkpoints.move(leading.epoch, page.position, waiting);
      leading.stored = page.position;
      leading.storedAtMs = performance.now();
      if (waiting.length > 0) leading.retryAtMs = 0;
    }
    this.watch.advance(page.position);
    this.isCaughtUp = page.caughtUp;
    if (page.caughtUp) this.caughtUpAtMs = performance.now();
  }

  /** Tries the first waiting event of every key that is due, and those behind it once it is done. */
  private async retry(leading: Leading): Promise<void> {
    const { store, codec } = this.options;
    const waiting = await this.checkpoints.waiting();
    const readAtMs = performance.now();
    leading.retryAtMs = Number.POSITIVE_INFINITY;
    for (const reaction of waiting) {
      if (isAborted(leading)) return;
      const { stream, revision, key, attempts } = reaction;
      if (reaction.dueInMs > 0) {
        leading.retryAtMs = Math.min(leading.retryAtMs, readAtMs + reaction.dueInMs);
        continue;
      }
      const [stored] = await store.readStream(stream, { from: revision, to: revision });
      if (stored === undefined) throw new Error(`${stream}/${revision} waits for a reaction and is not in the store.`);
      const error = await this.react(leading, stored, codec.decode(stored), attempts + 1);
      // The next look tells when what is left is due.
      leading.retryAtMs = 0;
      if (isAborted(leading)) return;
      if (error !== undefined) await this.checkpoints.failedAgain(leading.epoch, reaction, reasonOf(error));
      else if (!(await this.checkpoints.done(leading.epoch, reaction))) leading.waitingKeys.delete(key);
    }
  }

  /** Answers what the reaction threw. */
  private async react(
    { signal }: Leading,
    stored: StoredEvent,
    event: RecordedEvent,
    attempts: number,
  ): Promise<Error | undefined> {
    const { reactor } = this.options;
    try {
      await traceReaction(reactor.name, stored, () => reactor.react(event, signal));
      return undefined;
    } catch (thrown) {
      const error = asError(thrown);
      if (!signal.aborted) this.options.onFailedReaction?.(event, error, attempts);
      return error;
    }
  }

  private keyOf(event: RecordedEvent): string {
    return this.options.reactor.keyOf?.(event) ?? event.stream;
  }
}

const isAborted = ({ signal }: Leading): boolean => signal.aborted;

/** Until the first of the waiting events is due. */
const waitMsOf = ({ retryAtMs }: Leading): number => Math.max(0, Math.min(retryAtMs - performance.now(), TIMER_MS_MAX));

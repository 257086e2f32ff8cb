import { setTimeout as sleep } from 'node:timers/promises';
import { categoryOf } from '#libs/contracts';
import type { Codec } from './codec.js';
import { UnknownEvent } from './codec.js';
import type { EventStore, FollowPage, Position, StoredEvent } from './event-store.js';
import { HeadReader, Staleness, withDeadline } from './head.js';
import { openEvents } from './open-events.js';
import { PositionWatch } from './position-watch.js';
import type { EventIndex, OpenedEvent } from './projection.js';

/** A refusal waits this long for the head, and then is another answer's business. */
export const REACH_HEAD_MS = 250;
export const REACH_HEAD_WAITERS_MAX = 1_000;
/** How long what this process appended waits for the log before it, where another process wrote to the same stream. */
export const GAP_MS = 2_000;
/** A subscription that stands still this long while behind is opened anew. */
export const STALL_MS = 2_000;
const HEAD_EVERY_MS = 500;
const TICK_MS = 250;
const RETRY_MS_MAX = 2_000;

/** The indexes could not be brought to the store's head in time: decide from memory, or answer 503. */
export class HeadUnreached extends Error {
  constructor(
    readonly reason: 'waiters' | 'timeout' | 'unavailable' | 'stopped',
    options?: ErrorOptions,
  ) {
    super(`The head of the event store was not reached: ${reason}.`, options);
    this.name = 'HeadUnreached';
  }
}

export interface IndexFollowerOptions {
  readonly store: EventStore;
  readonly codec: Codec;
  readonly indexes?: readonly EventIndex[];
  /** Milliseconds that never go back. */
  readonly monotonicMs?: () => number;
  /** Told once, when an index threw or an event cannot be read: from then on the indexes only get staler. */
  readonly onFailure?: (error: Error) => void;
  /** Told of what passes by itself: the store or the data keys out of reach. */
  readonly onRetry?: (error: unknown) => void;
}

export interface IndexFollowerCounters {
  readonly eventsFollowed: number;
  readonly eventsApplied: number;
  readonly gaps: number;
  readonly retries: number;
  readonly stalls: number;
  readonly headReads: number;
  readonly headWaiters: number;
}

/** Feeds the in-memory indexes of this process: from the log by position, and at once with what the process appended. */
export class IndexFollower {
  /** Resolves when the store's head was reached for the first time; rejects if the follower stops before. */
  readonly ready: Promise<void>;
  private settleReady!: { resolve: () => void; reject: (error: Error) => void };
  private readonly indexes: EventIndex[];
  private byCategory = new Map<string, EventIndex[]>();
  private readonly monotonicMs: () => number;
  private readonly watch: PositionWatch;
  private readonly head: HeadReader;
  private readonly staleness = new Staleness();
  private readonly closing = new AbortController();
  private subscription = new AbortController();
  /** Monotonic ms since which the next page is awaited; undefined while one is being applied. */
  private awaitingSinceMs: number | undefined;
  private loop: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private failed: Error | undefined;
  private headWaiters = 0;
  private eventsFollowed = 0;
  private eventsApplied = 0;
  private gaps = 0;
  private retries = 0;
  private stalls = 0;

  constructor(private readonly options: IndexFollowerOptions) {
    this.indexes = [...(options.indexes ?? [])];
    this.monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.watch = new PositionWatch(options.store.origin);
    this.head = new HeadReader(options.store, this.monotonicMs, (sample) => {
      this.staleness.headRead(sample, this.watch.position);
      this.noteReady();
    });
    this.ready = new Promise((resolve, reject) => {
      this.settleReady = { resolve, reject };
    });
    // Whoever awaits `ready` learns of the failure; nobody has to.
    this.ready.catch(() => undefined);
  }

  /** The last position whose events all indexes have seen. */
  get position(): Position {
    return this.watch.position;
  }

  get failure(): Error | undefined {
    return this.failed;
  }

  get counters(): IndexFollowerCounters {
    return {
      eventsFollowed: this.eventsFollowed,
      eventsApplied: this.eventsApplied,
      gaps: this.gaps,
      retries: this.retries,
      stalls: this.stalls,
      headReads: this.head.readsSent,
      headWaiters: this.headWaiters,
    };
  }

  register(index: EventIndex): void {
    if (this.loop !== undefined) throw new Error('An index is registered before the follower starts.');
    this.indexes.push(index);
  }

  start(): void {
    if (this.loop !== undefined) return;
    for (const index of this.indexes)
      for (const category of index.categories)
        this.byCategory.set(category, [...(this.byCategory.get(category) ?? []), index]);
    this.loop = this.run();
    this.timer = setInterval(() => {
      this.tick();
    }, TICK_MS);
    this.timer.unref();
    this.readHead();
  }

  async close(): Promise<void> {
    this.closing.abort();
    this.subscription.abort();
    clearInterval(this.timer);
    this.watch.giveUp();
    this.settleReady.reject(new HeadUnreached('stopped'));
    await this.loop;
  }

  /**
   * Applies what this process appended (one stream, ascending) at once. Where an event before it is missing here, the
   * follower brings both: at most 2 s, then the answer goes out all the same. Never rejects.
   */
  async applyAppended(events: readonly StoredEvent[]): Promise<void> {
    const last = events.at(-1);
    if (last === undefined || this.isStopped()) return;
    try {
      const gap = this.applyAll(await this.open(events)) === 'gap';
      if (!gap) return;
      this.gaps += 1;
    } catch (error) {
      this.options.onRetry?.(error);
    }
    if (!this.isStopped()) await this.watch.waitFor(last.position, GAP_MS);
  }

  /** Until the position is passed or the time is over: true if it was passed. */
  waitFor(position: Position, timeoutMs: number): Promise<boolean> {
    return this.isStopped() ? Promise.resolve(position <= this.position) : this.watch.waitFor(position, timeoutMs);
  }

  /**
   * Resolves when the indexes have passed the store's head as read after this call: what they refuse then, no event
   * acknowledged before the call allows. Rejects with HeadUnreached.
   */
  async reachHead(): Promise<void> {
    if (this.isStopped()) throw new HeadUnreached('stopped');
    if (this.headWaiters >= REACH_HEAD_WAITERS_MAX) throw new HeadUnreached('waiters');
    this.headWaiters += 1;
    const startedMs = performance.now();
    try {
      const { position } = await withDeadline(this.head.read(), REACH_HEAD_MS).catch((error: unknown) => {
        throw new HeadUnreached('unavailable', { cause: error });
      });
      const reached = await this.watch.waitFor(position, REACH_HEAD_MS - (performance.now() - startedMs));
      if (!reached) throw new HeadUnreached(this.isStopped() ? 'stopped' : 'timeout');
    } finally {
      this.headWaiters -= 1;
    }
  }

  /** Ms since the newest head read was sent that the indexes have reached; infinite until the first. */
  stalenessMs(): number {
    return this.staleness.ms(this.monotonicMs());
  }

  private isStopped(): boolean {
    return this.failed !== undefined || this.closing.signal.aborted;
  }

  private async run(): Promise<void> {
    let pauseMs = 0;
    while (!this.isStopped()) {
      const before = this.position;
      this.subscription = new AbortController();
      try {
        await this.followUntil(this.subscription.signal);
      } catch (error) {
        if (error instanceof UnknownEvent) this.fail(error);
        else this.options.onRetry?.(error);
      }
      this.awaitingSinceMs = undefined;
      this.subscription.abort();
      if (this.isStopped()) return;
      this.retries += 1;
      pauseMs = this.position > before ? 50 : Math.min(Math.max(50, pauseMs * 2), RETRY_MS_MAX);
      await sleep(pauseMs, undefined, { signal: this.closing.signal }).catch(() => undefined);
    }
  }

  private async followUntil(signal: AbortSignal): Promise<void> {
    const filter = { categories: [...this.byCategory.keys()] };
    const pages = this.options.store.follow({ after: this.position, signal, filter })[Symbol.asyncIterator]();
    try {
      while (!signal.aborted) {
        this.awaitingSinceMs = this.monotonicMs();
        const next = await nextUnlessAborted(pages, signal);
        this.awaitingSinceMs = undefined;
        if (next === undefined || next.done === true) return;
        await this.applyPage(next.value);
      }
    } finally {
      // A generator that stands at its yield hears no signal: only `return` lets it give up what it holds.
      void pages.return?.().catch(() => undefined);
    }
  }

  private async applyPage({ events, position }: FollowPage): Promise<void> {
    if (events.length > 0 && this.applyAll(await this.open(events)) === 'gap')
      this.fail(new Error(`An index found a gap in the log before ${position}.`));
    if (this.isStopped()) return;
    this.eventsFollowed += events.length;
    this.watch.advance(position);
    this.staleness.reached(this.position);
    this.noteReady();
  }

  private open(events: readonly StoredEvent[]): Promise<OpenedEvent[]> {
    const wanted = events.filter((event) => this.byCategory.has(categoryOf(event.stream)));
    const parts = new Set(this.indexes.flatMap((index) => index.parts));
    return openEvents(this.options.codec, wanted, [...parts]);
  }

  /** Synchronous, so that no reader of an index ever sees half an event. */
  private applyAll(events: readonly OpenedEvent[]): 'applied' | 'gap' {
    let outcome: 'applied' | 'gap' = 'applied';
    for (const event of events) {
      for (const index of this.byCategory.get(categoryOf(event.stream)) ?? []) {
        try {
          const result = index.apply(event);
          if (result === 'applied') this.eventsApplied += 1;
          if (result === 'gap') outcome = 'gap';
        } catch (error) {
          this.fail(error instanceof Error ? error : new Error(String(error)));
          return outcome;
        }
      }
    }
    return outcome;
  }

  private fail(error: Error): void {
    if (this.failed !== undefined) return;
    this.failed = error;
    this.subscription.abort();
    clearInterval(this.timer);
    this.watch.giveUp();
    this.settleReady.reject(error);
    this.options.onFailure?.(error);
  }

  private noteReady(): void {
    if (this.stalenessMs() !== Number.POSITIVE_INFINITY) this.settleReady.resolve();
  }

  private tick(): void {
    const nowMs = this.monotonicMs();
    if (nowMs - this.head.lastSentMs >= HEAD_EVERY_MS) this.readHead();
    const { behindSinceMs } = this.staleness;
    if (behindSinceMs === undefined || this.awaitingSinceMs === undefined) return;
    if (nowMs - Math.max(behindSinceMs, this.awaitingSinceMs) < STALL_MS) return;
    this.stalls += 1;
    this.subscription.abort();
  }

  private readHead(): void {
    this.head.read().catch((error: unknown) => this.options.onRetry?.(error));
  }
}

/** A subscription that ignores its signal must not hold up its successor, so its late page is dropped. */
function nextUnlessAborted(
  pages: AsyncIterator<FollowPage>,
  signal: AbortSignal,
): Promise<IteratorResult<FollowPage> | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      resolve(undefined);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    pages
      .next()
      .finally(() => {
        signal.removeEventListener('abort', onAbort);
      })
      .then(resolve, reject);
  });
}

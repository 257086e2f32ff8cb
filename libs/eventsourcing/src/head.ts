import type { EventStore, Position } from './event-store.js';

/** After this a head read that hangs is given up, so that a store that comes back is noticed. */
export const HEAD_READ_MS = 1_000;
const SAMPLES_MAX = 256;

export interface HeadSample {
  /** Monotonic ms at which the read was sent: all that was committed before stands at or before `position`. */
  readonly sentMs: number;
  readonly position: Position;
}

/** Reads the store's head for many at once: one read runs, one is queued, and whoever comes takes the queued one. */
export class HeadReader {
  private running: Promise<HeadSample> | undefined;
  private queued: Promise<HeadSample> | undefined;
  private sentMs = Number.NEGATIVE_INFINITY;
  private sent = 0;

  constructor(
    private readonly store: Pick<EventStore, 'head'>,
    private readonly monotonicMs: () => number,
    private readonly onRead: (sample: HeadSample) => void,
  ) {}

  get lastSentMs(): number {
    return this.sentMs;
  }

  get readsSent(): number {
    return this.sent;
  }

  /** The head by a read that is sent after this call; rejects when the store cannot be read within a second. */
  read(): Promise<HeadSample> {
    if (this.running === undefined) return this.send();
    this.queued ??= this.running.then(nothing, nothing).then(() => {
      this.queued = undefined;
      return this.running ?? this.send();
    });
    return this.queued;
  }

  private send(): Promise<HeadSample> {
    const sentMs = this.monotonicMs();
    this.sentMs = sentMs;
    this.sent += 1;
    this.running = withDeadline(this.store.head(), HEAD_READ_MS)
      .then((position) => {
        const sample = { sentMs, position };
        this.onRead(sample);
        return sample;
      })
      .finally(() => {
        this.running = undefined;
      });
    return this.running;
  }
}

/** How old the newest head is that a follower has reached. Heads that were read and not reached yet wait here. */
export class Staleness {
  private pending: HeadSample[] = [];
  private freshAtMs: number | undefined;

  /** Monotonic ms since which the follower is known to be behind; undefined while it is not. */
  get behindSinceMs(): number | undefined {
    return this.pending[0]?.sentMs;
  }

  headRead(sample: HeadSample, reached: Position): void {
    const last = this.pending.at(-1);
    // Replacing the newest sample errs towards staler, and keeps the list bounded however long the follower lags.
    if (last !== undefined && this.pending.length >= SAMPLES_MAX) this.pending.pop();
    this.pending.push(sample);
    this.reached(reached);
  }

  reached(position: Position): void {
    let count = 0;
    for (const sample of this.pending) {
      if (sample.position > position) break;
      this.freshAtMs = sample.sentMs;
      count += 1;
    }
    if (count > 0) this.pending = this.pending.slice(count);
  }

  /** Infinite until a head was reached for the first time. */
  ms(nowMs: number): number {
    return this.freshAtMs === undefined ? Number.POSITIVE_INFINITY : Math.max(0, nowMs - this.freshAtMs);
  }
}

export class DeadlinePassed extends Error {
  constructor(ms: number) {
    super(`No answer within ${ms} ms.`);
    this.name = 'DeadlinePassed';
  }
}

/** Rejects with DeadlinePassed after `ms`; the promise itself goes on and its late answer is dropped. */
export function withDeadline<T>(promise: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new DeadlinePassed(ms));
    }, ms);
    promise
      .finally(() => {
        clearTimeout(timer);
      })
      .then(resolve, reject);
  });
}

const nothing = (): void => undefined;

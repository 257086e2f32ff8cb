import { Clock } from '#libs/eventsourcing';

export interface StoreClockOptions {
  /** The store's own time, ms since the epoch. */
  readonly sample: () => Promise<number>;
  /** Between two samples; 10 s unless told. */
  readonly intervalMs?: number;
  /** Told of every sample that failed; the clock goes on from the last one. */
  readonly onError?: (error: unknown) => void;
  readonly wallMs?: () => number;
  readonly monotonicMs?: () => number;
}

const INTERVAL_MS = 10_000;
const TICK_MS = 500;
const RETRY_MS = 1000;
/** Wall clock and monotonic clock part by so much when the one was set or the machine slept. */
const DRIFT_MS_MAX = 1000;
/** An answer that took longer says too little about when it was made. */
const ROUND_TRIP_MS_MAX = 1000;

interface Sample {
  /** The store's time less the monotonic clock. */
  readonly offsetMs: number;
  /** The wall clock less the monotonic clock. */
  readonly wallOffsetMs: number;
  readonly atMs: number;
}

/**
 * The store's time: a sample of it and the monotonic time since. It never runs back, not even where the store's own
 * clock was set back: then it stands still until that has caught up.
 */
export class StoreClock extends Clock {
  private readonly wallMs: () => number;
  private readonly monotonicMs: () => number;
  private readonly intervalMs: number;
  private last: Sample = { offsetMs: 0, wallOffsetMs: 0, atMs: 0 };
  private highestMs = -Infinity;
  private sampling: Promise<void> | undefined;
  private nextMs = 0;
  private timer: NodeJS.Timeout | undefined;

  private constructor(private readonly options: StoreClockOptions) {
    super();
    this.wallMs = options.wallMs ?? Date.now;
    this.monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.intervalMs = options.intervalMs ?? INTERVAL_MS;
  }

  /** Throws what the first sample throws. */
  static async start(options: StoreClockOptions): Promise<StoreClock> {
    const clock = new StoreClock(options);
    await clock.takeSample(Infinity);
    clock.timer = setInterval(() => {
      clock.look();
    }, TICK_MS);
    clock.timer.unref();
    return clock;
  }

  nowMs(): number {
    if (this.hasDrifted()) this.resample();
    this.highestMs = Math.max(this.highestMs, Math.floor(this.monotonicMs() + this.last.offsetMs));
    return this.highestMs;
  }

  /** This machine's clock less the store's; positive when this machine's runs ahead. */
  get skewMs(): number {
    return this.wallMs() - (this.monotonicMs() + this.last.offsetMs);
  }

  /** How old the last sample is: grows past the interval while the store cannot be asked. */
  get sampleAgeMs(): number {
    return this.monotonicMs() - this.last.atMs;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    if (this.hasDrifted() || this.sampleAgeMs >= this.intervalMs) this.resample();
  }

  private hasDrifted(): boolean {
    return Math.abs(this.wallMs() - this.monotonicMs() - this.last.wallOffsetMs) > DRIFT_MS_MAX;
  }

  /** One sample at a time, and after a failure not before a while has passed. */
  private resample(): void {
    if (this.sampling !== undefined || this.monotonicMs() < this.nextMs) return;
    this.sampling = this.takeSample(ROUND_TRIP_MS_MAX)
      .catch((error: unknown) => {
        this.nextMs = this.monotonicMs() + RETRY_MS;
        this.options.onError?.(error);
      })
      .finally(() => (this.sampling = undefined));
  }

  private async takeSample(roundTripMsMax: number): Promise<void> {
    const sentMs = this.monotonicMs();
    const storeMs = await this.options.sample();
    const atMs = this.monotonicMs();
    if (atMs - sentMs > roundTripMsMax)
      throw new Error(`The store took ${Math.round(atMs - sentMs)} ms to tell the time.`);
    this.last = { offsetMs: storeMs - (sentMs + atMs) / 2, wallOffsetMs: this.wallMs() - atMs, atMs };
  }
}

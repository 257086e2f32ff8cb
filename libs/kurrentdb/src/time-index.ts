import type { Position } from '#libs/eventsourcing';

/** One event of the log: where it stands and when it was stored. */
export interface Moment {
  readonly position: Position;
  readonly storedMs: number;
}

const SAMPLE_EVENTS = 100;
const SAMPLES_MAX = 20_000;

/**
 * Where the log stood when. The server keeps no such index, so whoever reads the log from its beginning without a gap
 * feeds this one: every hundredth event, and ever fewer as the log grows.
 */
export class TimeIndex {
  private samples: Moment[] = [];
  private everyEvents = SAMPLE_EVENTS;
  private eventsSinceSample = 0;
  private latestMs = -Infinity;

  constructor(
    private frontier: Position,
    private readonly samplesMax = SAMPLES_MAX,
  ) {}

  /** All events up to here are counted. */
  get position(): Position {
    return this.frontier;
  }

  /** How many events stand between two samples. */
  get stepEvents(): number {
    return this.everyEvents;
  }

  /** The events of a stretch of the log, ascending: all after `after`, up to `upTo`. */
  note(after: Position, upTo: Position, events: readonly Moment[]): void {
    if (after > this.frontier || upTo <= this.frontier) return;
    for (const { position, storedMs } of events) {
      if (position <= this.frontier) continue;
      this.latestMs = Math.max(this.latestMs, storedMs);
      this.eventsSinceSample += 1;
      if (this.eventsSinceSample < this.everyEvents) continue;
      this.eventsSinceSample = 0;
      this.samples.push({ position, storedMs: this.latestMs });
      if (this.samples.length > this.samplesMax) this.thin();
    }
    this.frontier = upTo;
  }

  /** The last sampled event up to which nothing was stored after `ms`; undefined if that lies before the first. */
  before(ms: number): Position | undefined {
    let low = 0;
    let high = this.samples.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.samples[middle] as Moment).storedMs <= ms) low = middle + 1;
      else high = middle;
    }
    return this.samples[low - 1]?.position;
  }

  private thin(): void {
    this.samples = this.samples.filter((_, n) => n % 2 === 1);
    this.everyEvents *= 2;
  }
}

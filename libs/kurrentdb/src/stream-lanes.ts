import { StoreUnavailable } from '#libs/eventsourcing';
import { after } from './timers.js';

/**
 * The client queues what it cannot write at once, and where the stream breaks meanwhile it rejects that queue with
 * nobody listening, which ends the process. Under its high-water mark of 16 it queues nothing.
 */
export const APPENDS_IN_FLIGHT_MAX = 15;
const WAITING_MAX = 10_000;

interface Waiting {
  readonly start: () => void;
  readonly cancelTimer: () => void;
}

/** Lets appends pass, those of one stream one after the other and of all streams so many at once. */
export class StreamLanes {
  private readonly waiting = new Map<string, Waiting[]>();
  /** Streams whose first waiting append may go as soon as there is room. */
  private readonly ready: string[] = [];
  private readonly busy = new Set<string>();
  private waitingCount = 0;

  constructor(private readonly waitMs: number) {}

  /** Throws StoreUnavailable for what would wait too long, or behind too many; nothing of it is sent then. */
  async run<T>(stream: string, append: () => Promise<T>): Promise<T> {
    if (this.waitingCount >= WAITING_MAX) throw new StoreUnavailable('overloaded');
    await this.turnOf(stream);
    try {
      return await append();
    } finally {
      this.busy.delete(stream);
      if (this.waiting.has(stream)) this.ready.push(stream);
      this.startNext();
    }
  }

  private turnOf(stream: string): Promise<void> {
    if (this.busy.size < APPENDS_IN_FLIGHT_MAX && !this.busy.has(stream) && !this.waiting.has(stream)) {
      this.busy.add(stream);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const lane = this.waiting.get(stream) ?? [];
      if (lane.length === 0) {
        this.waiting.set(stream, lane);
        if (!this.busy.has(stream)) this.ready.push(stream);
      }
      const one: Waiting = {
        start: resolve,
        cancelTimer: after(this.waitMs, () => {
          lane.splice(lane.indexOf(one), 1);
          if (lane.length === 0) this.waiting.delete(stream);
          this.waitingCount -= 1;
          reject(new StoreUnavailable('overloaded'));
        }),
      };
      lane.push(one);
      this.waitingCount += 1;
    });
  }

  private startNext(): void {
    while (this.busy.size < APPENDS_IN_FLIGHT_MAX) {
      const stream = this.ready.shift();
      if (stream === undefined) return;
      const lane = this.waiting.get(stream);
      const next = this.busy.has(stream) ? undefined : lane?.shift();
      if (next === undefined) continue;
      if (lane?.length === 0) this.waiting.delete(stream);
      this.waitingCount -= 1;
      next.cancelTimer();
      this.busy.add(stream);
      next.start();
    }
  }
}

import { addMs, MEMORY_MS } from './id-time.js';
import type { Journal } from './journal.js';

/** One that was over at that time; the key may have come to life again since. */
interface Memory {
  readonly key: string;
  readonly at: string;
}

/**
 * What is over, oldest first, for 24 hours and up to a number. When it forgets rests on the times of the stream's own
 * events alone, so a snapshot and a fold from the beginning forget alike.
 */
export class MemoryWindow {
  private queue: Memory[] = [];
  private head = 0;
  private headEndsAt = '';

  constructor(
    private readonly journal: Journal,
    private readonly sizeMax: number,
    private readonly forget: (memory: Memory) => void,
  ) {}

  push(key: string, at: string): void {
    this.queue.push({ key, at });
    if (this.journal.isRecording)
      this.journal.record(() => {
        this.queue.pop();
        this.headEndsAt = '';
      });
  }

  /** Forgets what is older than 24 hours at that time, and the oldest beyond the number. */
  pass(at: string): void {
    for (;;) {
      const oldest = this.queue[this.head];
      if (oldest === undefined) return;
      if (this.headEndsAt === '') this.headEndsAt = addMs(oldest.at, MEMORY_MS);
      if (this.headEndsAt > at && this.queue.length - this.head <= this.sizeMax) return;
      this.drop(oldest);
    }
  }

  private drop(oldest: Memory): void {
    this.head += 1;
    this.headEndsAt = '';
    if (this.journal.isRecording)
      this.journal.record(() => {
        this.head -= 1;
        this.headEndsAt = '';
      });
    this.forget(oldest);
    // What was dropped is kept until nothing can be undone.
    if (!this.journal.isRecording && this.head > 1_000 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
  }

  list(): readonly Memory[] {
    return this.queue.slice(this.head);
  }
}

import type { Position } from './event-store.js';

interface Waiter {
  readonly position: Position;
  readonly settle: (reached: boolean) => void;
}

/** A position that only grows, and those who wait for it. */
export class PositionWatch {
  private readonly waiters = new Set<Waiter>();

  constructor(private current: Position) {}

  get position(): Position {
    return this.current;
  }

  get waiting(): number {
    return this.waiters.size;
  }

  advance(position: Position): void {
    if (position <= this.current) return;
    this.current = position;
    for (const waiter of this.waiters) if (waiter.position <= position) waiter.settle(true);
  }

  /** False once `timeoutMs` have gone by, or when the watch was given up. */
  waitFor(position: Position, timeoutMs: number): Promise<boolean> {
    if (position <= this.current) return Promise.resolve(true);
    if (timeoutMs <= 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        position,
        settle: (reached) => {
          clearTimeout(timer);
          this.waiters.delete(waiter);
          resolve(reached);
        },
      };
      const timer = setTimeout(() => {
        waiter.settle(false);
      }, timeoutMs);
      this.waiters.add(waiter);
    });
  }

  giveUp(): void {
    for (const waiter of this.waiters) waiter.settle(false);
  }
}

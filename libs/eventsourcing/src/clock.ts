/** The one clock of the program. Everything that asks for the time asks this (docs/events.md, Time). */
export abstract class Clock {
  abstract nowMs(): number;

  now(): string {
    return new Date(this.nowMs()).toISOString();
  }
}

/** The clock of a test: it stands still until it is told. */
export class FixedClock extends Clock {
  constructor(private ms: number = Date.UTC(2026, 0, 1)) {
    super();
  }

  nowMs(): number {
    return this.ms;
  }

  set(time: string | number): void {
    this.ms = typeof time === 'number' ? time : Date.parse(time);
  }

  advance(ms: number): void {
    this.ms += ms;
  }
}

const FIRST_MS = 100;
const LAST_MS = 10_000;
/** What has run this long begins anew. */
const FORGET_MS = 60_000;

/** How long to wait before something that ended is started again: ever longer while it keeps ending, up to 10 s. */
export class Backoff {
  private delayMs = FIRST_MS;
  private endedAtMs = -Infinity;

  constructor(private readonly now: () => number = () => performance.now()) {}

  nextMs(): number {
    const nowMs = this.now();
    if (nowMs - this.endedAtMs > FORGET_MS) this.delayMs = FIRST_MS;
    this.endedAtMs = nowMs;
    const delayMs = this.delayMs;
    this.delayMs = Math.min(LAST_MS, 2 * delayMs);
    return delayMs;
  }
}

import type { Pool } from 'pg';
import { pruneUsage } from './usage-tables.js';

const REST_MS = 600_000;
/** While there is more to delete. */
const BREATH_MS = 1_000;

/** Deletes counts that are past their time, a little at a time, wherever batches are written. */
export class UsagePruner {
  private timer: NodeJS.Timeout | undefined;
  private pruning: Promise<void> | undefined;
  private isStopped = false;

  constructor(
    private readonly pool: Pick<Pool, 'query'>,
    private readonly onError: (error: unknown) => void,
  ) {}

  start(): void {
    this.after(BREATH_MS);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.pruning;
  }

  private after(ms: number): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => {
      this.pruning = this.prune();
    }, ms);
    this.timer.unref();
  }

  private async prune(): Promise<void> {
    let isMore = false;
    try {
      isMore = await pruneUsage(this.pool);
    } catch (error) {
      this.onError(error);
    }
    this.after(isMore ? BREATH_MS : REST_MS);
  }
}

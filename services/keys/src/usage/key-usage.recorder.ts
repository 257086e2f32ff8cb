import { randomUUID } from 'node:crypto';
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import type { KeyUsageBatch, VerifyCode } from '#libs/contracts';
import { LOGGER, Metrics } from '#libs/platform';
import { KeyUsageSink, UsageBatchRefused } from './key-usage-sink.js';
import { type CountedKey, type TalliedUse, UsageTally } from './usage-tally.js';

/** Uses closer together than this are one. */
export const RESOLUTION_MS = 60_000;
export const FLUSH_EVERY_MS = 1_000;
/** Of what waits for a sink that is away; see UsageTally for what happens then. */
const ROWS_MAX = 50_000;
/** So much is flushed at once. */
const FLUSH_ROWS = ROWS_MAX / 2;
/** A batch of so many counts and so many last uses is well below what Kafka takes as one message. */
const BATCH_ROWS_MAX = 1_000;
const REMEMBERED_KEYS_MAX = 500_000;
/** How long a process that ends waits for its last batches. */
const LAST_FLUSH_MS_MAX = 5_000;

/**
 * Counts what verification decides, and when each key and each of its secrets was last used, to the minute. Noting it
 * never waits and never throws; once a second what is new leaves in batches, one at a time, each given again until the sink
 * has it. A crash loses at most that second.
 */
@Injectable()
export class KeyUsageRecorder implements OnModuleInit, OnApplicationShutdown {
  private readonly source = randomUUID();
  private readonly tally = new UsageTally(ROWS_MAX);
  /** By key: version and ms of what left last, in pairs. */
  private readonly remembered = new Map<string, number[]>();
  private sequence = 0;
  private unsent: KeyUsageBatch[] = [];
  private refused = 0;
  private isFailing = false;
  private readonly ending = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> | undefined;

  constructor(
    private readonly sink: KeyUsageSink,
    metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Pick<Logger, 'error' | 'info' | 'warn'>,
  ) {
    metrics.gauge(
      'steward_key_usage_waiting_rows',
      'Counts and last uses of keys that wait to be written or published.',
      () => this.waitingRows,
    );
    metrics.gauge(
      'steward_key_usage_dropped_total',
      'Decisions of verify that no count has, because too much waited or a batch was refused. Above 0 is a loss.',
      () => this.tally.dropped + this.refused,
    );
  }

  onModuleInit(): void {
    this.timer = setInterval(() => void this.flush(), FLUSH_EVERY_MS);
    this.timer.unref();
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    const late = setTimeout(() => {
      this.ending.abort(new Error('The process ends.'));
    }, LAST_FLUSH_MS_MAX);
    await this.flushing;
    await this.flush();
    clearTimeout(late);
    if (this.waitingRows > 0) this.logger.error({ rows: this.waitingRows }, 'Usage of keys was lost at the end.');
    await this.sink.close();
  }

  /** A decision of verify, asked for by the service; `about` is undefined where it is about no key. */
  decided(about: CountedKey | undefined, code: VerifyCode, service: string, atMs: number): void {
    this.tally.decided(about, code, service, atMs);
    if (this.tally.rows >= FLUSH_ROWS && this.flushing === undefined && !this.isFailing) void this.flush();
  }

  /** A key was used at Steward itself, which no verification asked for. */
  used(about: CountedKey, atMs: number): void {
    this.tally.used(about, atMs);
  }

  /** Sends what waits; what the sink does not take waits for the next second. Never rejects. */
  async flush(): Promise<void> {
    this.flushing ??= this.send().finally(() => {
      this.flushing = undefined;
    });
    return this.flushing;
  }

  private get waitingRows(): number {
    return (
      this.tally.rows + this.unsent.reduce((sum, { counts, lastUses }) => sum + counts.length + lastUses.length, 0)
    );
  }

  private async send(): Promise<void> {
    if (!(await this.sendUnsent())) return;
    this.unsent = this.batches();
    await this.sendUnsent();
  }

  /** False where some has to wait. */
  private async sendUnsent(): Promise<boolean> {
    for (let [batch] = this.unsent; batch !== undefined; [batch] = this.unsent) {
      try {
        await this.sink.take(batch, this.ending.signal);
        if (this.isFailing) this.logger.info({}, 'Usage of keys leaves again.');
        this.isFailing = false;
      } catch (err) {
        if (!(err instanceof UsageBatchRefused)) {
          // Once an outage is enough.
          if (!this.isFailing) this.logger.warn({ err }, 'Usage of keys waits; it is tried again.');
          this.isFailing = true;
          return false;
        }
        this.refused += batch.counts.reduce((sum, { count }) => sum + count, 0);
        this.logger.error({ err }, 'A batch of key usage was dropped.');
      }
      this.unsent.shift();
    }
    return true;
  }

  private batches(): KeyUsageBatch[] {
    const { counts, uses } = this.tally.take();
    const lastUses = uses
      .filter((use) => this.isNew(use))
      .map(({ keyId, version, atMs }) => ({ keyId, version, at: new Date(atMs).toISOString() }));
    const batches: KeyUsageBatch[] = [];
    for (let at = 0; at < Math.max(counts.length, lastUses.length); at += BATCH_ROWS_MAX) {
      this.sequence += 1;
      batches.push({
        v: 1,
        source: this.source,
        sequence: this.sequence,
        counts: counts.slice(at, at + BATCH_ROWS_MAX),
        lastUses: lastUses.slice(at, at + BATCH_ROWS_MAX),
      });
    }
    return batches;
  }

  private isNew({ keyId, version, atMs }: TalliedUse): boolean {
    const before = this.remembered.get(keyId);
    if (before === undefined) {
      // Forgetting costs a few writes more, and keeps memory bounded.
      if (this.remembered.size >= REMEMBERED_KEYS_MAX) this.remembered.clear();
      this.remembered.set(keyId, [version, atMs]);
      return true;
    }
    for (let n = 0; n < before.length; n += 2) {
      if (before[n] !== version) continue;
      if (atMs - (before[n + 1] as number) < RESOLUTION_MS) return false;
      before[n + 1] = atMs;
      return true;
    }
    before.push(version, atMs);
    return true;
  }
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type AppendRequest, EventIdTaken, StoreUnavailable } from '#libs/eventsourcing';
import pg from 'pg';
import { type AppendOutcome, sendBatch } from './append-batch.js';
import { failureOfAppend, isPoison, isServerAnswer } from './postgres-errors.js';
import { storeSession } from './session.js';

export const BATCH_APPENDS_MAX = 512;
export const BATCH_BYTES_MAX = 1024 * 1024;
export const MAILBOX_MAX = 10_000;

export interface AppendQueueOptions {
  readonly connection: pg.ClientConfig;
  readonly connectTimeoutMs: number;
  /** How long an append may wait before it is sent. */
  readonly waitMaxMs: number;
  readonly lockTimeoutMs: number;
  readonly statementTimeoutMs: number;
}

interface Waiting {
  readonly request: AppendRequest;
  readonly sizeBytes: number;
  readonly sinceMs: number;
  readonly resolve: (outcome: AppendOutcome) => void;
  readonly reject: (error: Error) => void;
}

/** The server's own timeout answers first; this one is for a server that does not answer at all. */
const DEADLINE_MARGIN_MS = 1_000;

/**
 * Group commit: while one batch is being committed the next one gathers, over one connection of its own. No timer
 * decides when a batch is sent; an append alone is sent at once.
 */
export class AppendQueue {
  private waiting: Waiting[] = [];
  private client: pg.Client | undefined;
  private pump: Promise<void> | undefined;
  private watch: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly options: AppendQueueOptions) {}

  add(request: AppendRequest, sizeBytes: number): Promise<AppendOutcome> {
    if (this.closed) return Promise.reject(new StoreUnavailable('unreachable'));
    if (this.waiting.length >= MAILBOX_MAX) return Promise.reject(new StoreUnavailable('overloaded'));
    return new Promise((resolve, reject) => {
      this.waiting.push({ request, sizeBytes, sinceMs: performance.now(), resolve, reject });
      this.watch ??= setTimeout(() => {
        this.refuseOverdue();
      }, this.options.waitMaxMs);
      this.pump ??= this.run();
    });
  }

  /** Commits what waits, then lets the connection go. */
  async close(): Promise<void> {
    this.closed = true;
    await this.pump;
    clearTimeout(this.watch);
    await this.client?.end();
    this.client = undefined;
  }

  private async run(): Promise<void> {
    for (;;) {
      // The callers that were just answered, and those of this turn, come along in the next batch.
      await nextTurn();
      if (this.waiting.length === 0) break;
      let client: pg.Client;
      try {
        client = await this.connected();
      } catch (cause) {
        const refusal = new StoreUnavailable('unreachable', { cause });
        for (const one of this.waiting.splice(0)) one.reject(refusal);
        continue;
      }
      await this.commit(client, this.take());
    }
    this.pump = undefined;
  }

  /** Two appends of the same command never share a batch: the later one finds the earlier one's events. */
  private take(): Waiting[] {
    const batch: Waiting[] = [];
    const later: Waiting[] = [];
    const firstIds = new Set<string>();
    let bytes = 0;
    let n = 0;
    for (; n < this.waiting.length && batch.length < BATCH_APPENDS_MAX; n += 1) {
      const one = this.waiting[n] as Waiting;
      const firstId = one.request.events[0]?.id ?? '';
      if (firstIds.has(firstId)) {
        later.push(one);
        continue;
      }
      if (batch.length > 0 && bytes + one.sizeBytes > BATCH_BYTES_MAX) break;
      firstIds.add(firstId);
      bytes += one.sizeBytes;
      batch.push(one);
    }
    this.waiting = [...later, ...this.waiting.slice(n)];
    return batch;
  }

  private async commit(client: pg.Client, batch: readonly Waiting[]): Promise<void> {
    let outcomes: AppendOutcome[];
    try {
      outcomes = await sendBatch(
        client,
        batch.map((one) => one.request),
        this.options.statementTimeoutMs + DEADLINE_MARGIN_MS,
      );
    } catch (error) {
      if (!isPoison(error)) this.drop(client);
      else if (batch.length > 1) {
        const half = batch.length >>> 1;
        await this.commit(client, batch.slice(0, half));
        await this.commit(client, batch.slice(half));
        return;
      }
      for (const one of batch) one.reject(failureOf(error, one.request));
      return;
    }
    batch.forEach((one, n) => {
      one.resolve(outcomes[n] as AppendOutcome);
    });
  }

  private async connected(): Promise<pg.Client> {
    if (this.client !== undefined) return this.client;
    const client = new pg.Client({
      ...storeSession(this.options.connection),
      application_name: 'steward-appends',
      connectionTimeoutMillis: this.options.connectTimeoutMs,
      lock_timeout: this.options.lockTimeoutMs,
      statement_timeout: this.options.statementTimeoutMs,
    });
    client.on('error', () => {
      this.drop(client);
    });
    client.on('end', () => {
      this.drop(client);
    });
    try {
      await client.connect();
      // Whatever the database's defaults are: each statement of a batch sees the latest, and a commit is on the disk.
      await client.query({
        text: `select set_config('default_transaction_isolation', 'read committed', false),
          set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false)`,
        query_timeout: this.options.connectTimeoutMs,
      } as pg.QueryConfig);
    } catch (error) {
      this.drop(client);
      throw error;
    }
    this.client = client;
    return client;
  }

  private drop(client: pg.Client): void {
    if (this.client === client) this.client = undefined;
    void client.end().catch(() => undefined);
  }

  /** While a batch hangs, those behind it learn within a bounded time that they were not sent. */
  private refuseOverdue(): void {
    const now = performance.now();
    const fresh = this.waiting.findIndex((one) => now - one.sinceMs < this.options.waitMaxMs);
    const overdue = this.waiting.splice(0, fresh === -1 ? this.waiting.length : fresh);
    for (const one of overdue) one.reject(new StoreUnavailable('overloaded'));
    const oldest = this.waiting[0];
    this.watch =
      oldest === undefined
        ? undefined
        : setTimeout(
            () => {
              this.refuseOverdue();
            },
            oldest.sinceMs + this.options.waitMaxMs - now,
          );
  }
}

function failureOf(error: unknown, request: AppendRequest): Error {
  if (isServerAnswer(error) && error.constraint === 'events_event_id_key')
    return new EventIdTaken(request.stream, { cause: error });
  return failureOfAppend(error);
}

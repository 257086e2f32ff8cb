import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

export interface ListenerOptions {
  readonly connection: pg.ClientConfig;
  readonly connectTimeoutMs: number;
}

const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 1_000;
/** A session that a network swallowed without a word is noticed by asking it. */
const PROBE_EVERY_MS = 5_000;

/**
 * One session that listens for appends, for all followers of a process, while there are any. It only wakes: what was
 * missed while it was away is found by the followers' own safety poll.
 */
export class Listener {
  private readonly wakers = new Set<() => void>();
  private session: AbortController | undefined;

  constructor(private readonly options: ListenerOptions) {}

  /** Calls `wake` at every append until the returned function is called. */
  add(wake: () => void): () => void {
    this.wakers.add(wake);
    if (this.session === undefined) {
      this.session = new AbortController();
      void this.run(this.session.signal);
    }
    return () => {
      this.wakers.delete(wake);
      if (this.wakers.size > 0) return;
      this.session?.abort();
      this.session = undefined;
    };
  }

  close(): void {
    this.wakers.clear();
    this.session?.abort();
    this.session = undefined;
  }

  private wakeAll(): void {
    for (const wake of this.wakers) wake();
  }

  private async run(signal: AbortSignal): Promise<void> {
    let backoffMs = BACKOFF_MIN_MS;
    while (!signal.aborted) {
      const heard = await this.listen(signal).catch(() => false);
      backoffMs = heard ? BACKOFF_MIN_MS : Math.min(backoffMs * 2, BACKOFF_MAX_MS);
      await sleep(backoffMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Until the session ends; true if it had begun. */
  private async listen(signal: AbortSignal): Promise<boolean> {
    const client = new pg.Client({
      keepAlive: true,
      ...this.options.connection,
      application_name: 'steward-listener',
      connectionTimeoutMillis: this.options.connectTimeoutMs,
      query_timeout: this.options.connectTimeoutMs,
    });
    const ended = new AbortController();
    const end = (): void => {
      ended.abort();
    };
    client.on('error', end);
    client.on('end', end);
    client.on('notification', () => {
      this.wakeAll();
    });
    const over = AbortSignal.any([signal, ended.signal]);
    const isOver = (): boolean => over.aborted;
    try {
      await client.connect();
      await client.query('listen ledger');
      this.wakeAll();
      while (!isOver()) {
        await sleep(PROBE_EVERY_MS, undefined, { signal: over }).catch(() => undefined);
        if (!isOver()) await client.query('select');
      }
      return true;
    } finally {
      void client.end().catch(() => undefined);
    }
  }
}

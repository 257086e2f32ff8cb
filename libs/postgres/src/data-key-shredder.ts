import { type Codec, type EventStore, type FollowPage, type Position } from '#libs/eventsourcing';
import type { PostgresDataKeys } from './postgres-data-keys.js';

export interface ShredderOptions {
  /** Told of every failure; it tries again by itself. */
  readonly onError?: (error: unknown) => void;
  readonly monotonicMs?: () => number;
}

const TYPES = ['KeyDeleted', 'SubjectErased'] as const;
const PAGE = 500;
/** Without anything to destroy the checkpoint moves this often, so that it costs no write an append. */
const CHECKPOINT_MS = 10_000;
const RETRY_MS = 500;

/**
 * Destroys the data keys that KeyDeleted and SubjectErased name. Its checkpoint stands in the table of the keys: a
 * restored backup of that table makes it destroy again, and one that the log does not know starts from the beginning.
 */
export class DataKeyShredder {
  private readonly monotonicMs: () => number;
  private reached: Position | undefined;
  private checkpoint: Position | undefined;
  private checkpointAtMs = -Infinity;
  private caughtUpAtMs: number | undefined;
  private isCaughtUp = false;
  private running: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;

  constructor(
    private readonly store: EventStore,
    private readonly codec: Codec,
    private readonly dataKeys: PostgresDataKeys,
    private readonly options: ShredderOptions = {},
  ) {
    this.monotonicMs = options.monotonicMs ?? (() => performance.now());
  }

  /** What was written up to here is destroyed; undefined before catchUp(). */
  get position(): Position | undefined {
    return this.reached;
  }

  /** 0 while caught up, else the time since it last was; undefined before the first time. */
  get lagMs(): number | undefined {
    if (this.caughtUpAtMs === undefined) return undefined;
    return this.isCaughtUp ? 0 : this.monotonicMs() - this.caughtUpAtMs;
  }

  /** To the head of the log, before anything is served. Throws StoreUnavailable, or UnknownEvent. */
  async catchUp(): Promise<void> {
    this.reached = await this.begin();
    for (let caughtUp = false; !caughtUp;) {
      const page = await this.store.readAll({ after: this.reached, limit: PAGE, filter: { types: [...TYPES] } });
      await this.take(page);
      ({ caughtUp } = page);
    }
  }

  /** Goes on from where catchUp() ended, until stop(). */
  start(): void {
    const abort = new AbortController();
    this.running ??= { abort, done: this.run(abort.signal) };
  }

  async stop(): Promise<void> {
    this.running?.abort.abort();
    await this.running?.done;
    this.running = undefined;
  }

  private async begin(): Promise<Position> {
    const { store } = this;
    const kept = await this.dataKeys.checkpoint();
    const known = kept !== undefined && store.isPosition(kept) && kept <= (await store.head());
    return known ? kept : store.origin;
  }

  private async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        this.reached ??= await this.begin();
        const after = this.reached;
        for await (const page of this.store.follow({ after, signal, pageSize: PAGE, filter: { types: [...TYPES] } }))
          await this.take(page);
      } catch (error) {
        this.isCaughtUp = false;
        this.options.onError?.(error);
        await pause(RETRY_MS, signal);
      }
    }
  }

  private async take(page: FollowPage): Promise<void> {
    this.isCaughtUp = false;
    const names = page.events.flatMap((event) => (this.codec.decode(event).data as { dataKeys: string[] }).dataKeys);
    await this.dataKeys.destroy(names);
    const due = names.length > 0 || this.monotonicMs() - this.checkpointAtMs >= CHECKPOINT_MS;
    if (due && page.position !== this.checkpoint) {
      await this.dataKeys.moveCheckpoint(page.position);
      this.checkpoint = page.position;
      this.checkpointAtMs = this.monotonicMs();
    }
    this.reached = page.position;
    this.isCaughtUp = page.caughtUp;
    if (page.caughtUp) this.caughtUpAtMs = this.monotonicMs();
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      done();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}

import { randomUUID } from 'node:crypto';
import { type EventStore, type FollowPage, oneAhead, type Position, PositionWatch } from '#libs/eventsourcing';
import { type EventPublisher, messageOf, orAborted } from '#libs/kafka';
import {
  leadUntilStopped,
  Lease,
  LEASE_TIMES,
  LeaseSession,
  type LeaseTimes,
  type ProjectionHostOptions,
  RelayCheckpoint,
  RelayDeposed,
} from '#libs/postgres';

const RELAY = 'kafka';
/** A send has one partition, so only a page of many events makes sends of many messages; two pages are held. */
const PAGE_EVENTS_MAX = 2_000;

export interface EventRelayOptions {
  readonly database: ProjectionHostOptions['database'];
  readonly store: EventStore;
  readonly publisher: Pick<EventPublisher, 'publish' | 'close'>;
  /** Awaited before the first page is published: makes the topics. */
  readonly prepare: () => Promise<void>;
  readonly leaseTimes?: LeaseTimes;
  readonly pageEventsMax?: number;
  /** Told of what passes by itself: Kafka, the database or the store out of reach. */
  readonly onRetry?: (error: Error) => void;
  /** Told once, when an event came that this release cannot read. */
  readonly onFailure?: (error: Error) => void;
}

export type RelayState = 'idle' | 'standby' | 'leading' | 'failed' | 'stopped';

/**
 * Publishes every event of the log to Kafka in the order of the log, of several processes one at a time. The checkpoint
 * moves once all replicas have a page, so an event is published at least once; a holder that was paused past its lease may
 * publish what its successor published already, and consumers tell it by the sequence within the stream.
 */
export class EventRelay {
  private readonly owner = randomUUID();
  private readonly stopping = new AbortController();
  private readonly leaseSession: LeaseSession;
  private readonly checkpoint: RelayCheckpoint;
  private readonly watch: PositionWatch;
  private loop: Promise<void> | undefined;
  private current: RelayState = 'idle';
  private isPrepared = false;
  private isCaughtUp = false;
  private caughtUpAtMs: number | undefined;
  private published = 0;

  constructor(private readonly options: EventRelayOptions) {
    this.leaseSession = new LeaseSession(options.database);
    this.checkpoint = new RelayCheckpoint(options.database, RELAY);
    this.watch = new PositionWatch(options.store.origin);
  }

  get state(): RelayState {
    return this.current;
  }

  /** Messages that this process has published, repeated ones too. */
  get publishedCount(): number {
    return this.published;
  }

  /** 0 while caught up, else the time since it last was, ms; null where another process relays. */
  get lagMs(): number | null {
    if (this.current !== 'leading' || this.caughtUpAtMs === undefined) return null;
    return this.isCaughtUp ? 0 : performance.now() - this.caughtUpAtMs;
  }

  /** Waits until this process has recorded everything up to the position as published: false when the time is over. */
  reach(position: Position, timeoutMs: number): Promise<boolean> {
    return this.watch.waitFor(position, timeoutMs);
  }

  start(): void {
    this.loop ??= this.run();
  }

  /** Breaks off what is in hand, which is published again at the next start, and gives the lease back. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
    this.watch.giveUp();
    this.leaseSession.close();
    await this.options.publisher.close();
    if (this.current !== 'failed') this.current = 'stopped';
  }

  private async run(): Promise<void> {
    const failure = await leadUntilStopped(() => this.lead(), {
      signal: this.stopping.signal,
      isExpected: (error) => error instanceof RelayDeposed,
      onRetry: this.options.onRetry,
    });
    if (failure === undefined) return;
    this.current = 'failed';
    this.options.onFailure?.(failure);
  }

  private async lead(): Promise<void> {
    const { leaseTimes = LEASE_TIMES } = this.options;
    this.current = 'standby';
    const { signal } = this.stopping;
    const lease = await Lease.acquire(this.leaseSession, `relay:${RELAY}`, this.owner, leaseTimes, signal);
    if (lease === undefined) return;
    try {
      if (!this.isPrepared) await orAborted(this.options.prepare(), AbortSignal.any([signal, lease.signal]));
      this.isPrepared = true;
      const after = await this.adopt(lease.epoch);
      this.current = 'leading';
      this.isCaughtUp = false;
      this.caughtUpAtMs = performance.now();
      await this.follow(lease, after);
    } finally {
      await lease.release().catch(() => undefined);
    }
  }

  private async adopt(epoch: number): Promise<Position> {
    const { store } = this.options;
    const position = await this.checkpoint.adopt(epoch, store.origin);
    // A position that the log does not have is of another log: it was restored from a backup.
    if (store.isPosition(position) && position <= (await store.head())) return position;
    await this.checkpoint.move(epoch, store.origin);
    return store.origin;
  }

  private async follow({ epoch, signal: lost }: Lease, after: Position): Promise<void> {
    const { store, pageEventsMax = PAGE_EVENTS_MAX } = this.options;
    const ending = new AbortController();
    const signal = AbortSignal.any([this.stopping.signal, lost, ending.signal]);
    try {
      for await (const page of oneAhead(store.follow({ after, signal, pageSize: pageEventsMax }))) {
        await this.relay(page, epoch, signal);
        if (signal.aborted) return;
      }
    } finally {
      ending.abort();
    }
  }

  private async relay(page: FollowPage, epoch: number, signal: AbortSignal): Promise<void> {
    this.isCaughtUp = false;
    if (page.events.length > 0) {
      await this.options.publisher.publish(page.events.map(messageOf), signal);
      this.published += page.events.length;
      await this.checkpoint.move(epoch, page.position);
    }
    this.watch.advance(page.position);
    this.isCaughtUp = page.caughtUp;
    if (page.caughtUp) this.caughtUpAtMs = performance.now();
  }
}

import { randomUUID } from 'node:crypto';
import {
  type AppendRequest,
  type AppendResult,
  checkAppend,
  EventIdTaken,
  type EventStore,
  type FollowOptions,
  type FollowPage,
  followPages,
  OutcomeUnknown,
  type Position,
  type ReadAllOptions,
  type ReadStreamOptions,
  type StoredEvent,
} from '#libs/eventsourcing';
import { ClientSlot } from './client-slot.js';
import { EventReader } from './event-reader.js';
import { parseEventStoreUrl } from './event-store-url.js';
import { EventStoreAccessDenied, failureOfAppend, isAnswer, isNotLeader } from './kurrent-errors.js';
import { LiveTail } from './live-tail.js';
import { isPosition, ORIGIN } from './positions.js';
import { ServerClock } from './server-clock.js';
import { proposedOf } from './stored-form.js';
import { StreamLanes } from './stream-lanes.js';
import { STORE_TIMERS, type StoreTimers, within } from './timers.js';

export interface KurrentEventStoreOptions {
  /** A connection string, see parseEventStoreUrl; it may hold a password. */
  readonly url: string;
  /** Only tests need others. */
  readonly timers?: StoreTimers;
}

/**
 * The event store on EventStoreDB 22.6 or newer, or KurrentDB. Positions have gaps, `storedAt` is the leader's clock, and
 * an id that stands on another stream is not noticed: ours are made from the stream's name.
 */
export class KurrentEventStore implements EventStore {
  readonly origin = ORIGIN;
  private readonly timers: StoreTimers;
  private readonly slot: ClientSlot;
  private readonly clock: ServerClock;
  private readonly reader: EventReader;
  private readonly tail: LiveTail;
  private readonly lanes: StreamLanes;

  /** Connects at the first call. Throws EventStoreUrlInvalid. */
  constructor(options: KurrentEventStoreOptions) {
    const url = parseEventStoreUrl(options.url);
    this.timers = options.timers ?? STORE_TIMERS;
    this.slot = new ClientSlot(url, () => {
      this.tail.reopen();
    });
    this.clock = new ServerClock(url, this.timers.shortReadMs);
    this.tail = new LiveTail(this.slot, () => this.reader.head(), this.timers.liveMs);
    this.lanes = new StreamLanes(this.timers.waitMs);
    this.reader = new EventReader(this.slot, this.clock, this.timers, (position) => {
      this.tail.seen(position);
    });
  }

  /** How often the client was replaced, and subscriptions opened, since the start. */
  get counters(): { readonly rebuilds: number; readonly subscriptions: number } {
    return { rebuilds: this.slot.rebuilds, subscriptions: this.tail.subscriptions };
  }

  /**
   * The server answers a repeated append as it answered the first, so what stands is read back: it bears the id of the
   * call that wrote it, each event's own position and the server's time.
   */
  async append(request: AppendRequest): Promise<AppendResult> {
    checkAppend(request);
    const { stream, expectedRevision, events } = request;
    if (new Set(events.map(({ id }) => id)).size < events.length) throw new EventIdTaken(stream);
    const appendId = randomUUID();
    const proposed = events.map((event) => proposedOf(event, appendId));
    const write = (): Promise<void> => this.write(request, proposed);
    await this.lanes
      .run(stream, () =>
        write().catch((error: unknown) => {
          if (isNotLeader(error)) return write();
          throw error;
        }),
      )
      .catch((error: unknown) => {
        throw failureOfAppend(error, request);
      });
    const standing = await this.standing(stream, expectedRevision, events.length);
    return {
      answeredAsDone: standing.some((one) => one.appendId !== appendId),
      events: standing.map(({ event }) => event),
    };
  }

  private async write(
    { stream, expectedRevision }: AppendRequest,
    events: readonly ReturnType<typeof proposedOf>[],
  ): Promise<void> {
    const taken = this.slot.get();
    const appended = taken.then((client) =>
      client.appendToStream(stream, [...events], {
        expectedRevision: expectedRevision === 0 ? 'no_stream' : BigInt(expectedRevision - 1),
        requiresLeader: true,
      }),
    );
    try {
      await within(this.timers.appendMs, appended);
      this.slot.answered();
    } catch (error) {
      if (isNoAnswer(error)) this.slot.discard(taken);
      else if (isAnswer(error)) this.slot.answered();
      throw error;
    }
  }

  private async standing(
    stream: string,
    expectedRevision: number,
    count: number,
  ): Promise<{ appendId: string; event: StoredEvent }[]> {
    try {
      const found = await this.reader.streamPage(stream, expectedRevision + 1, count);
      if (found.length < count) throw new Error(`${stream} does not hold what was just appended.`);
      this.clock.heard(Date.parse(found.at(-1)?.event.storedAt ?? ''));
      return found;
    } catch (error) {
      if (error instanceof EventStoreAccessDenied) throw error;
      throw new OutcomeUnknown({ cause: error });
    }
  }

  readStream(stream: string, options?: ReadStreamOptions): Promise<StoredEvent[]> {
    return this.reader.readStream(stream, options);
  }

  readAll(options: ReadAllOptions): Promise<FollowPage> {
    return this.reader.readAll(options);
  }

  follow(options: FollowOptions): AsyncGenerator<FollowPage, void, undefined> {
    return followPages({ readAll: (page) => this.readAll(page), listen: (wake) => this.tail.add(wake) }, options);
  }

  head(): Promise<Position> {
    return this.reader.head();
  }

  positionAt(time: Date): Promise<Position> {
    return this.reader.positionAt(time);
  }

  isPosition(text: string): boolean {
    return isPosition(text);
  }

  nowMs(): Promise<number> {
    return this.clock.nowMs();
  }

  async close(): Promise<void> {
    this.tail.close();
    await this.slot.close();
  }
}

/** Neither the server nor the client's own deadline for its first question: such a client never recovers by itself. */
const isNoAnswer = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'DeadlinePassed' || (error as { code?: unknown }).code === 4);

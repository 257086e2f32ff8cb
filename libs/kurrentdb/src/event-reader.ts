import type { ReadableOptions } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EventStoreDBClient } from '@eventstore/db-client';
import {
  DeadlinePassed,
  type EventFilter,
  type FollowPage,
  matchesFilter,
  type Position,
  type ReadAllOptions,
  type ReadStreamOptions,
  type StoredEvent,
} from '#libs/eventsourcing';
import type { ClientSlot } from './client-slot.js';
import { failureOfRead, isAnswer, isStreamNotFound } from './kurrent-errors.js';
import { FARTHEST, logPositionOf, ORIGIN } from './positions.js';
import type { ServerClock } from './server-clock.js';
import { isOfLedger, type ReadEvent, readEventOf, type Recorded, recordPosition } from './stored-form.js';
import { TimeIndex } from './time-index.js';
import { type StoreTimers, whileItMoves } from './timers.js';

const STREAM_PAGE = 1_000;
/** Records of the log in one call. */
const LOG_PAGE = 1_000;
/** How many records one page of ours looks at: the server's own, and what a filter drops, would else hold it up. */
const LOOKED_RECORDS_MAX = 20_000;
/** A page of the log lets the server be one call ahead at most. */
const READABLE: ReadableOptions = { highWaterMark: 64 };

type Reading = ReturnType<EventStoreDBClient['readAll']> | ReturnType<EventStoreDBClient['readStream']>;

/** A stretch of the log as the server gave it, its own records too. */
interface Stretch {
  readonly records: readonly Recorded[];
  readonly reachedEnd: boolean;
}

/** Reads through the client, each within a timer of ours: the client sets no deadline for any read. */
export class EventReader {
  private readonly times = new TimeIndex(ORIGIN);
  private readonly stretches = new Map<string, Promise<Stretch>>();

  constructor(
    private readonly slot: ClientSlot,
    private readonly clock: ServerClock,
    private readonly timers: StoreTimers,
    /** Told how far a read has seen the log. */
    private readonly onSeen: (position: Position) => void,
  ) {}

  async readStream(stream: string, options: ReadStreamOptions = {}): Promise<StoredEvent[]> {
    const { backwards = false, limit = Infinity } = options;
    let low = (backwards ? options.to : options.from) ?? 1;
    let high = (backwards ? options.from : options.to) ?? Infinity;
    const events: StoredEvent[] = [];
    while (low <= high && events.length < limit) {
      const wanted = Math.min(limit - events.length, STREAM_PAGE, high - low + 1);
      const page = await this.streamPage(stream, backwards ? high : low, wanted, backwards);
      for (const { event } of page) if (event.revision >= low && event.revision <= high) events.push(event);
      const last = page.at(-1)?.event.revision;
      if (last === undefined || page.length < wanted) break;
      if (backwards) high = last - 1;
      else low = last + 1;
    }
    return events;
  }

  /** So many events of a stream from a revision on, or from its end where that is infinite; an absent one has none. */
  async streamPage(stream: string, from: number, count: number, backwards = false): Promise<ReadEvent[]> {
    try {
      const records = await this.read(this.timers.shortReadMs, (client) =>
        client.readStream(
          stream,
          {
            fromRevision: from === Infinity ? 'end' : BigInt(Math.max(1, from) - 1),
            direction: backwards ? 'backwards' : 'forwards',
            maxCount: count,
            requiresLeader: true,
          },
          READABLE,
        ),
      );
      return records.map(readEventOf).filter((event) => event !== undefined);
    } catch (error) {
      if (isStreamNotFound(error)) return [];
      throw failureOfRead(error);
    }
  }

  async readAll({ after = ORIGIN, until = FARTHEST, limit, filter = {} }: ReadAllOptions): Promise<FollowPage> {
    if (filter.stream !== undefined) return this.readAllOfStream(filter.stream, after, until, limit, filter);
    const isFiltered = Object.keys(filter).length > 0;
    const events: StoredEvent[] = [];
    let position = after;
    for (let looked = 0; looked < LOOKED_RECORDS_MAX;) {
      const wanted = isFiltered ? LOG_PAGE : Math.min(LOG_PAGE, limit - events.length);
      const { records, reachedEnd } = await this.stretch(position, wanted);
      looked += records.length;
      for (const record of records) {
        const at = recordPosition(record);
        if (at > until) return { events, position: until, caughtUp: true };
        position = at;
        const found = readEventOf(record)?.event;
        if (found !== undefined && matchesFilter(found, filter)) events.push(found);
        if (events.length >= limit) return { events, position, caughtUp: false };
      }
      if (reachedEnd || position === until) return { events, position, caughtUp: true };
    }
    return { events, position, caughtUp: false };
  }

  /** By the stream itself, for the log has no index of it; how far the page has looked is the head before it. */
  private async readAllOfStream(
    stream: string,
    after: Position,
    until: Position,
    limit: number,
    filter: EventFilter,
  ): Promise<FollowPage> {
    const head = await this.head();
    const looked = head < until ? head : until;
    const events: StoredEvent[] = [];
    for (let from = await this.firstRevisionAfter(stream, after); ;) {
      const page = await this.streamPage(stream, from, STREAM_PAGE);
      for (const { event } of page) {
        if (event.position > looked) return { events, position: looked, caughtUp: true };
        if (event.position > after && matchesFilter(event, filter)) events.push(event);
        if (events.length >= limit) return { events, position: event.position, caughtUp: false };
      }
      if (page.length < STREAM_PAGE) return { events, position: looked > after ? looked : after, caughtUp: true };
      from += page.length;
    }
  }

  private async firstRevisionAfter(stream: string, after: Position): Promise<number> {
    if (after === ORIGIN) return 1;
    const [last] = await this.streamPage(stream, Infinity, 1, true);
    let low = 1;
    let high = (last?.event.revision ?? 0) + 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      const [one] = await this.streamPage(stream, middle, 1);
      if (one !== undefined && one.event.position <= after) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The last record of the log, the server's own too: a follower passes those as well. */
  async head(): Promise<Position> {
    try {
      const [last] = await this.read(this.timers.shortReadMs, (client) =>
        client.readAll({ fromPosition: 'end', direction: 'backwards', maxCount: 1, requiresLeader: true }, READABLE),
      );
      return last === undefined ? ORIGIN : recordPosition(last);
    } catch (error) {
      throw failureOfRead(error);
    }
  }

  /** The event before the first that was stored later: where the server's clock ran back, that is still a prefix. */
  async positionAt(time: Date): Promise<Position> {
    const ms = time.getTime();
    let position = this.times.before(ms) ?? ORIGIN;
    let found = position;
    for (;;) {
      const { records, reachedEnd } = await this.stretch(position, Math.min(LOG_PAGE, this.times.stepEvents));
      for (const record of records) {
        position = recordPosition(record);
        if (!isOfLedger(record)) continue;
        if (record.created.getTime() > ms) return found;
        found = position;
      }
      if (reachedEnd) return found;
    }
  }

  /** The followers of a process are woken together and mostly stand at one place: what they ask for in one turn is read once. */
  private stretch(after: Position, count: number): Promise<Stretch> {
    const place = `${after}/${count}`;
    const asked = this.stretches.get(place);
    if (asked !== undefined) return asked;
    const stretch = nextTurn().then(() => {
      this.stretches.delete(place);
      return this.readStretch(after, count);
    });
    this.stretches.set(place, stretch);
    return stretch;
  }

  /** So many records after a position. The server counts the record at the position itself in, where there is one. */
  private async readStretch(after: Position, count: number): Promise<Stretch> {
    try {
      const read = await this.read(this.timers.longReadMs, (client) =>
        client.readAll(
          {
            fromPosition: after === ORIGIN ? 'start' : logPositionOf(after),
            direction: 'forwards',
            maxCount: count + 1,
            requiresLeader: true,
          },
          READABLE,
        ),
      );
      const records = read.filter((record) => recordPosition(record) > after);
      this.noteStretch(after, records);
      return { records, reachedEnd: read.length <= count };
    } catch (error) {
      throw failureOfRead(error);
    }
  }

  private noteStretch(after: Position, records: readonly Recorded[]): void {
    const last = records.at(-1);
    if (last === undefined) return;
    const lastPosition = recordPosition(last);
    if (lastPosition > this.times.position) {
      const moments = records
        .filter(isOfLedger)
        .map((record) => ({ position: recordPosition(record), storedMs: record.created.getTime() }));
      this.times.note(after, lastPosition, moments);
    }
    this.clock.heard(last.created.getTime());
    this.onSeen(lastPosition);
  }

  private async read(ms: number, open: (client: EventStoreDBClient) => Reading): Promise<Recorded[]> {
    const sentMs = performance.now();
    const taken = this.slot.get();
    let reading: Reading | undefined;
    const collect = async (moved: () => void): Promise<Recorded[]> => {
      reading = open(await taken);
      // What goes wrong after the timer has nobody left to tell.
      reading.on('error', () => undefined);
      const records: Recorded[] = [];
      for await (const { event } of reading) {
        moved();
        if (event !== undefined) records.push(event);
      }
      return records;
    };
    try {
      const records = await whileItMoves(ms, collect);
      this.slot.answered();
      return records;
    } catch (error) {
      if (error instanceof DeadlinePassed) {
        reading?.destroy();
        reading?.cancel().catch(() => undefined);
        this.slot.unanswered(taken, sentMs);
      } else if (isAnswer(error)) this.slot.answered();
      throw error;
    }
  }
}

import { checkAppend } from './append-check.js';
import type { Clock } from './clock.js';
import { matchesFilter } from './event-filter.js';
import {
  type AppendRequest,
  type AppendResult,
  EventIdTaken,
  type EventStore,
  type FollowOptions,
  type FollowPage,
  type Position,
  type ReadAllOptions,
  type ReadStreamOptions,
  type StoredEvent,
  WrongExpectedRevision,
} from './event-store.js';
import { followPages } from './follow.js';

const positionOf = (n: number): Position => String(n).padStart(20, '0');

/** The event store in memory: the reference that the contract suite holds the others against, and the store of tests. */
export class MemoryEventStore implements EventStore {
  readonly origin: Position = positionOf(0);
  private readonly log: StoredEvent[] = [];
  private readonly streams = new Map<string, StoredEvent[]>();
  private readonly ids = new Set<string>();
  private readonly wakers = new Set<() => void>();

  constructor(private readonly clock: Clock) {}

  append(request: AppendRequest): Promise<AppendResult> {
    return new Promise((resolve) => {
      resolve(this.appendNow(request));
    });
  }

  private appendNow(request: AppendRequest): AppendResult {
    checkAppend(request);
    const { stream, expectedRevision, events } = request;
    const history = this.streams.get(stream) ?? [];
    if (history.length !== expectedRevision) {
      const standing = history.slice(expectedRevision, expectedRevision + events.length);
      if (standing.length === events.length && events.every((event, n) => event.id === standing[n]?.id))
        return { answeredAsDone: true, events: standing };
      throw new WrongExpectedRevision(stream, expectedRevision, history.length);
    }
    const ids = new Set(events.map((event) => event.id));
    if (ids.size < events.length || events.some((event) => this.ids.has(event.id))) throw new EventIdTaken(stream);

    const now = this.clock.now();
    const lastStoredAt = this.log.at(-1)?.storedAt ?? now;
    const stored = events.map((event, n) => ({
      ...event,
      stream,
      revision: expectedRevision + n + 1,
      position: positionOf(this.log.length + n + 1),
      storedAt: now > lastStoredAt ? now : lastStoredAt,
    }));
    this.log.push(...stored);
    this.streams.set(stream, history.concat(stored));
    for (const id of ids) this.ids.add(id);
    for (const wake of this.wakers) wake();
    return { answeredAsDone: false, events: stored };
  }

  readStream(stream: string, options: ReadStreamOptions = {}): Promise<StoredEvent[]> {
    const { backwards = false, limit = Infinity } = options;
    const low = (backwards ? options.to : options.from) ?? 1;
    const high = (backwards ? options.from : options.to) ?? Infinity;
    const found = (this.streams.get(stream) ?? []).filter(({ revision }) => revision >= low && revision <= high);
    return Promise.resolve((backwards ? found.reverse() : found).slice(0, limit));
  }

  readAll(options: ReadAllOptions): Promise<FollowPage> {
    const { after = this.origin, limit, filter } = options;
    const head = positionOf(this.log.length);
    const until = options.until !== undefined && options.until < head ? options.until : head;
    const events: StoredEvent[] = [];
    for (let n = Number(after); n < Number(until) && events.length < limit; n += 1) {
      const event = this.log[n] as StoredEvent;
      if (matchesFilter(event, filter)) events.push(event);
    }
    const last = events.at(-1);
    if (last !== undefined && events.length === limit)
      return Promise.resolve({ events, position: last.position, caughtUp: false });
    return Promise.resolve({ events, position: until > after ? until : after, caughtUp: true });
  }

  follow(options: FollowOptions): AsyncGenerator<FollowPage, void, undefined> {
    const listen = (wake: () => void): (() => void) => {
      this.wakers.add(wake);
      return () => this.wakers.delete(wake);
    };
    return followPages({ readAll: (page) => this.readAll(page), listen }, options);
  }

  head(): Promise<Position> {
    return Promise.resolve(positionOf(this.log.length));
  }

  positionAt(time: Date): Promise<Position> {
    const later = this.log.findIndex((event) => Date.parse(event.storedAt) > time.getTime());
    return Promise.resolve(positionOf(later === -1 ? this.log.length : later));
  }

  isPosition(text: string): boolean {
    return /^\d{20}$/.test(text);
  }

  nowMs(): Promise<number> {
    return Promise.resolve(this.clock.nowMs());
  }
}

import { createHash, randomUUID } from 'node:crypto';
import { chainHashOf, leafHashOf } from '../envelope.js';
import type {
  AppendRequest,
  EventStore,
  FollowOptions,
  FollowPage,
  NewEvent,
  Position,
  StoredEvent,
} from '../event-store.js';

/** A store as the contract suite meets it. */
export interface StoreUnderTest {
  readonly store: EventStore;
  /** Another client of the same data, as another process has one. */
  readonly another: () => Promise<EventStore>;
  readonly close: () => Promise<void>;
  /** From now on what the server answers to appends is lost, though it does them; undone by the returned function. */
  readonly loseReplies?: () => Promise<() => Promise<void>>;
  /** Cuts every session and brings the server back. */
  readonly restartServer?: () => Promise<void>;
  /** How many sessions stand open for following. */
  readonly followSessions?: () => Promise<number>;
}

/**
 * What a test of the store can do to it, and what not every store promises: gapless positions, ids that are unique in the
 * whole log, JSON that is not canonical, being empty, envelopes of 1 MiB in one append.
 */
export type Capability =
  | 'loseReplies'
  | 'restartServer'
  | 'followSessions'
  | 'densePositions'
  | 'uniqueIds'
  | 'anyText'
  | 'emptyStore'
  | 'fullAppends';

/** What a store with one log of its own promises. */
export const ownLog: readonly Capability[] = ['densePositions', 'uniqueIds', 'anyText', 'emptyStore', 'fullAppends'];

/** One numbered promise of the contract. A number never changes its meaning, so that stores can be compared by it. */
export interface ContractItem {
  readonly number: number;
  readonly promises: string;
  readonly needs?: Capability;
  readonly holds: (test: StoreUnderTest & { empty: () => Promise<StoreUnderTest> }) => Promise<void>;
}

export const newStream = (category = 'key'): string => `${category}-${randomUUID()}`;

/** An event of its own; what it says is `text`, a JSON value. */
export function newEvent(text = '{}', fields: Partial<NewEvent> = {}): NewEvent {
  const id = fields.id ?? randomUUID();
  const envelope = `{"data":${text},"id":"${id}"}`;
  const leafHash = leafHashOf(envelope);
  return {
    id,
    type: 'KeyUpdated',
    tenantId: 'acme',
    projectId: null,
    envelope,
    leafHash,
    chainHash: chainHashOf(null, leafHash),
    privateParts: {},
    ...fields,
  };
}

export const newEvents = (count: number, fields: Partial<NewEvent> = {}): NewEvent[] =>
  Array.from({ length: count }, (_, n) => newEvent(String(n), fields));

export const appendOf = (stream: string, expectedRevision: number, ...events: NewEvent[]): AppendRequest => ({
  stream,
  expectedRevision,
  events: events.length > 0 ? events : [newEvent()],
});

/** Appends `count` events to a stream of its own, one append each, and answers them. */
export async function fill(store: EventStore, stream: string, count: number): Promise<StoredEvent[]> {
  const stored: StoredEvent[] = [];
  for (let n = 0; n < count; n += 1) stored.push(...(await store.append(appendOf(stream, n))).events);
  return stored;
}

/** All events after a position, read in pages of the given size. */
export async function readFrom(
  store: EventStore,
  after: Position,
  limit: number,
  filter?: Parameters<EventStore['readAll']>[0]['filter'],
): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  let position = after;
  for (;;) {
    const page = await store.readAll({ after: position, limit, ...(filter === undefined ? {} : { filter }) });
    events.push(...page.events);
    position = page.position;
    if (page.caughtUp) return events;
  }
}

/** Follows until `enough` says so, and fails with what it has when the bound passes. */
export async function followUntil(
  store: EventStore,
  after: Position,
  enough: (events: readonly StoredEvent[], page: FollowPage) => boolean,
  options: Partial<Pick<FollowOptions, 'filter' | 'pageSize'>> & { boundMs?: number } = {},
): Promise<StoredEvent[]> {
  const { boundMs = 15_000, ...rest } = options;
  const stop = new AbortController();
  const timer = setTimeout(() => {
    stop.abort();
  }, boundMs);
  const events: StoredEvent[] = [];
  try {
    for await (const page of store.follow({ after, signal: stop.signal, ...rest })) {
      events.push(...page.events);
      if (enough(events, page)) return events;
    }
    throw new Error(`Following came to no end within ${boundMs} ms; it had ${events.length} events.`);
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

export const idsOf = (events: readonly NewEvent[]): string[] => events.map((event) => event.id);

/** One short text for a long sequence, so that a difference does not print thousands of lines. */
export const digestOf = (events: readonly StoredEvent[]): string =>
  createHash('sha256')
    .update(events.map((event) => `${event.position} ${event.stream} ${event.revision} ${event.id}`).join('\n'))
    .digest('hex');

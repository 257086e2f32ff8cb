/** The port that every event store implements; testing/event-store.contract.ts says what it must keep. */

/** Opaque, fixed width, sorts as text in the order of commits. Only a store takes it apart. */
export type Position = string;

/** A private part as it is stored beside the envelope; all but `key` base64. */
export interface SealedPart {
  readonly key: string;
  readonly iv: string;
  readonly ciphertext: string;
  readonly tag: string;
}

/** An event ready to append: its bytes and hashes are final. */
export interface NewEvent {
  readonly id: string;
  readonly type: string;
  readonly tenantId: string | null;
  readonly projectId: string | null;
  /** The canonical bytes as text. */
  readonly envelope: string;
  readonly leafHash: Buffer;
  readonly chainHash: Buffer;
  readonly privateParts: Readonly<Record<string, SealedPart>>;
  /** The trace that wrote it (isTraceparent), where one was made: kept beside the envelope and in no hash. */
  readonly traceparent?: string;
}

export interface StoredEvent extends NewEvent {
  readonly stream: string;
  /** Dense, from 1. */
  readonly revision: number;
  readonly position: Position;
  /** The store's own time, RFC 3339 UTC, outside the hash. */
  readonly storedAt: string;
}

export interface AppendRequest {
  readonly stream: string;
  /** The revision of the stream's last event; 0 = the stream must be new. */
  readonly expectedRevision: number;
  readonly events: readonly NewEvent[];
}

export interface AppendResult {
  /** True when the same events (by id) stood there already: read them, they may bear other bytes. */
  readonly answeredAsDone: boolean;
  readonly events: readonly StoredEvent[];
}

/** All that is given must hold. */
export interface EventFilter {
  readonly tenantId?: string;
  readonly projectId?: string;
  /** Events of any of these tenants or projects. */
  readonly within?: { readonly tenantIds: readonly string[]; readonly projectIds: readonly string[] };
  readonly categories?: readonly string[];
  readonly types?: readonly string[];
  readonly stream?: string;
  readonly streamPrefix?: string;
  /** Who did it, by id alone: a user, a service and a project may bear the same. */
  readonly actorId?: string;
  /** The chain of commands that it belongs to. */
  readonly correlationId?: string;
}

export interface ReadStreamOptions {
  /** First revision wanted (forwards) or last (backwards). */
  readonly from?: number;
  readonly to?: number;
  readonly backwards?: boolean;
  readonly limit?: number;
}

export interface ReadAllOptions {
  readonly after?: Position;
  /** The last position wanted. */
  readonly until?: Position;
  readonly limit: number;
  readonly filter?: EventFilter;
}

export interface FollowPage {
  readonly events: readonly StoredEvent[];
  /** All that was committed when the page was read, up to this position, has been delivered. */
  readonly position: Position;
  readonly caughtUp: boolean;
}

export interface FollowOptions {
  readonly after: Position;
  readonly signal: AbortSignal;
  readonly filter?: EventFilter;
  readonly pageSize?: number;
}

export interface EventStore {
  /** The position before the first event. */
  readonly origin: Position;
  /**
   * One stream, all or nothing. Throws WrongExpectedRevision, AppendTooLarge, EventIdTaken, StoreUnavailable (surely not
   * done) or OutcomeUnknown (safe to repeat with the same events).
   */
  append(request: AppendRequest): Promise<AppendResult>;
  /** An absent stream is an empty list. */
  readStream(stream: string, options?: ReadStreamOptions): Promise<StoredEvent[]>;
  /**
   * A page of the whole log in commit order; `position` is how far the page has looked, found or filtered out. A page
   * under a filter may end before its limit, so that none takes long: only `caughtUp` says that there is no more.
   */
  readAll(options: ReadAllOptions): Promise<FollowPage>;
  /** From after `after` to the end of time; survives lost connections, and ends when the signal aborts. */
  follow(options: FollowOptions): AsyncIterable<FollowPage>;
  /** The position of the last committed event, or `origin`. */
  head(): Promise<Position>;
  /** The last position that was stored at or before the time; `origin` if none was. */
  positionAt(time: Date): Promise<Position>;
  /** True if the text has the form of this store's positions. */
  isPosition(text: string): boolean;
  /** The store's own clock, ms since the epoch. */
  nowMs(): Promise<number>;
}

export class WrongExpectedRevision extends Error {
  constructor(
    readonly stream: string,
    readonly expected: number,
    readonly actual: number,
  ) {
    super(`The stream ${stream} is at revision ${actual}, not ${expected}.`);
    this.name = 'WrongExpectedRevision';
  }
}

export class AppendTooLarge extends Error {
  constructor(readonly detail: string) {
    super(detail);
    this.name = 'AppendTooLarge';
  }
}

/** The store could not be reached or refused for want of a resource; nothing was written. */
export class StoreUnavailable extends Error {
  constructor(
    readonly reason: 'unreachable' | 'overloaded' | 'disk-full',
    options?: ErrorOptions,
  ) {
    super(`The event store is unavailable: ${reason}.`, options);
    this.name = 'StoreUnavailable';
  }
}

/** The append may or may not have been done. */
export class OutcomeUnknown extends Error {
  constructor(options?: ErrorOptions) {
    super('Whether the append was done is unknown.', options);
    this.name = 'OutcomeUnknown';
  }
}

/** One of the event ids stands elsewhere in the log: a fault of the program, never a lost race. Nothing was written. */
export class EventIdTaken extends Error {
  constructor(
    readonly stream: string,
    options?: ErrorOptions,
  ) {
    super(`An event for ${stream} bears an id that another event has.`, options);
    this.name = 'EventIdTaken';
  }
}

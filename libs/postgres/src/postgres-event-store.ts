import {
  type AppendRequest,
  type AppendResult,
  checkAppend,
  type EventStore,
  type FollowOptions,
  type FollowPage,
  followPages,
  OutcomeUnknown,
  type Position,
  type ReadAllOptions,
  type ReadStreamOptions,
  type StoredEvent,
  StoreUnavailable,
  WrongExpectedRevision,
} from '#libs/eventsourcing';
import type pg from 'pg';
import { AppendQueue } from './append-queue.js';
import { EventReader, isPosition, ORIGIN, positionOf } from './event-reader.js';
import { Listener } from './listener.js';

export interface PostgresEventStoreOptions {
  /** As the program's role, to the database that `migrate` has prepared. */
  readonly connection: pg.ClientConfig;
  /** Connections for reads, beside one for appends and, while anybody follows, one that listens; 8 unless told. */
  readonly readConnectionsMax?: number;
  /** How many positions a page under a filter looks at before it answers what it has; 100,000 unless told. */
  readonly filteredPositionsMax?: number;
  /** Asked before every append; a reason refuses it before anything is sent. */
  readonly refuse?: () => 'disk-full' | undefined;
}

/** Without an answer within these bounds the database counts as gone: 503 within about a second. */
const CONNECT_TIMEOUT_MS = 800;
const WAIT_MAX_MS = 1_000;
const SHORT_READ_MS = 1_000;
const LONG_READ_MS = 5_000;
const LOCK_TIMEOUT_MS = 2_000;
const STATEMENT_TIMEOUT_MS = 5_000;
const FILTERED_POSITIONS_MAX = 100_000;

/** The event store on PostgreSQL 15 or newer: appends in group commits, reads over a pool, one listening session. */
export class PostgresEventStore implements EventStore {
  readonly origin = ORIGIN;
  private readonly queue: AppendQueue;
  private readonly reader: EventReader;
  private readonly listener: Listener;
  private readonly refuse: () => 'disk-full' | undefined;

  constructor(options: PostgresEventStoreOptions) {
    const { connection } = options;
    this.refuse = options.refuse ?? (() => undefined);
    this.queue = new AppendQueue({
      connection,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      waitMaxMs: WAIT_MAX_MS,
      lockTimeoutMs: LOCK_TIMEOUT_MS,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    });
    this.reader = new EventReader({
      connection,
      connectionsMax: options.readConnectionsMax ?? 8,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      shortReadMs: SHORT_READ_MS,
      longReadMs: LONG_READ_MS,
      filteredPositionsMax: options.filteredPositionsMax ?? FILTERED_POSITIONS_MAX,
    });
    this.listener = new Listener({ connection, connectTimeoutMs: CONNECT_TIMEOUT_MS });
  }

  async append(request: AppendRequest): Promise<AppendResult> {
    const sizeBytes = checkAppend(request);
    const refusal = this.refuse();
    if (refusal !== undefined) throw new StoreUnavailable(refusal);
    const outcome = await this.queue.add(request, sizeBytes);
    switch (outcome.kind) {
      case 'written':
        return {
          answeredAsDone: false,
          events: request.events.map((event, n) => ({
            ...event,
            stream: request.stream,
            revision: request.expectedRevision + n + 1,
            position: positionOf(outcome.firstPosition + n),
            storedAt: outcome.storedAt,
          })),
        };
      case 'already':
        return { answeredAsDone: true, events: await this.standing(request) };
      case 'conflict':
        throw new WrongExpectedRevision(request.stream, request.expectedRevision, outcome.actualRevision);
    }
  }

  private async standing(request: AppendRequest): Promise<StoredEvent[]> {
    try {
      const from = request.expectedRevision + 1;
      return await this.reader.readStream(request.stream, { from, limit: request.events.length });
    } catch (cause) {
      throw new OutcomeUnknown({ cause });
    }
  }

  readStream(stream: string, options?: ReadStreamOptions): Promise<StoredEvent[]> {
    return this.reader.readStream(stream, options);
  }

  readAll(options: ReadAllOptions): Promise<FollowPage> {
    return this.reader.readAll(options);
  }

  head(): Promise<Position> {
    return this.reader.head();
  }

  positionAt(time: Date): Promise<Position> {
    return this.reader.positionAt(time);
  }

  nowMs(): Promise<number> {
    return this.reader.nowMs();
  }

  isPosition(text: string): boolean {
    return isPosition(text);
  }

  follow(options: FollowOptions): AsyncGenerator<FollowPage, void, undefined> {
    return followPages({ readAll: (page) => this.readAll(page), listen: (wake) => this.listener.add(wake) }, options);
  }

  /** Lets every connection go; appends that wait are committed first. */
  async close(): Promise<void> {
    this.listener.close();
    await this.queue.close();
    await this.reader.close();
  }
}

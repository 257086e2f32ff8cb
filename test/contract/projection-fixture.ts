import { randomUUID } from 'node:crypto';
import { eventTypes } from '#libs/contracts';
import {
  Codec,
  type CommandContext,
  type DomainEvent,
  type EventStore,
  MemoryDataKeys,
  type OpenedEvent,
  type Projection,
  type StoredEvent,
} from '#libs/eventsourcing';
import type { Database } from '../../libs/postgres/src/transaction.js';

export const codec = new Codec(eventTypes, new MemoryDataKeys());

const context = (): CommandContext => {
  const commandId = randomUUID();
  return {
    commandId,
    correlationId: commandId,
    causationId: null,
    requestHash: null,
    actor: { type: 'system', id: 'test', via: 'internal' },
    actorPart: null,
  };
};

const tails = new WeakMap<EventStore, Map<string, StoredEvent>>();

/** Appends to one stream, whose only writer this is, after whatever stands there. */
export async function append(
  store: EventStore,
  stream: string,
  events: readonly DomainEvent[],
  by: Codec = codec,
): Promise<readonly StoredEvent[]> {
  const own = tails.get(store) ?? new Map<string, StoredEvent>();
  tails.set(store, own);
  const last = own.get(stream);
  const prepared = await by.encode({
    stream,
    tenantId: 'acme',
    projectId: 'GOV112345',
    lastRevision: last?.revision ?? 0,
    lastChainHash: last?.chainHash ?? null,
    recordedAt: '2026-01-01T00:00:00.000Z',
    context: context(),
    events,
  });
  const { events: stored } = await store.append({ stream, expectedRevision: last?.revision ?? 0, events: prepared });
  const tail = stored.at(-1);
  if (tail !== undefined) own.set(stream, tail);
  return stored;
}

export const disabled: DomainEvent = { type: 'KeyDisabled', data: {} };
export const enabled: DomainEvent = { type: 'KeyEnabled', data: {} };
export const revoked: DomainEvent = { type: 'KeyRevoked', data: { reason: 'compromised' } };

export const streamOf = (n: number): string => `key-${String(n).padStart(16, '0')}`;

/** `count` events over `streams` keys, two to an append; the position of the last of them. */
export async function appendMany(store: EventStore, count: number, streams: number): Promise<string> {
  const last = await Promise.all(
    Array.from({ length: Math.min(streams, count / 2) }, async (_, first) => {
      let position = store.origin;
      for (let n = first; n < count / 2; n += streams)
        position = (await append(store, streamOf(n % streams), [disabled, enabled])).at(-1)?.position ?? position;
      return position;
    }),
  );
  return last.sort().at(-1) ?? store.origin;
}

export interface TallyOptions {
  readonly name?: string;
  readonly schema: string;
  readonly version?: number;
  /** Called with each page before anything is written, and once all is. */
  readonly before?: (events: readonly OpenedEvent[]) => Promise<void> | void;
  readonly after?: (events: readonly OpenedEvent[]) => Promise<void> | void;
}

/**
 * Two tables that show every fault: `seen` has a row an event and no unique index, so an event applied twice is there
 * twice; `tally` folds each stream with a step that depends on order.
 */
export function tallyProjection(options: TallyOptions): Projection {
  const { name = 'tally', schema, version = 1, before, after } = options;
  const wider = version > 1 ? ', written_by integer not null default 2' : '';
  return {
    name,
    schema,
    version,
    categories: ['key'],
    parts: [],
    tables: [
      {
        name: `${name}_seen`,
        ddl: (qualified) =>
          `create table ${qualified} (position text collate "C" not null, stream text not null, version integer not null${wider})`,
      },
      {
        name: `${name}_sum`,
        ddl: (qualified) =>
          `create table ${qualified} (stream text primary key, events integer not null, checksum text not null)`,
      },
    ],
    async apply(tx, tables, events) {
      await before?.(events);
      await tx.query(
        `insert into ${tables[`${name}_seen`] ?? ''} select * from unnest($1::text[], $2::text[], $3::int[])`,
        [events.map(({ position }) => position), events.map(({ stream }) => stream), events.map(() => version)],
      );
      for (const stream of [...new Set(events.map((event) => event.stream))].sort()) {
        const own = events.filter((event) => event.stream === stream);
        await tx.query(
          `insert into ${tables[`${name}_sum`] ?? ''} as s values ($1, $2::int,
             (select string_agg(x, '' order by n) from unnest($3::text[]) with ordinality as u (x, n)))
           on conflict (stream) do update set events = s.events + excluded.events, checksum = s.checksum || excluded.checksum`,
          [stream, own.length, own.map(({ revision, type }) => `${revision}${type === 'KeyDisabled' ? 'd' : 'e'} `)],
        );
      }
      await after?.(events);
    },
  };
}

export interface TallyTables {
  readonly seen: readonly string[];
  readonly sums: readonly { stream: string; events: number; checksum: string }[];
}

export async function readTally(database: Database, schema: string, name = 'tally'): Promise<TallyTables> {
  const seen = await database.query<{ position: string }>(
    `select position from ${schema}.${name}_seen order by position`,
  );
  const sums = await database.query<{ stream: string; events: number; checksum: string }>(
    `select stream, events, checksum from ${schema}.${name}_sum order by stream`,
  );
  return { seen: seen.rows.map(({ position }) => position), sums: sums.rows };
}

/** What the tables must hold, by a clean fold of the log. */
export async function foldTally(
  store: EventStore,
  wanted: (event: StoredEvent) => boolean = () => true,
): Promise<TallyTables> {
  const { events } = await store.readAll({ limit: 1_000_000, filter: { categories: ['key'] } });
  const sums = new Map<string, { stream: string; events: number; checksum: string }>();
  const own = events.filter(wanted);
  for (const { stream, revision, type } of own) {
    const sum = sums.get(stream) ?? { stream, events: 0, checksum: '' };
    sums.set(stream, {
      stream,
      events: sum.events + 1,
      checksum: `${sum.checksum}${revision}${type === 'KeyDisabled' ? 'd' : 'e'} `,
    });
  }
  return {
    seen: own.map(({ position }) => position),
    sums: [...sums.values()].sort((a, b) => (a.stream < b.stream ? -1 : 1)),
  };
}

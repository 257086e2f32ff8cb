import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { eventTypes } from '#libs/contracts';
import { type Actor, Codec, FixedClock, type Ledger, MemoryDataKeys, type StreamScope } from '#libs/eventsourcing';
import { createLogger, Metrics } from '#libs/platform';
import { PostgresEventStore, ProjectionHost } from '#libs/postgres';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../../../libs/postgres/src/testing/embedded-ledger.js';
import { keyDeadlinesProjection } from '../projections/key-deadlines.projection.js';
import { keyListProjection } from '../projections/key-list.projection.js';
import { KeyUsageRecorder } from '../usage/key-usage.recorder.js';
import { LastUses } from '../usage/last-uses.js';
import { TableSink } from '../usage/table-sink.js';

/** The ledger and the read models of keys on a real PostgreSQL, without Nest. */
export interface KeyLedger {
  readonly server: EmbeddedLedger;
  readonly store: PostgresEventStore;
  readonly codec: Codec;
  readonly dataKeys: MemoryDataKeys;
  readonly clock: FixedClock;
  readonly pool: pg.Pool;
  readonly host: ProjectionHost;
  readonly lastUses: LastUses;
  readonly usage: KeyUsageRecorder;
  readonly ledger: Ledger;
  /** Writes events as if their command had been accepted, each at the clock's time. */
  write(
    stream: string,
    scope: StreamScope,
    events: readonly { type: string; data: object }[],
    actor?: Actor,
  ): Promise<void>;
  /** Waits until every read model has passed the head. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

const REACH_MS = 20_000;
const alice: Actor = { type: 'user', id: 'alice', via: 'internal' };

export async function startKeyLedger(): Promise<KeyLedger> {
  const server = await startEmbeddedLedger();
  const store = new PostgresEventStore({ connection: server.program });
  const dataKeys = new MemoryDataKeys();
  const codec = new Codec(eventTypes, dataKeys);
  const clock = new FixedClock();
  const pool = new pg.Pool({ ...server.program, max: 8 });
  pool.on('error', () => undefined);
  const host = new ProjectionHost({
    database: pool,
    store,
    codec,
    projections: [keyListProjection, keyDeadlinesProjection],
  });
  const lastUses = new LastUses(pool);
  await lastUses.onModuleInit();
  const logger = createLogger({ level: 'error' });
  const usage = new KeyUsageRecorder(new TableSink(pool, logger), new Metrics(), logger);
  host.start();
  const settled = async (): Promise<void> => {
    const head = await store.head();
    for (const { name } of [keyListProjection, keyDeadlinesProjection])
      if (!(await host.reach(name, head, REACH_MS))) throw new Error(`${name} did not reach ${head}.`);
  };
  return {
    server,
    store,
    codec,
    dataKeys,
    clock,
    pool,
    host,
    lastUses,
    usage,
    ledger: { store, codec, clock, onAppended: () => Promise.resolve() },
    async write(stream, scope, events, actor = alice) {
      const history = await store.readStream(stream);
      const prepared = await codec.encode({
        ...scope,
        stream,
        lastRevision: history.length,
        lastChainHash: history.at(-1)?.chainHash ?? null,
        recordedAt: clock.now(),
        context: {
          commandId: randomUUID(),
          correlationId: randomUUID(),
          causationId: null,
          requestHash: null,
          actor,
          actorPart: null,
        },
        events,
      });
      await store.append({ stream, expectedRevision: history.length, events: prepared });
    },
    settled,
    async stop() {
      await usage.onApplicationShutdown();
      await host.stop();
      await store.close();
      await pool.end();
      await server.stop();
    },
  };
}

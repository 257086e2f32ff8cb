import { FixedClock, MemoryEventStore } from '#libs/eventsourcing';
import { KurrentEventStore } from '#libs/kurrentdb';
import { PostgresEventStore } from '#libs/postgres';
import { createScratchLedger, type ExternalPostgres, startExternalPostgres } from '#libs/testing';
import pg from 'pg';
import { FakeEventStore } from '../../libs/kurrentdb/src/testing/fake-event-store.js';
import { patientTimers } from './kurrent-store.js';
import type { StoreAndPool } from './projection-ground.js';
import { describeProjectionRuntime } from './projections.contract.js';

let server: ExternalPostgres;

beforeAll(async () => {
  server = await startExternalPostgres();
});

afterAll(async () => {
  await server.stop();
});

async function scratch(kind: 'memory' | 'postgres' | 'kurrent'): Promise<StoreAndPool> {
  const ledger = await createScratchLedger(server.url);
  const pool = new pg.Pool({ ...ledger.program, max: 20 });
  pool.on('error', () => undefined);
  const fake = kind === 'kurrent' ? await FakeEventStore.start() : undefined;
  const own =
    kind === 'postgres'
      ? new PostgresEventStore({ connection: ledger.program })
      : fake && new KurrentEventStore({ url: fake.url(), timers: patientTimers });
  return {
    store: own ?? new MemoryEventStore(new FixedClock()),
    pool,
    close: async () => {
      await pool.end();
      await own?.close();
      await fake?.stop();
      await ledger.drop();
    },
  };
}

describeProjectionRuntime('the memory store', () => scratch('memory'));
describeProjectionRuntime('PostgreSQL', () => scratch('postgres'));
describeProjectionRuntime('KurrentDB (a fake server) beside PostgreSQL', () => scratch('kurrent'));

import { FixedClock, MemoryEventStore } from '#libs/eventsourcing';
import { PostgresEventStore } from '#libs/postgres';
import { createScratchLedger, type ExternalPostgres, startExternalPostgres } from '#libs/testing';
import pg from 'pg';
import type { StoreAndPool } from './projection-ground.js';
import { describeProjectionRuntime } from './projections.contract.js';

let server: ExternalPostgres;

beforeAll(async () => {
  server = await startExternalPostgres();
});

afterAll(async () => {
  await server.stop();
});

async function scratch(kind: 'memory' | 'postgres'): Promise<StoreAndPool> {
  const ledger = await createScratchLedger(server.url);
  const pool = new pg.Pool({ ...ledger.program, max: 20 });
  pool.on('error', () => undefined);
  const postgres = kind === 'postgres' ? new PostgresEventStore({ connection: ledger.program }) : undefined;
  return {
    store: postgres ?? new MemoryEventStore(new FixedClock()),
    pool,
    close: async () => {
      await pool.end();
      await postgres?.close();
      await ledger.drop();
    },
  };
}

describeProjectionRuntime('the memory store', () => scratch('memory'));
describeProjectionRuntime('PostgreSQL', () => scratch('postgres'));

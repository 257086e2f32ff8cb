import pg from 'pg';
import { ownLog } from '../../libs/eventsourcing/src/testing/contract-item.js';
import { describeEventStore } from '../../libs/eventsourcing/src/testing/event-store.contract.js';
import { startEmbeddedLedger } from '../../libs/postgres/src/testing/embedded-ledger.js';
import { type MigratedDatabase, postgresStoreUnderTest } from './postgres-store.js';

const RESTART_MS_MAX = 20_000;

async function untilItAnswers(config: MigratedDatabase['owner']): Promise<void> {
  const deadline = performance.now() + RESTART_MS_MAX;
  for (;;) {
    const client = new pg.Client({ ...config, connectionTimeoutMillis: 1_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      await client.end();
    }
  }
}

describeEventStore(
  'the embedded PostgreSQL',
  async () => {
    const ledger = await startEmbeddedLedger();
    const { owner, program, server } = ledger;
    const restart = async (): Promise<void> => {
      process.kill(server.pid(), 'SIGKILL');
      await untilItAnswers(owner);
    };
    return postgresStoreUnderTest({ owner, program, restart, drop: () => ledger.stop() });
  },
  ['loseReplies', 'restartServer', 'followSessions', ...ownLog],
);

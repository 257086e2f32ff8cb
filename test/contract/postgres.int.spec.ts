import { createScratchLedger, type ExternalPostgres, startExternalPostgres } from '#libs/testing';
import { ownLog } from '../../libs/eventsourcing/src/testing/contract-item.js';
import { describeEventStore } from '../../libs/eventsourcing/src/testing/event-store.contract.js';
import { postgresStoreUnderTest } from './postgres-store.js';

let server: ExternalPostgres;

beforeAll(async () => {
  server = await startExternalPostgres();
  process.stdout.write(`External PostgreSQL ${server.version} (${server.kind})\n`);
});

afterAll(async () => {
  await server.stop();
});

describeEventStore(
  'an external PostgreSQL',
  async () =>
    postgresStoreUnderTest({ ...(await createScratchLedger(server.url)), restart: server.restart?.bind(server) }),
  ['loseReplies', 'restartServer', 'followSessions', ...ownLog],
);

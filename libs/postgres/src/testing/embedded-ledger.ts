import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../embedded/embedded-postgres.js';
import { migrate } from '../migrate.js';

/** A migrated ledger on an embedded server of its own, in a scratch folder that goes with it. */
export interface EmbeddedLedger {
  readonly owner: pg.ClientConfig;
  readonly program: pg.ClientConfig;
  readonly server: EmbeddedPostgres;
  stop(): Promise<void>;
}

const LEAVE_MS_MAX = 5_000;
const LEAVE_POLL_MS = 10;

/**
 * Waits, 5 s at most, until nobody else is connected. A pool that has ended has said so, but its backends may not have
 * heard it yet; a server that ends then would tell them, and a pool without a listener throws what it is told.
 */
async function untilAllHaveLeft(connection: pg.ClientConfig): Promise<void> {
  const client = new pg.Client(connection);
  client.on('error', () => undefined);
  try {
    await client.connect();
    const tooLate = AbortSignal.timeout(LEAVE_MS_MAX);
    while (!tooLate.aborted) {
      const { rows } = await client.query(
        'select 1 from pg_stat_activity where datname = current_database() and usename is not null and pid <> pg_backend_pid()',
      );
      if (rows.length === 0) return;
      await sleep(LEAVE_POLL_MS);
    }
  } catch {
    // A server that is gone already has nobody to wait for.
  } finally {
    await client.end().catch(() => undefined);
  }
}

export async function startEmbeddedLedger(): Promise<EmbeddedLedger> {
  const scratch = await mkdtemp(join(tmpdir(), 'steward-ledger-'));
  // Else the cluster would stand outside of the scratch folder when root runs the tests.
  await chmod(scratch, 0o711);
  const silent = (): void => undefined;
  const server = await startEmbeddedPostgres({
    dataDir: join(scratch, 'data'),
    log: { info: silent, warn: silent, error: silent },
  });
  const stop = async (): Promise<void> => {
    await untilAllHaveLeft(server.ownerConfig);
    await server.stop();
    await rm(scratch, { recursive: true, force: true });
  };
  try {
    await migrate(server.ownerConfig, { programRole: server.programConfig.user ?? null });
  } catch (error) {
    await stop();
    throw error;
  }
  return { owner: server.ownerConfig, program: server.programConfig, server, stop };
}

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../embedded/embedded-postgres.js';
import { migrate } from '../migrate.js';

/** A migrated ledger on an embedded server of its own, in a scratch folder that goes with it. */
export interface EmbeddedLedger {
  readonly owner: pg.ClientConfig;
  readonly program: pg.ClientConfig;
  readonly server: EmbeddedPostgres;
  stop(): Promise<void>;
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

import { join } from 'node:path';
import pg from 'pg';
import {
  assertMigrated,
  connectionOfRunning,
  DiskGuard,
  type EmbeddedPostgres,
  isAppendOnlyByGrant,
  migrate,
  startEmbeddedPostgres,
} from '#libs/postgres';
import type { AppConfig } from '../config/config.js';
import type { Logger } from '../telemetry/logger.js';

/** The database of a tier, migrated, and how the program's role reaches it. */
export interface OpenDatabase {
  readonly tier: 'embedded' | 'server' | 'distributed';
  readonly connection: pg.ClientConfig;
  /** As the role that owns the ledger; the program's own where one role does both. */
  readonly ownerConnection: pg.ClientConfig;
  readonly kekFile: string;
  readonly pepperFile: string;
  /**
   * False where one role owns the events and writes them: then only the trigger keeps them from being changed. False too
   * where the events stand in another store, whose rights are set there.
   */
  readonly appendOnlyByGrant: boolean;
  /** Watches the disk where the database is ours to fill. */
  readonly diskGuard: DiskGuard | undefined;
  /** Told when the embedded server died for good. */
  onLost(callback: (error: Error) => void): void;
  close(): Promise<void>;
}

/**
 * `attach` is for a command line beside a running Steward: it uses the running embedded server, and starts one only if
 * none runs. Without `migrates` a server is only asked whether somebody has brought it to this program's form. Throws what
 * the embedded supervisor and the migrations throw.
 */
export async function openDatabase(
  config: AppConfig,
  log: Logger,
  { attach = false, migrates = true } = {},
): Promise<OpenDatabase> {
  const files = {
    kekFile: config.kekFile ?? join(config.dataDir, 'kek.json'),
    pepperFile: config.pepperFile ?? join(config.dataDir, 'pepper.json'),
  };
  if (config.databaseUrl !== undefined) return { ...files, ...(await openServer(config, log, migrates)) };
  const running = attach ? await connectionOfRunning(config.dataDir) : undefined;
  if (running !== undefined)
    return {
      ...files,
      tier: 'embedded',
      connection: running.programConfig,
      ownerConnection: running.ownerConfig,
      appendOnlyByGrant: true,
      diskGuard: undefined,
      onLost: () => undefined,
      close: () => Promise.resolve(),
    };
  return { ...files, ...(await openEmbedded(config, log)) };
}

type Opened = Omit<OpenDatabase, 'kekFile' | 'pepperFile'>;

async function openEmbedded(config: AppConfig, log: Logger): Promise<Opened> {
  const server: EmbeddedPostgres = await startEmbeddedPostgres({ dataDir: config.dataDir, log });
  const diskGuard = new DiskGuard({
    path: server.clusterDir,
    onChange: (refusal, freeBytes) => {
      if (refusal === undefined) log.warn({ freeBytes }, 'The disk has room again; changes are taken.');
      else log.error({ freeBytes }, 'The disk is almost full; changes are refused, reads go on.');
    },
    onError: (err) => {
      log.error({ err }, 'The free space of the disk cannot be read.');
    },
  });
  try {
    await migrate(server.ownerConfig, { programRole: server.programConfig.user ?? null });
    await diskGuard.start();
    return {
      tier: 'embedded',
      connection: server.programConfig,
      ownerConnection: server.ownerConfig,
      appendOnlyByGrant: await asksOnce(server.programConfig, isAppendOnlyByGrant),
      diskGuard,
      onLost: (callback) => {
        server.onExit(callback);
      },
      close: async () => {
        diskGuard.stop();
        await server.stop();
      },
    };
  } catch (error) {
    diskGuard.stop();
    await server.stop();
    throw error;
  }
}

async function openServer(config: AppConfig, log: Logger, migrates: boolean): Promise<Opened> {
  const connection: pg.ClientConfig = { connectionString: config.databaseUrl?.reveal() ?? '' };
  const owner =
    config.migrationDatabaseUrl === undefined ? connection : { connectionString: config.migrationDatabaseUrl.reveal() };
  if (migrates) {
    const program = await asksOnce(connection, async (client) => {
      const { rows } = await client.query<{ role: string }>('select current_user as role');
      return rows[0]?.role ?? '';
    });
    await migrate(owner, { programRole: owner === connection ? null : program });
  } else await asksOnce(connection, assertMigrated);
  const isDistributed = config.eventStoreUrl !== undefined;
  const appendOnlyByGrant = !isDistributed && (await asksOnce(connection, isAppendOnlyByGrant));
  if (!appendOnlyByGrant && !isDistributed)
    log.warn(
      'The role that runs Steward could change events but for a trigger. Set STEWARD_MIGRATION_DATABASE_URL to part the owner from it.',
    );
  return {
    tier: isDistributed ? 'distributed' : 'server',
    connection,
    ownerConnection: owner,
    appendOnlyByGrant,
    diskGuard: undefined,
    onLost: () => undefined,
    close: () => Promise.resolve(),
  };
}

async function asksOnce<T>(connection: pg.ClientConfig, ask: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionTimeoutMillis: 5_000, ...connection });
  // A connection that breaks while it is asked fails the question itself.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await ask(client);
  } finally {
    await client.end();
  }
}

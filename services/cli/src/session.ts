import type { Projection } from '#libs/eventsourcing';
import { type AppConfig, createLogger, loadConfig, openStorage, type PepperedStorage } from '#libs/platform';
import { knownHome } from '#libs/postgres';
import { keyDeadlinesProjection } from '../../keys/src/projections/key-deadlines.projection.js';
import { keyListProjection } from '../../keys/src/projections/key-list.projection.js';
import { quotasProjection } from '../../quotas/src/read-models/quotas.projection.js';
import { tenancyProjection } from '../../tenancy/src/projections/tenancy.projection.js';
import type { Terminal } from './terminal.js';

/** Every read model of this release. */
export const projections: readonly Projection[] = [
  tenancyProjection,
  keyListProjection,
  keyDeadlinesProjection,
  quotasProjection,
];

/** An opened store, whether Steward runs beside it or not. */
export interface Session {
  readonly config: AppConfig;
  readonly storage: PepperedStorage;
}

/** A command line looks at what stands; only the one that is asked for a store makes one where none is. */
export class NoStore extends Error {
  constructor(dataDir: string) {
    super(`No store stands in ${dataDir}: set STEWARD_DATA_DIR or STEWARD_DATABASE_URL as for the program.`);
    this.name = 'NoStore';
  }
}

/**
 * Opens the store that the environment names, does the work and closes it again. The embedded server is joined where it
 * runs and started for the while where it does not. Log lines of level error and above go to `terminal.tell`.
 */
export async function withStore<Result>(
  terminal: Terminal,
  work: (session: Session) => Promise<Result>,
  { destroysDueKeys = true, makesStore = false } = {},
): Promise<Result> {
  const config = loadConfig(terminal.env);
  if (!makesStore && config.databaseUrl === undefined && (await knownHome(config.dataDir)) === undefined)
    throw new NoStore(config.dataDir);
  const level = terminal.env['STEWARD_LOG_LEVEL'] === undefined ? 'error' : config.logLevel;
  const log = createLogger({ level, name: 'steward-cli' }, { write: terminal.tell });
  const storage = await openStorage(config, log, { attach: true, destroysDueKeys });
  try {
    for (const projection of projections) storage.projections.register(projection);
    return await work({ config, storage });
  } finally {
    await storage.close();
  }
}

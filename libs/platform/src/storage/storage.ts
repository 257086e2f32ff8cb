import type pg from 'pg';
import { eventTypes } from '#libs/contracts';
import { Acknowledged, Codec, IndexFollower, isEmptyLog, type Ledger, type LedgerRead } from '#libs/eventsourcing';
import {
  checkKeyFiles,
  DataKeyShredder,
  type FilePeppers,
  loadOrCreateKeyFiles,
  PostgresDataKeys,
  ProjectionHost,
  type ReactorHost,
  ReadPool,
  StoreClock,
} from '#libs/postgres';
import type { AppConfig } from '../config/config.js';
import type { Logger } from '../telemetry/logger.js';
import { type OpenDatabase, openDatabase } from './database.js';
import { type LedgerStore, openLedger } from './ledger.js';
import { reactorHost } from './reactors.js';
import { untilAvailable } from './until-available.js';

const POOL_CONNECTIONS_MAX = 12;
const CONNECT_MS_MAX = 1_000;
const QUERY_MS_MAX = 10_000;

/** Everything that stands between a service and its database, opened in the order in which it can be trusted. */
export interface Storage {
  readonly database: OpenDatabase;
  readonly store: LedgerStore;
  /** How a check reads the whole ledger where its events do not stand in the database. */
  readonly ledgerElsewhere: LedgerRead | undefined;
  /** For read models, as the program's role; what fails there and may pass by itself is a StoreUnavailable. */
  readonly pool: pg.Pool;
  readonly codec: Codec;
  readonly dataKeys: PostgresDataKeys;
  /** Undefined in a process that verifies no keys. */
  readonly peppers: FilePeppers | undefined;
  readonly installationKey: Buffer;
  readonly clock: StoreClock;
  readonly shredder: DataKeyShredder;
  readonly follower: IndexFollower;
  readonly acknowledged: Acknowledged;
  readonly projections: ProjectionHost;
  readonly reactors: ReactorHost;
  readonly ledger: Ledger;
  readonly duties: StorageDuties;
  /** Begins with what the process has to do, and resolves when its indexes have reached the store's head. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** Of a process that holds the peppers. */
export interface PepperedStorage extends Storage {
  readonly peppers: FilePeppers;
}

/** What of the work on the storage is this process's: all of it, unless the services run apart. */
export interface StorageDuties {
  /** Reads the file of the peppers, without which no key is made or verified. */
  readonly holdsPeppers: boolean;
  /** Brings the tables to this program's form, and makes the key files where the log is still empty. */
  readonly founds: boolean;
  /** Follows the log into the indexes of the process. */
  readonly followsIndexes: boolean;
  /** Else another process runs the projections, and this one only waits for what they have reached. */
  readonly runsProjections: boolean;
}

/** Of whoever is all in one. */
export const ALL_DUTIES = { holdsPeppers: true, founds: true, followsIndexes: true, runsProjections: true } as const;

/** Nobody has founded this store: services that run apart find one. */
export class StoreNotFounded extends Error {
  constructor() {
    super('No administrator stands in this store yet: run `steward admin bootstrap` once, then start the services.');
    this.name = 'StoreNotFounded';
  }
}

export interface OpenStorageOptions {
  /** A command line beside a running Steward: see openDatabase. */
  readonly attach?: boolean;
  /** False for whoever looks only: due data keys are then not destroyed at the opening. */
  readonly destroysDueKeys?: boolean;
  readonly duties?: StorageDuties;
  /** Told when nothing more can be promised: the embedded server is gone, or an index met an event it cannot read. */
  readonly onLost?: (error: Error) => void;
}

/**
 * Opens the storage of the configured tier; what a deletion destroyed is destroyed again before this returns. Throws the
 * named errors of the embedded server, the migrations and the key files, and StoreNotFounded.
 */
export function openStorage(
  config: AppConfig,
  log: Logger,
  options?: OpenStorageOptions & { readonly duties?: StorageDuties & { readonly holdsPeppers: true } },
): Promise<PepperedStorage>;
export function openStorage(config: AppConfig, log: Logger, options: OpenStorageOptions): Promise<Storage>;
export async function openStorage(config: AppConfig, log: Logger, options: OpenStorageOptions = {}): Promise<Storage> {
  const { attach = false, duties = ALL_DUTIES } = options;
  const database = await openDatabase(config, log, { attach, migrates: duties.founds });
  try {
    return await untilAvailable(() => openOn(config, database, log, options), {
      onRetry: (err) => {
        log.warn({ err }, 'The store is too slow to be opened; it is tried again.');
      },
    });
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function openOn(
  config: AppConfig,
  database: OpenDatabase,
  log: Logger,
  options: OpenStorageOptions,
): Promise<Storage> {
  const { connection } = database;
  const refuse = database.diskGuard === undefined ? {} : { refuse: database.diskGuard.refusal };
  const pool = new ReadPool({
    ...connection,
    max: POOL_CONNECTIONS_MAX,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    query_timeout: QUERY_MS_MAX,
    // A network that swallows packets would otherwise keep a lease's connection for ever.
    keepAlive: true,
  });
  pool.on('error', (err) => {
    // The pool is ended before its connections are, and a database that goes down meanwhile tells them so.
    if (!pool.ending) log.warn({ err }, 'An idle connection of the read models was lost.');
  });
  const { store, ledgerElsewhere } = openLedger(config, { connection, ...refuse });
  try {
    return await openParts({ database, pool, store, ledgerElsewhere, refuse, log }, options);
  } catch (error) {
    // Connections left open would keep a program that is refused from ending.
    await Promise.allSettled([pool.end(), store.close()]);
    throw error;
  }
}

interface Connected {
  readonly database: OpenDatabase;
  readonly pool: pg.Pool;
  readonly store: LedgerStore;
  readonly ledgerElsewhere: LedgerRead | undefined;
  readonly refuse: { readonly refuse?: () => 'disk-full' | undefined };
  readonly log: Logger;
}

async function openParts(connected: Connected, options: OpenStorageOptions): Promise<Storage> {
  const { database, pool, store, ledgerElsewhere, refuse, log } = connected;
  const { duties = ALL_DUTIES } = options;
  const storeIsEmpty = await isEmptyLog(store);
  if (storeIsEmpty && !duties.founds) throw new StoreNotFounded();
  const pepperFile = duties.holdsPeppers ? database.pepperFile : undefined;
  const keyFileOptions = { kekFile: database.kekFile, pepperFile, storeIsEmpty };
  const { kek, peppers, installationKey } = await loadOrCreateKeyFiles(keyFileOptions);
  await checkKeyFiles(pool, { kek, peppers, installationKey }, keyFileOptions);

  const retried = (what: string) => (err: unknown) => {
    log.warn({ err }, `${what}; it is tried again.`);
  };
  const clock = await StoreClock.start({
    sample: () => store.nowMs(),
    onError: retried('The clock of the store did not answer'),
  });
  const dataKeys = new PostgresDataKeys({ connection: database.connection, kek, ...refuse });
  const codec = new Codec(eventTypes, dataKeys);
  const shredder = new DataKeyShredder(store, codec, dataKeys, {
    onError: retried('Data keys were not destroyed yet'),
  });
  if (options.destroysDueKeys ?? true) await shredder.catchUp();

  const follower = new IndexFollower({
    store,
    codec,
    onRetry: retried('The indexes do not follow the store'),
    onFailure: (err) => {
      log.fatal({ err }, 'An index cannot go on; verification fails closed once it is too old.');
      options.onLost?.(err);
    },
  });
  const projections = projectionHost(connected, codec);
  const reactors = reactorHost(pool, store, codec, log);
  const acknowledged = new Acknowledged();
  database.onLost((error) => options.onLost?.(error));
  const parts: Opened = {
    database,
    store,
    ledgerElsewhere,
    pool,
    codec,
    dataKeys,
    peppers,
    installationKey,
    clock,
    shredder,
    follower,
    acknowledged,
    projections,
    reactors,
    ledger: {
      store,
      codec,
      clock,
      onAppended: async (events) => {
        await follower.applyAppended(events);
        const last = events.at(-1);
        if (last !== undefined) acknowledged.note(last.tenantId, last.position);
      },
    },
  };
  return { ...parts, duties, start: () => begin(parts, duties), close: () => end(parts) };
}

type Opened = Omit<Storage, 'duties' | 'start' | 'close'>;

async function begin({ shredder, follower, projections, reactors }: Opened, duties: StorageDuties): Promise<void> {
  shredder.start();
  if (duties.followsIndexes) follower.start();
  if (duties.runsProjections) projections.start();
  await reactors.start();
  if (duties.followsIndexes) await follower.ready;
}

async function end(parts: Opened): Promise<void> {
  await parts.reactors.stop();
  await parts.projections.stop();
  await parts.follower.close();
  await parts.shredder.stop();
  parts.clock.stop();
  await parts.store.close();
  await parts.dataKeys.close();
  await parts.pool.end();
  await parts.database.close();
}

function projectionHost({ pool, store, log }: Connected, codec: Codec): ProjectionHost {
  return new ProjectionHost({
    database: pool,
    store,
    codec,
    listener: {
      parked: (projection, key, event, reason) => {
        log.error(
          { projection, key, position: event.position, reason },
          'An event is parked: see `steward quarantine`.',
        );
      },
      failed: (projection, err) => {
        log.error({ projection, err }, 'A projection stopped.');
      },
      retrying: (projection, err) => {
        log.warn({ projection, err }, 'A projection waits for the database.');
      },
    },
  });
}

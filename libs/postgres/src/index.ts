export * from './migrate.js';
export * from './postgres-event-store.js';
export {
  connectionOfRunning,
  type EmbeddedConnection,
  type EmbeddedLog,
  type EmbeddedOptions,
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from './embedded/embedded-postgres.js';
export { EmbeddedPostgresUnavailable } from './embedded/binaries.js';
export { ClusterUnreachable, knownHome, prepareDataDirectory } from './embedded/cluster-home.js';
export { ClusterVersionMismatch } from './embedded/cluster-version.js';
export { DataDirectoryInUse, DirectoryLock } from './embedded/directory-lock.js';
export * from './projections/compare.js';
export { leadUntilStopped } from './leases/lead-until-stopped.js';
export * from './leases/lease.js';
export * from './projections/parking.js';
export * from './projections/projection-host.js';
export * from './projections/projection-runner.js';
export * from './projections/rebuild.js';
export * from './reactors/reactor-host.js';
export { type ReactorState } from './reactors/reactor-runner.js';
export { forgetRelays, RelayCheckpoint, RelayDeposed } from './relays/relay-checkpoint.js';
export { DataKeyShredder, type ShredderOptions } from './data-key-shredder.js';
export { writeDurably } from './durable-file.js';
export { type DataKeyState, FullRead } from './full-read.js';
export { DiskGuard, type DiskGuardOptions } from './disk-guard.js';
export { checkKeyFiles, retireVersion, VersionInUse } from './key-checks.js';
export {
  FilePeppers,
  KeyEncryptionKeys,
  KeyFileInvalid,
  KeyFileMismatch,
  type KeyFileOptions,
  type KeyFiles,
  type KeyKind,
  loadOrCreateKeyFiles,
  type Peppers,
  VersionIsCurrent,
} from './key-files.js';
export { KekVersionUnknown, PostgresDataKeys, type PostgresDataKeysOptions } from './postgres-data-keys.js';
export { isTableMissing } from './postgres-errors.js';
export { ReadPool } from './read-pool.js';
export { StoreClock, type StoreClockOptions } from './store-clock.js';
export { inTransaction, isTransient } from './transaction.js';

import { createHash } from 'node:crypto';

/**
 * How the embedded server runs: durable, for one small service, reachable through its socket only. What it logs holds
 * neither statements nor their parameters nor the rows that an error is about, for those may be secrets.
 */
const settings = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  superuser_reserved_connections: '3',
  shared_buffers: '128MB',
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  wal_level: 'replica',
  max_wal_senders: '4',
  min_wal_size: '80MB',
  max_wal_size: '512MB',
  checkpoint_timeout: '5min',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  logging_collector: 'off',
  log_destination: 'stderr',
  log_line_prefix: '%m [%p] ',
  log_min_messages: 'warning',
  log_error_verbosity: 'terse',
  log_statement: 'none',
  log_min_error_statement: 'panic',
  log_min_duration_statement: '-1',
  log_min_duration_sample: '-1',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  log_checkpoints: 'off',
  log_autovacuum_min_duration: '-1',
};

/** What two starts of a server may differ in. */
export interface ServerForm {
  readonly serverVersion: string;
  readonly connectionsMax: number;
}

/** For one process that runs everything, and a command line beside it. */
export const CONNECTIONS_MAX = 60;

/** A running server that bears another name was started by another release, with other binaries or settings. */
export const clusterName = ({ serverVersion, connectionsMax }: ServerForm): string =>
  `steward ${createHash('sha256')
    .update(JSON.stringify([serverVersion, connectionsMax, settings]))
    .digest('hex')
    .slice(0, 16)}`;

export const serverArguments = (cluster: string, socketDir: string, form: ServerForm): string[] => [
  '-D',
  cluster,
  '-k',
  socketDir,
  ...Object.entries({
    ...settings,
    max_connections: form.connectionsMax,
    port: PORT,
    cluster_name: clusterName(form),
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
];

/** Part of the socket's name; nothing listens on a network. */
export const PORT = 5432;

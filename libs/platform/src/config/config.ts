import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { type KafkaConfig, readKafkaConfig } from './kafka-config.js';
import type { OidcIssuer } from '../oidc/issuers.js';
import { type Environment, HOST_NAME, isAddressRange, isReadable, listOf, rangeOf, Reader } from './reader.js';
import type { SecretText } from './secret-text.js';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface QuotasPeers {
  /** `host:port` of this process's own gRPC server, as the others reach it. */
  readonly own: string;
  readonly others: readonly string[];
}

/** Everything that the environment says, parsed and checked once at the start. */
export interface AppConfig {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly grpcPort: number;
  /** Absolute. */
  readonly dataDir: string;
  /** A PostgreSQL of one's own; without it the embedded server runs. May bear a password. */
  readonly databaseUrl: SecretText | undefined;
  /** The owner role's; without it one role does both. */
  readonly migrationDatabaseUrl: SecretText | undefined;
  /** EventStoreDB or KurrentDB for the events, beside a PostgreSQL of one's own for all else. May bear a password. */
  readonly eventStoreUrl: SecretText | undefined;
  /** Where events are published; undefined = nowhere. */
  readonly kafka: KafkaConfig | undefined;
  readonly pepperFile: string | undefined;
  readonly kekFile: string | undefined;
  readonly authFailuresPerMinute: number;
  readonly verifyStalenessMaxMs: number;
  /** Whose sign-ins count; none without a configuration. */
  readonly oidcIssuers: readonly OidcIssuer[];
  /** CIDRs whose X-Forwarded-For counts. */
  readonly trustedProxies: readonly string[];
  /** The processes that write quotas together; undefined where each decides what comes to it. */
  readonly quotasPeers: QuotasPeers | undefined;
  /** What the processes of one installation sign with what they ask of each other. May be any bytes. */
  readonly internalKey: SecretText | undefined;
  /** `host:port` of the gRPC servers of the keys service, where it runs apart. */
  readonly keysGrpcUrls: readonly string[];
  readonly quotasGrpcUrls: readonly string[];
  readonly logLevel: LogLevel;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** Sentences for the log: what is set and means nothing. */
  readonly warnings: readonly string[];
}

/** One sentence a variable; never a value, for a value may be a secret that went into the wrong variable. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`The configuration is wrong. ${problems.join(' ')}`);
    this.name = 'ConfigError';
  }
}

const ADDRESSES = 'a list of host:port, parted by commas';

const peersOf = ([own, ...others]: readonly string[]): QuotasPeers | undefined =>
  own === undefined ? undefined : { own, others };

/** Throws one ConfigError that names every wrong variable with its allowed range. */
export function loadConfig(env: Environment): AppConfig {
  const read = new Reader(env);
  const certFile = read.text('STEWARD_TLS_CERT_FILE');
  const keyFile = read.text('STEWARD_TLS_KEY_FILE');
  const config = {
    host: read.checked('STEWARD_HOST', (text) => isIP(text) !== 0 || HOST_NAME.test(text), 'an address or a host name'),
    port: read.integer('STEWARD_PORT', 0, 65_535, 8080),
    grpcPort: read.integer('STEWARD_GRPC_PORT', 0, 65_535, 50_051),
    dataDir: resolve(read.text('STEWARD_DATA_DIR') ?? './data'),
    databaseUrl: read.databaseUrl('STEWARD_DATABASE_URL'),
    migrationDatabaseUrl: read.databaseUrl('STEWARD_MIGRATION_DATABASE_URL'),
    eventStoreUrl: read.eventStoreUrl('STEWARD_EVENTSTORE_URL'),
    kafka: readKafkaConfig(read),
    pepperFile: read.text('STEWARD_PEPPER_FILE'),
    kekFile: read.text('STEWARD_KEK_FILE'),
    authFailuresPerMinute: read.integer('STEWARD_AUTH_FAILURES_PER_MINUTE', 1, 1_000_000, 20),
    verifyStalenessMaxMs: read.integer('STEWARD_VERIFY_STALENESS_MAX_MS', 1_000, 3_600_000, 30_000),
    oidcIssuers: read.issuers('STEWARD_OIDC_ISSUERS'),
    trustedProxies: listOf(
      read.checked(
        'STEWARD_TRUSTED_PROXIES',
        (text) => listOf(text).every(isAddressRange),
        'a list of addresses and CIDR ranges, parted by commas',
      ),
    ).map(rangeOf),
    quotasPeers: peersOf(read.addresses('STEWARD_QUOTAS_PEERS', `${ADDRESSES}, the first of which is this process`)),
    internalKey: read.key('STEWARD_INTERNAL_KEY_FILE'),
    keysGrpcUrls: read.addresses('STEWARD_KEYS_GRPC_URL', ADDRESSES),
    quotasGrpcUrls: read.addresses('STEWARD_QUOTAS_GRPC_URL', ADDRESSES),
    logLevel: read.oneOf('STEWARD_LOG_LEVEL', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'info'),
    tls: certFile !== undefined && keyFile !== undefined ? { certFile, keyFile } : undefined,
  };
  for (const name of ['STEWARD_TLS_CERT_FILE', 'STEWARD_TLS_KEY_FILE'])
    read.checked(name, isReadable, 'the path of a readable file');
  if ((certFile === undefined) !== (keyFile === undefined))
    read.problems.push('STEWARD_TLS_CERT_FILE and STEWARD_TLS_KEY_FILE must be set together.');
  if (config.port !== 0 && config.port === config.grpcPort)
    read.problems.push('STEWARD_PORT and STEWARD_GRPC_PORT must be different ports.');
  for (const name of ['STEWARD_QUOTAS_PEERS', 'STEWARD_KEYS_GRPC_URL', 'STEWARD_QUOTAS_GRPC_URL'])
    if (read.text(name) !== undefined && read.text('STEWARD_INTERNAL_KEY_FILE') === undefined)
      read.problems.push(`${name} needs STEWARD_INTERNAL_KEY_FILE beside it.`);
  if (config.migrationDatabaseUrl !== undefined && config.databaseUrl === undefined)
    read.problems.push('STEWARD_MIGRATION_DATABASE_URL needs STEWARD_DATABASE_URL beside it.');
  if (config.eventStoreUrl !== undefined && config.databaseUrl === undefined)
    read.problems.push('STEWARD_EVENTSTORE_URL needs STEWARD_DATABASE_URL beside it, for read models and data keys.');
  if (read.problems.length > 0) throw new ConfigError(read.problems);
  return {
    ...config,
    host: config.host ?? '127.0.0.1',
    warnings: read.unknown().map((name) => `${name} is set but means nothing to this release.`),
  };
}

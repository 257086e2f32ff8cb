import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import ipaddr from 'ipaddr.js';
import { EventStoreUrlInvalid, parseEventStoreUrl } from '#libs/kurrentdb';
import { type KafkaConfig, readKafkaConfig } from './kafka-config.js';
import { type OidcIssuer, readIssuers } from '../oidc/issuers.js';
import { SecretText } from './secret-text.js';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface QuotasPeers {
  /** `host:port` of this process's own gRPC server, as the others reach it. */
  readonly own: string;
  readonly others: readonly string[];
  /** The secret that all of them share. May be any bytes. */
  readonly internalKey: SecretText;
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

type Environment = Readonly<Record<string, string | undefined>>;

/** What tests and benchmarks read for themselves. */
const FOREIGN = /^STEWARD_(TEST_|SEED$|BENCH_)/;

class Reader {
  readonly problems: string[] = [];
  private readonly known = new Set<string>();

  constructor(private readonly env: Environment) {}

  /** An empty variable counts as unset, as compose files leave them. */
  text(name: string): string | undefined {
    this.known.add(name);
    const value = this.env[name]?.trim();
    return value === '' ? undefined : value;
  }

  integer(name: string, min: number, max: number, otherwise: number): number {
    const text = this.text(name);
    if (text === undefined) return otherwise;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    this.problems.push(`${name} must be an integer from ${min} to ${max}.`);
    return otherwise;
  }

  oneOf<T extends string>(name: string, values: readonly T[], otherwise: T): T {
    const text = this.text(name);
    const value = values.find((one) => one === text);
    if (text !== undefined && value === undefined) this.problems.push(`${name} must be one of ${values.join(', ')}.`);
    return value ?? otherwise;
  }

  checked(name: string, isRight: (text: string) => boolean, form: string): string | undefined {
    const text = this.text(name);
    if (text === undefined || isRight(text)) return text;
    this.problems.push(`${name} must be ${form}.`);
    return undefined;
  }

  /** A JSON list, or the path of a file that holds one. */
  issuers(name: string): readonly OidcIssuer[] {
    const text = this.text(name);
    if (text === undefined) return [];
    try {
      const { issuers, problems } = readIssuers(text.startsWith('[') ? text : readFileSync(text, 'utf8'), name);
      this.problems.push(...problems);
      return issuers;
    } catch {
      this.problems.push(`${name} must be a JSON list of issuers, or the path of a readable file that holds one.`);
      return [];
    }
  }

  /** This process's own address first; the key is there when they are. */
  peers(name: string, keyName: string): QuotasPeers | undefined {
    const form = 'a list of host:port, parted by commas, the first of which is this process';
    const [own, ...others] = listOf(this.checked(name, (text) => listOf(text).every(isHostAndPort), form));
    const keyFile = this.text(keyName);
    if (own === undefined) return undefined;
    if (keyFile === undefined) {
      this.problems.push(`${name} needs ${keyName} beside it.`);
      return undefined;
    }
    const key = readKey(keyFile);
    if (key === undefined) {
      this.problems.push(`${keyName} must be the path of a readable file of 32 bytes to 64 KiB.`);
      return undefined;
    }
    return { own, others: [...new Set(others)].filter((one) => one !== own), internalKey: key };
  }

  /** From the variable, or from the file that `<name>_FILE` names: an environment is shown to whoever may inspect a container. */
  private secret(name: string): string | undefined {
    const text = this.text(name);
    const file = this.text(`${name}_FILE`);
    if (file === undefined) return text;
    if (text !== undefined) this.problems.push(`${name} and ${name}_FILE must not be set together.`);
    try {
      const held = readFileSync(file, 'utf8').trim();
      if (held !== '') return held;
    } catch {
      // Said below, and without the path, which may be a secret that went into the wrong variable.
    }
    this.problems.push(`${name}_FILE must be the path of a readable file that is not empty.`);
    return undefined;
  }

  databaseUrl(name: string): SecretText | undefined {
    const text = this.secret(name);
    if (text === undefined) return undefined;
    if (isPostgresUrl(text)) return new SecretText(text);
    this.problems.push(`${name} must be a URL that begins with postgres:// or postgresql://.`);
    return undefined;
  }

  eventStoreUrl(name: string): SecretText | undefined {
    const text = this.secret(name);
    if (text === undefined) return undefined;
    try {
      parseEventStoreUrl(text);
      return new SecretText(text);
    } catch (error) {
      // The message names what is wrong and nothing of the text.
      this.problems.push(`${name}: ${error instanceof EventStoreUrlInvalid ? error.message : 'cannot be read.'}`);
      return undefined;
    }
  }

  unknown(): string[] {
    return Object.keys(this.env)
      .filter((name) => name.startsWith('STEWARD_') && !this.known.has(name) && !FOREIGN.test(name))
      .sort();
  }
}

const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;

const isPostgresUrl = (text: string): boolean =>
  URL.canParse(text) && ['postgres:', 'postgresql:'].includes(new URL(text).protocol);

const isAddressRange = (text: string): boolean =>
  isIP(text) !== 0 || ipaddr.IPv4.isValidCIDR(text) || ipaddr.IPv6.isValidCIDR(text);

const isHostAndPort = (text: string): boolean => {
  const [, host = '', port = ''] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  const bare = /^\[(.+)\]$/.exec(host)?.[1];
  return (bare === undefined ? HOST_NAME.test(host) : isIP(bare) === 6) && Number(port) >= 1 && Number(port) <= 65_535;
};

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function readKey(path: string): SecretText | undefined {
  try {
    const bytes = readFileSync(path);
    return bytes.length >= 32 && bytes.length <= 65_536 ? new SecretText(bytes.toString('latin1')) : undefined;
  } catch {
    return undefined;
  }
}

const listOf = (text: string | undefined): string[] =>
  (text ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

const rangeOf = (text: string): string => (text.includes('/') ? text : `${text}/${isIP(text) === 4 ? 32 : 128}`);

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
    quotasPeers: read.peers('STEWARD_QUOTAS_PEERS', 'STEWARD_INTERNAL_KEY_FILE'),
    logLevel: read.oneOf('STEWARD_LOG_LEVEL', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'info'),
    tls: certFile !== undefined && keyFile !== undefined ? { certFile, keyFile } : undefined,
  };
  for (const name of ['STEWARD_TLS_CERT_FILE', 'STEWARD_TLS_KEY_FILE'])
    read.checked(name, isReadable, 'the path of a readable file');
  if ((certFile === undefined) !== (keyFile === undefined))
    read.problems.push('STEWARD_TLS_CERT_FILE and STEWARD_TLS_KEY_FILE must be set together.');
  if (config.port !== 0 && config.port === config.grpcPort)
    read.problems.push('STEWARD_PORT and STEWARD_GRPC_PORT must be different ports.');
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

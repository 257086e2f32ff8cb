import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { ConfigError, loadConfig } from './config.js';

const problemsOf = (env: Record<string, string>): readonly string[] => {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

describe('loadConfig', () => {
  it('has a default for everything', () => {
    expect(loadConfig({ PATH: '/bin' })).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      grpcPort: 50_051,
      databaseUrl: undefined,
      authFailuresPerMinute: 20,
      verifyStalenessMaxMs: 30_000,
      trustedProxies: [],
      logLevel: 'info',
      tls: undefined,
      warnings: [],
    });
    expect(loadConfig({}).dataDir).toBe(loadConfig({ STEWARD_DATA_DIR: './data' }).dataDir);
  });

  it('takes port 0, and an empty variable as unset', () => {
    expect(loadConfig({ STEWARD_PORT: '0', STEWARD_GRPC_PORT: '0' })).toMatchObject({ port: 0, grpcPort: 0 });
    expect(loadConfig({ STEWARD_PORT: '', STEWARD_DATABASE_URL: ' ' })).toMatchObject({
      port: 8080,
      databaseUrl: undefined,
    });
  });

  it('names every wrong variable with its range, all at once, and never a value', () => {
    const secret = 'hunter2';
    const problems = problemsOf({
      STEWARD_PORT: '65536',
      STEWARD_GRPC_PORT: secret,
      STEWARD_HOST: `${secret}!`,
      STEWARD_DATABASE_URL: `mysql://root:${secret}@localhost/x`,
      STEWARD_AUTH_FAILURES_PER_MINUTE: '0',
      STEWARD_VERIFY_STALENESS_MAX_MS: '999',
      STEWARD_TRUSTED_PROXIES: `10.0.0.0/8, ${secret}`,
      STEWARD_LOG_LEVEL: secret,
      STEWARD_TLS_CERT_FILE: '/x',
    });
    expect(problems).toEqual(
      [
        'STEWARD_DATABASE_URL must be a URL that begins with postgres:// or postgresql://.',
        'STEWARD_HOST must be an address or a host name.',
        'STEWARD_PORT must be an integer from 0 to 65535.',
        'STEWARD_GRPC_PORT must be an integer from 0 to 65535.',
        'STEWARD_AUTH_FAILURES_PER_MINUTE must be an integer from 1 to 1000000.',
        'STEWARD_VERIFY_STALENESS_MAX_MS must be an integer from 1000 to 3600000.',
        'STEWARD_TRUSTED_PROXIES must be a list of addresses and CIDR ranges, parted by commas.',
        'STEWARD_LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent.',
        'STEWARD_TLS_CERT_FILE must be the path of a readable file.',
        'STEWARD_TLS_CERT_FILE and STEWARD_TLS_KEY_FILE must be set together.',
      ].sort((a, b) => problems.indexOf(a) - problems.indexOf(b)),
    );
    expect(problems.join()).not.toContain(secret);
  });

  it('refuses one port for both, and a migration URL alone', () => {
    expect(problemsOf({ STEWARD_PORT: '9000', STEWARD_GRPC_PORT: '9000' })).toHaveLength(1);
    expect(problemsOf({ STEWARD_MIGRATION_DATABASE_URL: 'postgres://a@b/c' })).toHaveLength(1);
    expect(problemsOf({ STEWARD_EVENTSTORE_URL: 'esdb://u:hunter2@db' })).toEqual([
      expect.stringContaining('STEWARD_EVENTSTORE_URL needs STEWARD_DATABASE_URL'),
    ]);
    expect(problemsOf({ STEWARD_EVENTSTORE_URL: 'esdb://u:hunter2@db:x' })).toEqual([
      'STEWARD_EVENTSTORE_URL: The connection string of the event store must name hosts as name:port, parted by commas.',
    ]);
  });

  it('takes the socket of a database as libpq writes it', () => {
    const url = 'postgresql:///steward?host=%2Ftmp%2Fstw-x&port=5432&user=steward_program';
    expect(loadConfig({ STEWARD_DATABASE_URL: url }).databaseUrl?.reveal()).toBe(url);
  });

  it('shows no password to whoever prints the configuration', () => {
    const config = loadConfig({ STEWARD_DATABASE_URL: 'postgres://u:hunter2@db/steward' });
    for (const shown of [JSON.stringify(config), inspect(config, { depth: 9 }), String(config.databaseUrl)])
      expect(shown).not.toContain('hunter2');
    expect(config.databaseUrl?.reveal()).toBe('postgres://u:hunter2@db/steward');
  });

  it('reads a URL that bears a password from a file, and refuses a file that cannot be read or is empty', () => {
    const folder = mkdtempSync(join(tmpdir(), 'steward-config-'));
    try {
      const file = join(folder, 'url');
      writeFileSync(file, 'postgres://u:hunter2@db/steward\n');
      const config = loadConfig({ STEWARD_DATABASE_URL_FILE: file });
      expect(config.databaseUrl?.reveal()).toBe('postgres://u:hunter2@db/steward');
      expect(config.warnings).toEqual([]);
      const both = { STEWARD_DATABASE_URL_FILE: file, STEWARD_DATABASE_URL: 'postgres://u:hunter2@db/other' };
      expect(problemsOf(both)).toEqual([
        'STEWARD_DATABASE_URL and STEWARD_DATABASE_URL_FILE must not be set together.',
      ]);
      writeFileSync(file, '\n');
      for (const path of [file, join(folder, 'hunter2')])
        expect(problemsOf({ STEWARD_DATABASE_URL_FILE: path })).toEqual([
          'STEWARD_DATABASE_URL_FILE must be the path of a readable file that is not empty.',
        ]);
      writeFileSync(file, 'mysql://u:hunter2@db/steward');
      expect(problemsOf({ STEWARD_DATABASE_URL_FILE: file }).join()).not.toContain('hunter2');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('reads how Kafka is reached, and names what is wrong with it without a value', () => {
    const folder = mkdtempSync(join(tmpdir(), 'steward-config-'));
    try {
      const file = join(folder, 'password');
      writeFileSync(file, 'hunter2\n');
      const sasl = { STEWARD_KAFKA_SASL: 'plain', STEWARD_KAFKA_USERNAME: 'u', STEWARD_KAFKA_PASSWORD_FILE: file };
      const env = { STEWARD_KAFKA_BROKERS: 'a:9092, b:9092', STEWARD_KAFKA_RETENTION_DAYS: '7', ...sasl };
      const { kafka, warnings } = loadConfig({ ...env, STEWARD_KAFKA_TLS: 'on', STEWARD_KAFKA_CA_FILE: '/ca.pem' });
      expect(kafka).toMatchObject({
        brokers: ['a:9092', 'b:9092'],
        tls: { caFile: '/ca.pem' },
        sasl: { mechanism: 'plain', username: 'u' },
        topics: { partitionCount: 12, replicationFactor: 3, retentionMs: 604_800_000 },
      });
      expect(kafka?.sasl?.password.reveal()).toBe('hunter2');
      expect([warnings, JSON.stringify(kafka).includes('hunter2')]).toEqual([[], false]);
      expect(problemsOf(env)).toEqual([expect.stringContaining('needs STEWARD_KAFKA_TLS=on')]);
      expect(problemsOf({ STEWARD_KAFKA_BROKERS: 'hunter2' })).toEqual([
        'STEWARD_KAFKA_BROKERS must be a list of host:port, parted by commas.',
      ]);
      expect(problemsOf({ ...sasl, STEWARD_KAFKA_SASL: 'none' })).toHaveLength(1);
      expect(problemsOf({ ...sasl, STEWARD_KAFKA_TLS: 'on', STEWARD_KAFKA_PASSWORD_FILE: folder })).toEqual([
        'STEWARD_KAFKA_PASSWORD_FILE must be the path of a readable file.',
      ]);
      expect(loadConfig({}).kafka).toBeUndefined();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('names variables that mean nothing, without their values', () => {
    const { warnings } = loadConfig({ STEWARD_PROT: 'hunter2', STEWARD_TEST_DATABASE_URL: 'x', STEWARD_SEED: '1' });
    expect(warnings).toEqual(['STEWARD_PROT is set but means nothing to this release.']);
  });

  it('takes proxies as addresses and ranges of both families', () => {
    const text = '127.0.0.1, 10.0.0.0/8,::1, fd00::/8';
    expect(loadConfig({ STEWARD_TRUSTED_PROXIES: text }).trustedProxies).toEqual([
      '127.0.0.1/32',
      '10.0.0.0/8',
      '::1/128',
      'fd00::/8',
    ]);
  });

  it('takes the addresses of services that run apart, and needs the internal key beside them', () => {
    const folder = mkdtempSync(join(tmpdir(), 'steward-config-'));
    const key = join(folder, 'key');
    writeFileSync(key, 'k'.repeat(32));
    for (const [name, field] of [
      ['STEWARD_KEYS_GRPC_URL', 'keysGrpcUrls'],
      ['STEWARD_QUOTAS_GRPC_URL', 'quotasGrpcUrls'],
    ] as const) {
      const config = loadConfig({ [name]: 'keys-1:50051, [::1]:7,keys-1:50051', STEWARD_INTERNAL_KEY_FILE: key });
      expect(config[field]).toEqual(['keys-1:50051', '[::1]:7']);
      expect(inspect(config)).not.toContain('kkkk');
      expect(problemsOf({ [name]: 'keys-1:50051' })).toEqual([`${name} needs STEWARD_INTERNAL_KEY_FILE beside it.`]);
      for (const wrong of ['keys-1', 'http://keys-1:5', ','])
        expect(problemsOf({ [name]: wrong, STEWARD_INTERNAL_KEY_FILE: key })).toEqual([
          `${name} must be a list of host:port, parted by commas.`,
        ]);
    }
    expect(loadConfig({})).toMatchObject({ keysGrpcUrls: [], quotasGrpcUrls: [], internalKey: undefined });
    rmSync(folder, { recursive: true });
  });

  it('takes the peers of the quotas with their key, and names what is wrong with them', () => {
    const folder = mkdtempSync(join(tmpdir(), 'steward-config-'));
    const [key, short] = [join(folder, 'key'), join(folder, 'short')];
    writeFileSync(key, 'k'.repeat(32));
    writeFileSync(short, 'k'.repeat(31));
    const peers = 'a.example:50051, [::1]:7, 10.0.0.1:8,[::1]:7,a.example:50051';
    expect(loadConfig({ STEWARD_QUOTAS_PEERS: peers, STEWARD_INTERNAL_KEY_FILE: key }).quotasPeers).toMatchObject({
      own: 'a.example:50051',
      others: ['[::1]:7', '10.0.0.1:8'],
    });
    expect(problemsOf({ STEWARD_QUOTAS_PEERS: peers })).toEqual([
      'STEWARD_QUOTAS_PEERS needs STEWARD_INTERNAL_KEY_FILE beside it.',
    ]);
    for (const wrong of ['a', 'a:0', 'a:65536', '::1:5', 'http://a:5'])
      expect(problemsOf({ STEWARD_QUOTAS_PEERS: wrong, STEWARD_INTERNAL_KEY_FILE: key })).toEqual([
        'STEWARD_QUOTAS_PEERS must be a list of host:port, parted by commas, the first of which is this process.',
      ]);
    for (const file of [short, join(folder, 'absent')])
      expect(problemsOf({ STEWARD_QUOTAS_PEERS: peers, STEWARD_INTERNAL_KEY_FILE: file })).toEqual([
        'STEWARD_INTERNAL_KEY_FILE must be the path of a readable file of 32 bytes to 64 KiB.',
      ]);
    rmSync(folder, { recursive: true });
  });
});

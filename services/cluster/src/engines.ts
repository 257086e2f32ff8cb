import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KafkaCluster, whyNoKafka } from '#libs/kafka';
import { type AppConfig, ConfigError, type Logger } from '#libs/platform';
import { type EmbeddedPostgres, startEmbeddedPostgres, writeDurably } from '#libs/postgres';
import { Backoff } from './backoff.js';
import type { OrphanKeeper } from './orphan-keeper.js';

/** Eleven processes, each with its pools, leases and followers. */
const CONNECTIONS_MAX = 400;
const LOOK_EVERY_MS = 500;

export interface EngineParts {
  readonly config: Pick<AppConfig, 'dataDir'>;
  readonly logger: Logger;
  readonly keeper: OrphanKeeper;
}

export interface RunningPostgres {
  readonly server: EmbeddedPostgres;
  stop(): Promise<void>;
}

/** The embedded server on the data directory; `onLost` is told when it died and could not be started again. */
export async function startPostgres(parts: EngineParts, onLost: (error: Error) => void): Promise<RunningPostgres> {
  const { config, keeper } = parts;
  const log = parts.logger.child({ process: 'postgres' });
  const server = await startEmbeddedPostgres({ dataDir: config.dataDir, log, connectionsMax: CONNECTIONS_MAX });
  server.onExit(onLost);
  const keep = (): void => {
    keeper.keep('postgres', server.pid(), 'SIGINT');
  };
  keep();
  // Its own supervisor starts it again as another process.
  const look = setInterval(keep, LOOK_EVERY_MS);
  return {
    server,
    stop: async () => {
      clearInterval(look);
      await server.stop();
      keeper.forget('postgres');
    },
  };
}

export interface RunningKafka {
  readonly brokers: readonly string[];
  /** False where these brokers are not those of the last start: what the database knows of Kafka is of others. */
  readonly isKnown: boolean;
  /** To be called once the database knows nothing of others any more. */
  noteKnown(): Promise<void>;
  stop(): Promise<void>;
}

/** Throws ConfigError where no broker can be started: before anything else is. */
export function assertKafkaCanStart(): void {
  const reason = whyNoKafka();
  if (reason !== undefined)
    throw new ConfigError([
      `Kafka cannot be started, for ${reason}. \`npm run cluster -- --without-kafka\` leaves it out: events are not published then, all else works.`,
    ]);
}

/** Brokers whose data stay in the data directory; one that ends is started again. */
export async function startKafka(brokerCount: 1 | 3, parts: EngineParts): Promise<RunningKafka> {
  const { config, logger, keeper } = parts;
  const backoffs = new Map<number, Backoff>();
  const stopping = new AbortController();
  const keepAll = (): void => {
    for (const [nodeId, pid] of cluster.pids) keeper.keep(`kafka-${nodeId}`, pid, 'SIGTERM');
  };
  const told = (nodeId: number): void => {
    logger.info({ process: `kafka-${nodeId}`, pid: cluster.pids.get(nodeId) }, 'A process started.');
  };
  const onBrokerEnd = (nodeId: number, said: string): void => {
    const backoff = backoffs.get(nodeId) ?? new Backoff();
    backoffs.set(nodeId, backoff);
    const delayMs = backoff.nextMs();
    keeper.forget(`kafka-${nodeId}`);
    logger.error({ process: `kafka-${nodeId}`, said, delayMs }, 'A process ended and is started again.');
    sleep(delayMs, undefined, { signal: stopping.signal }).then(
      () => {
        cluster.revive(nodeId);
        keepAll();
        told(nodeId);
      },
      () => undefined,
    );
  };
  const home = join(config.dataDir, 'kafka');
  await mkdir(home, { recursive: true, mode: 0o700 });
  const lastFile = join(home, 'last');
  const last = await readFile(lastFile, 'utf8').catch(() => '');
  const form = `${brokerCount}\n`;
  const cluster = await KafkaCluster.start(brokerCount, { folder: join(home, String(brokerCount)), onBrokerEnd });
  keepAll();
  for (const nodeId of cluster.pids.keys()) told(nodeId);
  return {
    brokers: cluster.brokers,
    isKnown: !cluster.isNew && last === form,
    noteKnown: () => writeDurably(lastFile, form, 0o600),
    stop: async () => {
      stopping.abort();
      await cluster.stop();
      for (const nodeId of cluster.pids.keys()) keeper.forget(`kafka-${nodeId}`);
    },
  };
}

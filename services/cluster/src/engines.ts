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
  const home = join(parts.config.dataDir, 'kafka');
  await mkdir(home, { recursive: true, mode: 0o700 });
  const lastFile = join(home, 'last');
  const last = await readFile(lastFile, 'utf8').catch(() => '');
  const form = `${brokerCount}\n`;
  const brokers = new SupervisedBrokers(parts);
  const cluster = await brokers.start(brokerCount, join(home, String(brokerCount)));
  return {
    brokers: cluster.brokers,
    isKnown: !cluster.isNew && last === form,
    noteKnown: () => writeDurably(lastFile, form, 0o600),
    stop: () => brokers.stop(),
  };
}

class SupervisedBrokers {
  private readonly backoffs = new Map<number, Backoff>();
  private readonly stopping = new AbortController();
  /** Undefined until all have registered: what ends before fails the start. */
  private cluster: KafkaCluster | undefined;

  constructor(private readonly parts: EngineParts) {}

  async start(brokerCount: 1 | 3, folder: string): Promise<KafkaCluster> {
    this.cluster = await KafkaCluster.start(brokerCount, {
      folder,
      onBrokerStart: (nodeId, pid) => {
        this.parts.keeper.keep(nameOf(nodeId), pid, 'SIGTERM');
        this.parts.logger.info({ process: nameOf(nodeId), pid }, 'A process started.');
      },
      onBrokerEnd: (nodeId, said) => {
        this.parts.keeper.forget(nameOf(nodeId));
        this.startAgain(nodeId, said);
      },
    });
    return this.cluster;
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.cluster?.stop();
  }

  private startAgain(nodeId: number, said: string): void {
    const { cluster } = this;
    if (cluster === undefined || this.stopping.signal.aborted) return;
    const backoff = this.backoffs.get(nodeId) ?? new Backoff();
    this.backoffs.set(nodeId, backoff);
    const delayMs = backoff.nextMs();
    this.parts.logger.error({ process: nameOf(nodeId), said, delayMs }, 'A process ended and is started again.');
    sleep(delayMs, undefined, { signal: this.stopping.signal }).then(
      () => {
        cluster.revive(nodeId);
      },
      () => undefined,
    );
  }
}

const nameOf = (nodeId: number): string => `kafka-${nodeId}`;

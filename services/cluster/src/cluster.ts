import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { freePorts } from '#libs/kafka';
import type { AppConfig, Logger } from '#libs/platform';
import { DirectoryLock, forgetRelays, prepareDataDirectory, writeDurably } from '#libs/postgres';
import type { ClusterArguments } from './arguments.js';
import { assertKafkaCanStart, type EngineParts, type RunningKafka, startKafka, startPostgres } from './engines.js';
import { OrphanKeeper } from './orphan-keeper.js';
import { type EngineAddresses, planOf, PORTS, storeEnvironment } from './plan.js';
import { SupervisedProcess } from './supervised-process.js';

const INTERNAL_KEY_BYTES = 32;
const commandLine = fileURLToPath(new URL('../../cli/src/main.js', import.meta.url));

export interface ClusterOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly config: AppConfig;
  readonly args: ClusterArguments;
  readonly logger: Logger;
  /** Told when an engine is gone for good. */
  readonly onLost: (error: Error) => void;
}

/** The whole distributed tier on this machine: what is started is stopped again in the opposite order. */
export class Cluster {
  private readonly hurrying = new AbortController();
  private readonly ends: (() => Promise<unknown>)[] = [];
  private stopped: Promise<void> | undefined;

  constructor(private readonly options: ClusterOptions) {}

  /** Resolves when every process is ready; throws what keeps one from it, or where the signal is aborted. */
  async start(signal: AbortSignal): Promise<void> {
    const { env, config, logger, args } = this.options;
    const ownKafka = args.withKafka && config.kafka === undefined;
    if (ownKafka) assertKafkaCanStart();
    await prepareDataDirectory(config.dataDir);
    const port = config.port === 0 ? ((await freePorts(1))[0] ?? 0) : config.port;
    await assertFree(port, config.host);
    // Else a second cluster would first wait for the keeper of one that runs.
    await (await DirectoryLock.acquire(config.dataDir)).release();
    const keeper = await OrphanKeeper.start(config.dataDir);
    this.ends.unshift(() => keeper.close());
    const parts = { config, logger, keeper };
    let engines = await this.database(parts);
    signal.throwIfAborted();
    const given = config.internalKey && env['STEWARD_INTERNAL_KEY_FILE'];
    const internalKeyFile = given ?? (await this.internalKey());
    await this.found(storeEnvironment({ env, dataDir: config.dataDir, engines }), signal);
    if (ownKafka) engines = { ...engines, kafka: await this.kafka(parts, engines, signal) };

    const plan = planOf({
      env,
      dataDir: config.dataDir,
      internalKeyFile,
      engines,
      host: config.host,
      port,
      tls: config.tls !== undefined,
      ports: await freePorts(PORTS),
    });
    const processes = plan.map((one) => new SupervisedProcess(one, parts));
    const [front, ...services] = [...processes].reverse();
    this.ends.unshift(
      () => front?.stop(this.hurrying.signal) ?? Promise.resolve(),
      () => Promise.all(services.map((one) => one.stop(this.hurrying.signal))),
    );
    await Promise.all(processes.map((one) => one.start(signal)));
    this.tell(processes, engines);
  }

  /** Front, services, Kafka, PostgreSQL. Once only, however often it is called. */
  stop(): Promise<void> {
    this.stopped ??= this.stopInOrder();
    return this.stopped;
  }

  /** Nobody waits any more: what is still draining is killed. */
  hurry(): void {
    this.hurrying.abort();
  }

  private async stopInOrder(): Promise<void> {
    let failure: unknown;
    for (const end of this.ends)
      await end().catch((error: unknown) => {
        failure ??= error;
      });
    if (failure !== undefined) throw failure as Error;
  }

  private async database(parts: EngineParts): Promise<EngineAddresses> {
    const { env, onLost } = this.options;
    const isGiven = [env['STEWARD_DATABASE_URL'], env['STEWARD_DATABASE_URL_FILE']].some(Boolean);
    if (isGiven) return { databaseUrl: undefined, migrationDatabaseUrl: undefined, kafka: undefined };
    const running = await startPostgres(parts, onLost);
    this.ends.unshift(() => running.stop());
    const { programUrl, ownerUrl } = running.server;
    return { databaseUrl: programUrl, migrationDatabaseUrl: ownerUrl, kafka: undefined };
  }

  private async internalKey(): Promise<string> {
    const file = join(this.options.config.dataDir, 'internal.key');
    const isThere = await access(file).then(
      () => true,
      () => false,
    );
    if (!isThere) await writeDurably(file, `${randomBytes(INTERNAL_KEY_BYTES).toString('hex')}\n`, 0o600);
    return file;
  }

  /** By the command line, which puts together what founding a store needs; it shows the first administrator's key. */
  private async found(env: ClusterOptions['env'], signal: AbortSignal): Promise<void> {
    const child = spawn(process.execPath, [commandLine, 'admin', 'bootstrap'], { env, stdio: 'inherit', signal });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error('The store could not be founded.');
  }

  private async kafka(
    parts: EngineParts,
    engines: EngineAddresses,
    signal: AbortSignal,
  ): Promise<EngineAddresses['kafka']> {
    const { brokerCount } = this.options.args;
    const running = await startKafka(brokerCount, parts);
    this.ends.unshift(() => running.stop());
    signal.throwIfAborted();
    if (!running.isKnown) await this.beginAnew(running, engines);
    return { brokers: running.brokers, replicationFactor: brokerCount };
  }

  /** What was published to other brokers is not on these. */
  private async beginAnew(running: RunningKafka, { databaseUrl }: EngineAddresses): Promise<void> {
    const connectionString = databaseUrl ?? this.options.config.databaseUrl?.reveal() ?? '';
    const client = new pg.Client({ connectionString, connectionTimeoutMillis: 5_000, query_timeout: 10_000 });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await forgetRelays(client);
    } finally {
      await client.end();
    }
    await running.noteKnown();
  }

  private tell(processes: readonly SupervisedProcess[], { kafka }: EngineAddresses): void {
    const { config, logger } = this.options;
    const url = processes.at(-1)?.plan.http ?? '';
    const brokers = kafka?.brokers ?? config.kafka?.brokers;
    const fields = {
      http: url,
      docs: `${url}/docs`,
      keyFile: join(config.dataDir, 'bootstrap-admin.key'),
      ...(brokers === undefined ? {} : { kafka: brokers.join() }),
      processes: processes.map(({ plan, pid }) => ({ name: plan.name, pid, http: plan.http, grpc: plan.grpc })),
    };
    const addresses = [`http=${url}`, ...(brokers === undefined ? [] : [`kafka=${brokers.join()}`])];
    logger.info(fields, `Steward cluster is ready: ${addresses.join(' ')}`);
  }
}

/** Before minutes are spent on what could not be reached. Throws what `listen` does. */
async function assertFree(port: number, host: string): Promise<void> {
  const server = createServer().listen(port, host);
  await once(server, 'listening');
  server.close();
  await once(server, 'close');
}

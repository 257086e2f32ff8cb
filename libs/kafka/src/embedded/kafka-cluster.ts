import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { keystoreIn, LOG_SETTINGS, type Member, type SecuredListener, settingsOf } from './broker-settings.js';
import { freePorts } from './free-ports.js';
import { kafkaJars } from './kafka-jars.js';

const START_MS_MAX = 120_000;
const STOP_MS_MAX = 20_000;
const STOP_ORDERLY_MS_MAX = 8_000;
const QUESTION_MS_MAX = 5_000;
const LOG_CHARACTERS_MAX = 1_000;
const HEAP = ['-Xms96m', '-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
/** Stands beside the data of brokers that were all formatted; what is without it never held a message. */
const FORMATTED = 'formatted';

/** Java finds itself by it; passwords and paths of Steward's own secrets are not a broker's business. */
const brokerEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(STEWARD_|PG)/.test(name)));

export interface KafkaOptions {
  /** Where the brokers' data stay after a stop, of as many brokers as before; without it they are gone with it. */
  readonly folder?: string;
  readonly secured?: SecuredListener;
  readonly onBrokerStart?: (nodeId: number, pid: number) => void;
  /** Told what a broker said last when it ended, asked to or not. */
  readonly onBrokerEnd?: (nodeId: number, said: string) => void;
}

/**
 * A real Apache Kafka in KRaft mode for one machine: one process a broker, each a controller too, on the loopback address
 * only. Its ports are others at each start.
 */
export class KafkaCluster {
  /** True where no broker had data yet. */
  isNew = false;
  private readonly processes = new Map<number, ChildProcess>();
  private readonly hanging = new Set<number>();
  private readonly logs = new Map<number, string>();
  private readonly endWithUs = (): void => {
    for (const child of this.processes.values()) child.kill('SIGKILL');
  };

  private constructor(
    private readonly jars: string,
    private readonly folder: string,
    private readonly members: readonly Member[],
    private readonly options: KafkaOptions,
  ) {}

  /** Resolves when every broker has registered. Throws where none can be started: `whyNoKafka` says so before. */
  static async start(brokerCount: 1 | 3, options: KafkaOptions = {}): Promise<KafkaCluster> {
    const jars = kafkaJars();
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'steward-kafka-')));
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const ports = await freePorts(3 * brokerCount);
    const members = Array.from({ length: brokerCount }, (_, n) => ({
      nodeId: n + 1,
      port: ports[3 * n] as number,
      controllerPort: ports[3 * n + 1] as number,
      securedPort: ports[3 * n + 2] as number,
    }));
    const cluster = new KafkaCluster(jars, folder, members, options);
    try {
      await cluster.prepare();
      process.once('exit', cluster.endWithUs);
      for (const { nodeId } of members) cluster.spawnBroker(nodeId);
      await cluster.untilRegistered();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** `127.0.0.1:<port>` of every broker. */
  get brokers(): string[] {
    return this.members.map(({ port }) => `127.0.0.1:${port}`);
  }

  /** The same brokers where TLS and SASL are asked for. */
  get securedBrokers(): string[] {
    return this.members.map(({ securedPort }) => `127.0.0.1:${securedPort}`);
  }

  /** SIGKILL; the broker's data stay. */
  async kill(nodeId: number): Promise<void> {
    await this.end(nodeId, 'SIGKILL');
  }

  /** SIGSTOP: its connections stay open and answer nothing, until it is killed. */
  hang(nodeId: number): void {
    this.hanging.add(nodeId);
    this.processes.get(nodeId)?.kill('SIGSTOP');
  }

  /** Starts a broker that ended; the cluster knows it some seconds later. Nothing if it runs. */
  revive(nodeId: number): void {
    const child = this.processes.get(nodeId);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) this.spawnBroker(nodeId);
  }

  /** Starts a broker that was killed and resolves when the cluster knows it again. */
  async restart(nodeId: number): Promise<void> {
    this.revive(nodeId);
    await this.untilRegistered();
  }

  /** Resolves when every replica of the topics is in sync, so that the next broker may be killed. */
  async untilInSync(topics: readonly string[]): Promise<void> {
    await this.until('all replicas are in sync', async (admin) => {
      const described = await admin.fetchTopicMetadata({ topics: [...topics] });
      const partitions = described.topics.flatMap((topic) => topic.partitions);
      return partitions.every(({ isr, replicas }) => isr.length === replicas.length);
    });
  }

  /** The broker that leads a partition, as the cluster sees it now; with `butNot`, once another one leads than that. */
  async leaderOf(topic: string, partition: number, butNot = -1): Promise<number> {
    let leader = -1;
    await this.until(`${topic}/${partition} has a leader`, async (admin) => {
      const described = await admin.fetchTopicMetadata({ topics: [topic] });
      leader = described.topics[0]?.partitions.find(({ partitionId }) => partitionId === partition)?.leader ?? -1;
      return leader > 0 && leader !== butNot;
    });
    return leader;
  }

  /** Ends every broker; data in a folder that was given stay. */
  async stop(): Promise<void> {
    const isKept = this.options.folder !== undefined;
    // Together they may wait for each other's help for ever, and what was acknowledged is written either way.
    await Promise.all(this.members.map(({ nodeId }) => this.end(nodeId, isKept ? 'SIGTERM' : 'SIGKILL')));
    process.off('exit', this.endWithUs);
    if (!isKept) await rm(this.folder, { recursive: true, force: true });
  }

  private async prepare(): Promise<void> {
    const { secured } = this.options;
    await writeFile(join(this.folder, 'log4j2.properties'), LOG_SETTINGS);
    if (secured !== undefined) await writeFile(keystoreIn(this.folder), secured.key + secured.cert, { mode: 0o600 });
    for (const member of this.members)
      await writeFile(this.settingsFile(member.nodeId), settingsOf(member, this.members, this.folder, secured));
    const formatted = join(this.folder, FORMATTED);
    if (existsSync(formatted)) return;
    this.isNew = true;
    for (const name of await readdir(this.folder))
      if (/^\d+$/.test(name)) await rm(join(this.folder, name), { recursive: true });
    await this.format();
    await writeFile(formatted, '');
  }

  private async format(): Promise<void> {
    // The tool would take an id that begins with a hyphen for an option.
    const clusterId = Buffer.from([0, ...randomBytes(15)]).toString('base64url');
    const { secured } = this.options;
    const scram = (user: string, password: string): string[] => [
      '--add-scram',
      `SCRAM-SHA-512=[name=${user},password=${password}]`,
    ];
    const user = secured === undefined ? [] : scram(secured.username, secured.password);
    // One after the other: three starting Java machines at once take longer on a machine of two cores.
    for (const { nodeId } of this.members) {
      await mkdir(join(this.folder, String(nodeId)));
      const format = ['kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', this.settingsFile(nodeId), ...user];
      await promisify(execFile)('java', this.javaArguments(...format), { timeout: START_MS_MAX });
    }
  }

  private settingsFile(nodeId: number): string {
    return join(this.folder, `broker-${nodeId}.properties`);
  }

  private javaArguments(...program: string[]): string[] {
    const logSettings = `-Dlog4j2.configurationFile=${join(this.folder, 'log4j2.properties')}`;
    return [...HEAP, logSettings, '-cp', join(this.jars, '*'), ...program];
  }

  private spawnBroker(nodeId: number): void {
    const child = spawn('java', this.javaArguments('kafka.Kafka', this.settingsFile(nodeId)), {
      cwd: this.folder,
      env: brokerEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe'],
      // Whoever keeps the data stops the brokers too: a terminal's Ctrl-C must not reach them before.
      detached: this.options.folder !== undefined,
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.logs.set(nodeId, ((this.logs.get(nodeId) ?? '') + text).slice(-LOG_CHARACTERS_MAX));
    });
    // A program that cannot be executed has no exit; what waits for the broker names the cluster that does not come up.
    child.on('error', (error) => this.logs.set(nodeId, error.message));
    child.on('exit', () => {
      this.options.onBrokerEnd?.(nodeId, this.logs.get(nodeId) ?? '');
    });
    this.processes.set(nodeId, child);
    if (child.pid !== undefined) this.options.onBrokerStart?.(nodeId, child.pid);
  }

  private async end(nodeId: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.processes.get(nodeId);
    if (child === undefined) return;
    this.processes.delete(nodeId);
    this.hanging.delete(nodeId);
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(STOP_MS_MAX) });
    child.kill(signal);
    const impatience = setTimeout(() => child.kill('SIGKILL'), STOP_ORDERLY_MS_MAX);
    await ended.finally(() => {
      clearTimeout(impatience);
    });
  }

  private async untilRegistered(): Promise<void> {
    await this.until('every broker has registered', async (admin) => {
      const { brokers } = await admin.describeCluster();
      return brokers.length === this.members.length;
    });
  }

  private async until(what: string, holds: (admin: Admin) => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + START_MS_MAX;
    while (!(await this.asks(holds))) {
      for (const [nodeId, child] of this.processes)
        if (child.exitCode !== null) throw new Error(`The broker ${nodeId} ended:\n${this.logs.get(nodeId) ?? ''}`);
      if (performance.now() > deadline)
        throw new Error(`Kafka: ${what} did not come true:\n${[...this.logs.values()].join('\n')}`);
      await sleep(200);
    }
  }

  /**
   * One question to a broker that runs, on a connection of its own: an older one might lead to a broker that hangs. False
   * where nobody answers, as in a cluster that is starting; only the time tells that it never will.
   */
  private async asks(holds: (admin: Admin) => Promise<boolean>): Promise<boolean> {
    const running = this.members.filter(({ nodeId }) => this.processes.has(nodeId) && !this.hanging.has(nodeId));
    const admin = new Kafka({
      brokers: running.map(({ port }) => `127.0.0.1:${port}`),
      logLevel: logLevel.NOTHING,
      connectionTimeout: 1_000,
      requestTimeout: QUESTION_MS_MAX,
      retry: { retries: 1, initialRetryTime: 100 },
    }).admin();
    try {
      await admin.connect();
      return await holds(admin);
    } catch {
      return false;
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }
}

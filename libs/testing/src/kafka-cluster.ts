import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { freePorts } from './free-ports.js';
import { kafkaJars } from './kafka-jars.js';

const START_MS_MAX = 120_000;
const STOP_MS_MAX = 20_000;
const QUESTION_MS_MAX = 5_000;
const LOG_CHARACTERS_MAX = 1_000;
const HEAP = ['-Xms96m', '-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
const LOG_SETTINGS = `
appender.stderr.type=Console
appender.stderr.name=stderr
appender.stderr.target=SYSTEM_ERR
appender.stderr.layout.type=PatternLayout
appender.stderr.layout.pattern=%p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.stderr.ref=stderr
`;

/** A listener with TLS and SASL beside the plain one. The certificate is of 127.0.0.1; it and its key are PEM. */
export interface SecuredListener {
  readonly cert: string;
  readonly key: string;
  readonly username: string;
  readonly password: string;
}

interface Member {
  readonly nodeId: number;
  readonly port: number;
  readonly securedPort: number;
  readonly controllerPort: number;
}

/**
 * A real Apache Kafka in KRaft mode: one process a broker, on this machine only, each a controller too. It is no part of
 * the index, because whoever imports it loads the client as well.
 */
export class KafkaCluster {
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
    private readonly secured: SecuredListener | undefined,
  ) {}

  /** Resolves when every broker has registered. For suites of `describeOnKafka`, which know that it can. */
  static async start(brokerCount: 1 | 3, secured?: SecuredListener): Promise<KafkaCluster> {
    const jars = kafkaJars();
    const folder = await mkdtemp(join(tmpdir(), 'steward-kafka-'));
    const ports = await freePorts(3 * brokerCount);
    const members = Array.from({ length: brokerCount }, (_, n) => ({
      nodeId: n + 1,
      port: ports[3 * n] as number,
      controllerPort: ports[3 * n + 1] as number,
      securedPort: ports[3 * n + 2] as number,
    }));
    const cluster = new KafkaCluster(jars, folder, members, secured);
    try {
      await cluster.format();
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

  /** Starts a broker that was killed and resolves when the cluster knows it again. */
  async restart(nodeId: number): Promise<void> {
    this.spawnBroker(nodeId);
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

  async stop(): Promise<void> {
    await Promise.all(this.members.map(({ nodeId }) => this.end(nodeId, 'SIGKILL')));
    process.off('exit', this.endWithUs);
    await rm(this.folder, { recursive: true, force: true });
  }

  private async format(): Promise<void> {
    // The tool would take an id that begins with a hyphen for an option.
    const clusterId = Buffer.from([0, ...randomBytes(15)]).toString('base64url');
    await writeFile(join(this.folder, 'log4j2.properties'), LOG_SETTINGS);
    const user: string[] = [];
    if (this.secured !== undefined) {
      const { cert, key, username, password } = this.secured;
      await writeFile(this.keystore, key + cert, { mode: 0o600 });
      user.push('--add-scram', `SCRAM-SHA-512=[name=${username},password=${password}]`);
    }
    // One after the other: three starting Java machines at once take longer on a machine of two cores.
    for (const member of this.members) {
      await mkdir(join(this.folder, String(member.nodeId)));
      await writeFile(this.settingsFile(member.nodeId), this.settingsOf(member));
      await promisify(execFile)(
        'java',
        this.javaArguments(
          'kafka.tools.StorageTool',
          'format',
          '-t',
          clusterId,
          '-c',
          this.settingsFile(member.nodeId),
          ...user,
        ),
        { timeout: START_MS_MAX },
      );
    }
  }

  private get keystore(): string {
    return join(this.folder, 'keystore.pem');
  }

  private securedSettings(): Record<string, string> {
    if (this.secured === undefined) return {};
    const { username, password } = this.secured;
    const security = 'org.apache.kafka.common.security';
    return {
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': this.keystore,
      'sasl.enabled.mechanisms': 'SCRAM-SHA-512,PLAIN',
      'listener.name.secured.scram-sha-512.sasl.jaas.config': `${security}.scram.ScramLoginModule required;`,
      'listener.name.secured.plain.sasl.jaas.config': `${security}.plain.PlainLoginModule required user_${username}="${password}";`,
    };
  }

  private settingsFile(nodeId: number): string {
    return join(this.folder, `broker-${nodeId}.properties`);
  }

  private settingsOf({ nodeId, port, securedPort, controllerPort }: Member): string {
    const secured = this.secured === undefined ? '' : `,SECURED://127.0.0.1:${securedPort}`;
    const copies = this.members.length;
    const inSyncMin = copies > 1 ? 2 : 1;
    return Object.entries({
      'process.roles': 'broker,controller',
      'node.id': nodeId,
      'controller.quorum.voters': this.members.map((one) => `${one.nodeId}@127.0.0.1:${one.controllerPort}`).join(),
      listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}${secured}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}${secured}`,
      'inter.broker.listener.name': 'PLAINTEXT',
      'controller.listener.names': 'CONTROLLER',
      'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL',
      ...this.securedSettings(),
      'log.dirs': join(this.folder, String(nodeId)),
      'auto.create.topics.enable': false,
      'default.replication.factor': copies,
      'min.insync.replicas': inSyncMin,
      'offsets.topic.replication.factor': copies,
      'offsets.topic.num.partitions': 1,
      'transaction.state.log.replication.factor': copies,
      'transaction.state.log.min.isr': inSyncMin,
      'transaction.state.log.num.partitions': 1,
      'group.initial.rebalance.delay.ms': 0,
      'log.segment.bytes': 16_777_216,
      // With the defaults a broker that was killed stays away for 15 seconds.
      'broker.session.timeout.ms': copies > 1 ? 3_000 : 1_500,
      'broker.heartbeat.interval.ms': copies > 1 ? 500 : 250,
      'replica.lag.time.max.ms': 5_000,
    })
      .map(([name, value]) => `${name}=${value}\n`)
      .join('');
  }

  private javaArguments(...program: string[]): string[] {
    const logSettings = `-Dlog4j2.configurationFile=${join(this.folder, 'log4j2.properties')}`;
    return [...HEAP, logSettings, '-cp', join(this.jars, '*'), ...program];
  }

  private spawnBroker(nodeId: number): void {
    const child = spawn('java', this.javaArguments('kafka.Kafka', this.settingsFile(nodeId)), {
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.logs.set(nodeId, ((this.logs.get(nodeId) ?? '') + text).slice(-LOG_CHARACTERS_MAX));
    });
    this.processes.set(nodeId, child);
  }

  private async end(nodeId: number, signal: NodeJS.Signals): Promise<void> {
    const child = this.processes.get(nodeId);
    if (child === undefined) return;
    this.processes.delete(nodeId);
    this.hanging.delete(nodeId);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(STOP_MS_MAX) });
    child.kill(signal);
    await ended;
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

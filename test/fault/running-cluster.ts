import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { aDataDir, type Answer, type CallOptions, freePorts } from '#libs/testing';

const main = fileURLToPath(new URL('../../dist/services/cluster/src/main.js', import.meta.url));
const READY_MS_MAX = 180_000;
const RECOVERY_MS_MAX = 120_000;
const ANSWER_MS_MAX = 30_000;
const READINESS_MS_MAX = 5_000;
const KEPT_LINES_MAX = 60;

/** The lines that tell of a process that is there from now on. */
const BEGINNINGS = ['A process started.', 'PostgreSQL started.', 'PostgreSQL answers again.'];

interface LogLine {
  readonly process?: string;
  readonly pid?: number;
  readonly http?: string;
  readonly kafka?: string;
  readonly msg?: string;
}

export interface ClusterMember {
  readonly pid: number;
  /** Undefined for engines. */
  readonly http: string | undefined;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

const opens = (address: string): Promise<boolean> =>
  new Promise((resolve) => {
    const [host = '', port = ''] = address.split(':');
    const socket = connect(Number(port), host);
    const end = (isOpen: boolean) => (): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once('connect', end(true)).once('error', end(false)).setTimeout(1_000, end(false));
  });

/** The program behind `npm run cluster`, with every process that it has started by name. */
export class RunningCluster {
  readonly members = new Map<string, ClusterMember>();
  readonly dataDir = aDataDir();
  readonly everyPid = new Set<number>();
  url = '';
  kafka = '';
  private readonly lastLines: string[] = [];
  private readonly child: ChildProcess;
  private isReady = false;

  private constructor(port: number, args: readonly string[]) {
    this.child = spawn(process.execPath, [main, ...args], {
      env: { PATH: process.env['PATH'], STEWARD_PORT: String(port), STEWARD_DATA_DIR: this.dataDir },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (this.child.pid !== undefined) this.everyPid.add(this.child.pid);
    for (const stream of [this.child.stdout, this.child.stderr])
      if (stream !== null) createInterface({ input: stream }).on('line', this.onLine);
  }

  static async start(args: readonly string[] = []): Promise<RunningCluster> {
    const [port = 0] = await freePorts(1);
    const cluster = new RunningCluster(port, args);
    try {
      await cluster.until('the cluster is ready', () => cluster.isReady, READY_MS_MAX);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get adminToken(): string {
    return readFileSync(join(this.dataDir, 'bootstrap-admin.key'), 'utf8').trim();
  }

  member(name: string): ClusterMember {
    const member = this.members.get(name);
    if (member === undefined) throw new Error(`No process is called ${name}.`);
    return member;
  }

  /** One request as JSON, as the first administrator, at the front or at one process. Throws where no answer comes. */
  async call<Body = Record<string, unknown>>(
    method: string,
    path: string,
    { token = this.adminToken, body, headers }: CallOptions = {},
    { at = this.url, msMax = ANSWER_MS_MAX } = {},
  ): Promise<Answer<Body>> {
    const response = await fetch(at + path, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(msMax),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: (text === '' ? {} : JSON.parse(text)) as Body };
  }

  async made(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await this.call(method, path, body === undefined ? {} : { body });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** SIGKILL, and resolves when another process has its name and the whole cluster is ready. Answers how long it took, ms. */
  async killAndAwait(name: string): Promise<number> {
    const { pid } = this.member(name);
    const killedMs = performance.now();
    process.kill(pid, 'SIGKILL');
    await this.until(`${name} has another process`, () => this.member(name).pid !== pid, RECOVERY_MS_MAX);
    const isWhole = async (): Promise<boolean> => {
      if (name.startsWith('kafka-') && !(await opens(this.kafka))) return false;
      const { http } = this.member(name);
      if (http !== undefined && !(await this.isOk(http))) return false;
      const { body } = await this.call<{ checks?: Record<string, { ready: number; replicas: number }> }>(
        'GET',
        '/readyz',
        { token: null },
        { msMax: READINESS_MS_MAX },
      );
      return Object.values(body.checks ?? {}).every(({ ready, replicas }) => ready === replicas);
    };
    await this.until(`the cluster is whole after ${name}`, () => isWhole().catch(() => false), RECOVERY_MS_MAX);
    return performance.now() - killedMs;
  }

  /** Ctrl-C, as it reaches the program; the exit code, or the signal's name. Data stay until `stop`. */
  async interrupt(): Promise<number | string | null> {
    const ended = once(this.child, 'exit');
    this.child.kill('SIGINT');
    const [code, signal] = (await ended) as [number | null, string | null];
    return code ?? signal;
  }

  leftovers(): number[] {
    return [...this.everyPid].filter(isAlive);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.interrupt();
    await this.until('nothing is left', () => this.leftovers().length === 0, 20_000);
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  async until(what: string, holds: () => boolean | Promise<boolean>, msMax: number): Promise<void> {
    const deadline = performance.now() + msMax;
    while (!(await holds())) {
      const hasEnded = !this.isReady && this.child.exitCode !== null;
      if (hasEnded || performance.now() > deadline)
        throw new Error(`It did not come true that ${what}:\n${this.lastLines.join('\n')}`);
      await sleep(50);
    }
  }

  private async isOk(http: string): Promise<boolean> {
    const { status } = await this.call('GET', '/readyz', { token: null }, { at: http, msMax: READINESS_MS_MAX });
    return status === 200;
  }

  private readonly onLine = (line: string): void => {
    // Under load they would push out of sight what matters.
    if (line.endsWith('"msg":"request"}')) return;
    // The output of a first start holds the bootstrap key, and test output must not.
    this.lastLines.push(line.replaceAll(/stw_\w+/g, '[token]').slice(0, 500));
    if (this.lastLines.length > KEPT_LINES_MAX) this.lastLines.shift();
    if (!line.startsWith('{')) return;
    const { process: name, pid, http, kafka, msg = '' } = JSON.parse(line) as LogLine;
    if (name !== undefined && pid !== undefined && BEGINNINGS.includes(msg)) {
      this.members.set(name, { pid, http });
      this.everyPid.add(pid);
    }
    if (msg.startsWith('Steward cluster is ready')) {
      this.url = http ?? '';
      this.kafka = kafka ?? '';
      this.isReady = true;
    }
  };
}

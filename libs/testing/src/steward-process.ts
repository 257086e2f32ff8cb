import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How long a start may take before the test gives up on it, ms. */
export const START_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;

const mainOf = (service: ServiceName): string =>
  fileURLToPath(new URL(`../../../dist/services/${service}/src/main.js`, import.meta.url));

/** What starts by itself; `steward` is all of them in one. */
export type ServiceName = 'steward' | 'keys' | 'quotas' | 'tenancy' | 'audit' | 'projector';

export interface Answer<Body = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

export interface CallOptions {
  readonly token?: string | null;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export interface StartOptions {
  readonly service?: ServiceName;
  readonly dataDir?: string;
  readonly env?: Record<string, string>;
  /** What stands behind `npm start --`. */
  readonly args?: readonly string[];
}

/** A scratch data directory that an unprivileged PostgreSQL can traverse; whoever asks for it removes it. */
export function aDataDir(): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'steward-e2e-'));
  chmodSync(dataDir, 0o711);
  return dataDir;
}

/** The built program as a child process on free ports, as an operator would run it. `npm run build` comes first. */
export class StewardProcess {
  readonly output: string[] = [];
  private readonly exit: Promise<unknown>;
  url = '';
  grpcAddress = '';

  private constructor(
    readonly dataDir: string,
    private readonly child: ChildProcess,
    private readonly ownsDataDir: boolean,
  ) {
    this.exit = once(child, 'exit');
  }

  /** Resolves when it is ready; with a data directory of its own unless one is given. */
  static async start(options: StartOptions = {}): Promise<StewardProcess> {
    const steward = StewardProcess.spawn(options);
    await steward.ready();
    return steward;
  }

  /** Starts without waiting, for starts that are to fail. */
  static spawn(options: StartOptions = {}): StewardProcess {
    const dataDir = options.dataDir ?? aDataDir();
    const child = spawn(process.execPath, [mainOf(options.service ?? 'steward'), ...(options.args ?? [])], {
      env: {
        PATH: process.env['PATH'],
        STEWARD_PORT: '0',
        STEWARD_GRPC_PORT: '0',
        STEWARD_DATA_DIR: dataDir,
        ...options.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const steward = new StewardProcess(dataDir, child, options.dataDir === undefined);
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => steward.output.push(text));
    return steward;
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('Steward has no process.');
    return this.child.pid;
  }

  get adminToken(): string {
    return readFileSync(join(this.dataDir, 'bootstrap-admin.key'), 'utf8').trim();
  }

  /** Waits for the log line `Steward is ready` and learns the addresses from it. */
  async ready(): Promise<void> {
    const tooLate = AbortSignal.timeout(START_MS_MAX);
    while (!tooLate.aborted) {
      const line = this.output
        .join('')
        .split('\n')
        .find((text) => text.includes('Steward is ready'));
      if (line !== undefined) {
        const ready = JSON.parse(line) as { http: string; grpc?: string };
        this.url = ready.http;
        this.grpcAddress = ready.grpc ?? '';
        return;
      }
      if (this.child.exitCode !== null || this.child.signalCode !== null) break;
      const nextOutput = once(this.child.stdout ?? this.child, 'data', { signal: tooLate });
      await Promise.race([nextOutput, this.exit]).catch(() => undefined);
    }
    // The output of a first start holds the bootstrap key, and test output must not.
    const said = this.output
      .join('')
      .replaceAll(/stw_\w+/g, '[token]')
      .slice(-4_000);
    throw new Error(`Steward did not become ready:\n${said}`);
  }

  /** One request as JSON; `token: null` sends none. */
  async call<Body = Record<string, unknown>>(
    method: string,
    path: string,
    options: CallOptions = {},
  ): Promise<Answer<Body>> {
    const token = options.token === undefined ? this.adminToken : options.token;
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? {} : JSON.parse(text)) as Body,
    };
  }

  /** Resolves to the exit code, or the signal's name. */
  async exited(): Promise<number | string> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.exit;
    return this.child.exitCode ?? this.child.signalCode ?? 'unknown';
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** SIGTERM and the exit code; SIGKILL if it will not end. Removes a data directory of its own. */
  async stop(): Promise<number | string> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS_MAX);
    this.child.kill('SIGTERM');
    const code = await this.exited();
    clearTimeout(timer);
    if (this.ownsDataDir) rmSync(this.dataDir, { recursive: true, force: true });
    return code;
  }
}

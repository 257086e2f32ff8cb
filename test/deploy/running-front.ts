import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePorts } from '#libs/testing';
import { EngineNames } from './engine-names.js';
import { frontConfig } from './front-config.js';

const READY_MS_MAX = 10_000;
const POLL_MS = 25;
const openApiFile = fileURLToPath(new URL('../../docs/api/openapi.json', import.meta.url));

/** Why no nginx can be started here; undefined where one can. */
export function whyNoNginx(): string | undefined {
  const { status } = spawnSync('nginx', ['-v'], { stdio: 'ignore', timeout: 10_000 });
  if (status !== 0) return 'nginx is not installed here';
  return process.platform === 'linux' ? undefined : 'only on Linux is all of 127.0.0.0/8 this machine';
}

export interface FrontOptions {
  /** The addresses of the replicas that run, by the name of the service; asked at each look-up. */
  readonly addressesOf: (service: string) => readonly string[];
  /** Where all replicas listen, each at its own address. */
  readonly port: number;
  readonly grpcPort: number;
}

/** `deploy/front.conf` under a real nginx, with this machine's ports and paths in the place of the container's. */
export class RunningFront {
  private constructor(
    readonly url: string,
    readonly grpcAddress: string,
    private readonly folder: string,
    private readonly names: EngineNames,
    private readonly nginx: ChildProcess,
  ) {}

  static async start({ addressesOf, port, grpcPort }: FrontOptions): Promise<RunningFront> {
    const folder = mkdtempSync(join(tmpdir(), 'steward-front-'));
    // As root nginx gives its workers to another user.
    chmodSync(folder, 0o711);
    copyFileSync(openApiFile, join(folder, 'openapi.json'));
    chmodSync(join(folder, 'openapi.json'), 0o644);
    const names = await EngineNames.start(addressesOf);
    const [httpPort = 0, rpcPort = 0] = await freePorts(2);
    const file = join(folder, 'front.conf');
    writeFileSync(
      file,
      replacedIn(frontConfig, [
        ['resolver 127.0.0.11 ', `resolver 127.0.0.1:${names.port} `],
        ['listen 8080', `listen 127.0.0.1:${httpPort}`],
        ['listen 50051', `listen 127.0.0.1:${rpcPort}`],
        ['http://$service:8080', `http://$service:${port}`],
        ['grpc://$rpc_service:50051', `grpc://$rpc_service:${grpcPort}`],
        ['/etc/nginx/openapi.json', join(folder, 'openapi.json')],
        ['/dev/stdout', join(folder, 'answered.log')],
      ]),
    );
    const output = openSync(join(folder, 'nginx.log'), 'w');
    const nginx = spawn('nginx', ['-p', folder, '-c', file, '-e', 'stderr'], { stdio: ['ignore', output, output] });
    closeSync(output);
    const front = new RunningFront(`http://127.0.0.1:${httpPort}`, `127.0.0.1:${rpcPort}`, folder, names, nginx);
    await front.ready();
    return front;
  }

  /** What nginx has said of itself. */
  get log(): string {
    return readFileSync(join(this.folder, 'nginx.log'), 'utf8');
  }

  /** What it has answered by itself, a JSON line each. */
  get answered(): Record<string, unknown>[] {
    return readFileSync(join(this.folder, 'answered.log'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async stop(): Promise<void> {
    if (this.nginx.exitCode === null) {
      this.nginx.kill('SIGTERM');
      await once(this.nginx, 'exit');
    }
    this.names.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async ready(): Promise<void> {
    const deadline = performance.now() + READY_MS_MAX;
    while (performance.now() < deadline && this.nginx.exitCode === null) {
      const isUp = await fetch(`${this.url}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isUp) return;
      await delay(POLL_MS);
    }
    const { log } = this;
    await this.stop();
    throw new Error(`nginx did not start: ${log}`);
  }
}

type Replacement = readonly [what: string, by: string];

/** Throws where something does not stand there any more: what is tried would be another file. */
function replacedIn(text: string, replacements: readonly Replacement[]): string {
  return replacements.reduce((current, [what, by]) => {
    const parts = current.split(what);
    if (parts.length === 1) throw new Error(`front.conf has no ${what}.`);
    return parts.join(by);
  }, text);
}

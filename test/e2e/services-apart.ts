import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  aDataDir,
  type Answer,
  type CallOptions,
  type ExternalPostgres,
  freePorts,
  type ServiceName,
  startExternalPostgres,
  StewardProcess,
  TcpProxy,
} from '#libs/testing';
import { runCli } from './run-cli.js';

export type Name = 'keys1' | 'keys2' | 'quotas' | 'tenancy' | 'audit' | 'projector' | 'projector2';

const serviceOf = (name: Name): ServiceName => name.replace(/\d$/, '') as ServiceName;

/** How old a replica's view of the keys may be, ms. */
export const STALENESS_MS_MAX = 3_000;

/** Every service in processes of its own on one PostgreSQL; the second of the keys reaches it by a network that can fail. */
export class ServicesApart {
  readonly running = new Map<Name, StewardProcess>();
  /** What all of them have said, also those that have ended. */
  readonly said: string[][] = [];

  private constructor(
    private readonly postgres: ExternalPostgres,
    readonly network: TcpProxy,
    readonly dataDir: string,
    private readonly env: Readonly<Record<Name, Record<string, string>>>,
    readonly adminToken: string,
  ) {}

  /** All of them, or those that are named; each with what it alone shall know of the environment. */
  static async start(
    names?: readonly Name[],
    envOf: (name: Name) => Record<string, string> = () => ({}),
  ): Promise<ServicesApart> {
    const postgres = await startExternalPostgres();
    const { hostname, port } = new URL(postgres.url);
    const network = await TcpProxy.start({ host: hostname, port: Number(port) });
    const dataDir = aDataDir();
    const internalKey = join(dataDir, 'internal.key');
    writeFileSync(internalKey, randomBytes(32), { mode: 0o600 });
    const founded = await runCli(['admin', 'bootstrap'], {
      STEWARD_DATABASE_URL: postgres.url,
      STEWARD_DATA_DIR: dataDir,
    });
    if (founded.code !== 0) throw new Error(`The store was not founded: ${founded.stderr}`);
    const adminToken = readFileSync(join(dataDir, 'bootstrap-admin.key'), 'utf8').trim();

    const ports = await freePorts(3);
    const [keys1, keys2, quotas] = ports.map((port) => `127.0.0.1:${port}`) as [string, string, string];
    const shared = {
      STEWARD_DATABASE_URL: postgres.url,
      STEWARD_INTERNAL_KEY_FILE: internalKey,
      STEWARD_KEYS_GRPC_URL: `${keys1},${keys2}`,
      STEWARD_VERIFY_STALENESS_MAX_MS: String(STALENESS_MS_MAX),
    };
    const cut = new URL(postgres.url);
    cut.port = String(network.port);
    const at = (address: string) => ({ STEWARD_GRPC_PORT: address.split(':')[1] ?? '' });
    const env = {
      keys1: { ...shared, ...at(keys1), ...envOf('keys1') },
      keys2: { ...shared, ...at(keys2), STEWARD_DATABASE_URL: cut.href, ...envOf('keys2') },
      quotas: { ...shared, ...at(quotas), ...envOf('quotas') },
      tenancy: { ...shared, STEWARD_QUOTAS_GRPC_URL: quotas, ...envOf('tenancy') },
      audit: { ...shared, ...envOf('audit') },
      projector: { STEWARD_DATABASE_URL: postgres.url, ...envOf('projector') },
      projector2: { STEWARD_DATABASE_URL: postgres.url, ...envOf('projector2') },
    };
    const apart = new ServicesApart(postgres, network, dataDir, env, adminToken);
    const begun = await Promise.allSettled((names ?? (Object.keys(env) as Name[])).map((name) => apart.begin(name)));
    const failed = begun.find((one) => one.status === 'rejected');
    if (failed === undefined) return apart;
    await apart.stop();
    throw failed.reason;
  }

  async begin(name: Name): Promise<void> {
    const service = serviceOf(name);
    // Only the keys service is told where the peppers are.
    const pepper = service === 'keys' ? 'pepper.json' : 'no-pepper-here.json';
    const env = { ...this.env[name], STEWARD_PEPPER_FILE: join(this.dataDir, pepper) };
    const begun = StewardProcess.spawn({ service, dataDir: this.dataDir, env });
    this.said.push(begun.output);
    this.running.set(name, begun);
    await begun.ready();
  }

  of(name: Name): StewardProcess {
    const found = this.running.get(name);
    if (found === undefined) throw new Error(`${name} is not running.`);
    return found;
  }

  async end(name: Name): Promise<number | string> {
    const process = this.of(name);
    this.running.delete(name);
    return process.stop();
  }

  async kill(name: Name): Promise<void> {
    const process = this.of(name);
    this.running.delete(name);
    process.signal('SIGKILL');
    await process.exited();
  }

  call(name: Name, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    return this.of(name).call(method, path, { token: this.adminToken, ...options });
  }

  /** A call that must succeed. */
  async made(name: Name, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const answer = await this.call(name, method, path, options);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.running.keys()].map((name) => this.end(name)));
    await this.network.close();
    await this.postgres.stop();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

/** Asks until the answer is right, for so long at most. */
export async function until<T>(
  what: string,
  ask: () => Promise<T>,
  isRight: (answer: T) => boolean,
  ms = 10_000,
): Promise<T> {
  const endMs = performance.now() + ms;
  for (;;) {
    const answer = await ask();
    if (isRight(answer)) return answer;
    if (performance.now() > endMs) throw new Error(`${what}: not within ${ms} ms; last ${JSON.stringify(answer)}`);
    await sleep(50);
  }
}

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { findPackage, materialise } from '../../postgres/src/embedded/binaries.js';

/** A PostgreSQL that Steward did not start: what the server tier runs on. */
export interface ExternalPostgres {
  /** Of a role that may create roles and databases. */
  readonly url: string;
  /** As the server names it, `15.18`. */
  readonly version: string;
  readonly kind: 'given' | 'container' | 'local';
  stop(): Promise<void>;
  /** Ends the server as a crash would and starts it again on the same data and port. */
  restart?(): Promise<void>;
}

const START_TIMEOUT_MS = 20_000;
const DEBIAN_FOLDER = '/usr/lib/postgresql';
/** The server refuses to run as root; this user exists everywhere and owns nothing else. */
const NOBODY = 65_534;

async function versionOf(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    return rows[0]?.server_version.split(' ')[0] ?? '';
  } finally {
    await client.end();
  }
}

async function untilReady(url: string, hasEnded: () => string | undefined): Promise<string> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const ended = hasEnded();
    if (ended !== undefined) throw new Error(`PostgreSQL ended before it was ready: ${ended}`);
    try {
      return await versionOf(url);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('The system gave no port.');
  return address.port;
}

/** The newest server that Debian's packages have put here; else the one that the embedded tier runs, laid out below `folder`. */
async function binariesFor(folder: string): Promise<string> {
  return (await debianBinaries()) ?? materialise(await findPackage(), folder);
}

async function debianBinaries(): Promise<string | undefined> {
  const versions = await readdir(DEBIAN_FOLDER).catch(() => []);
  const newest = versions
    .map(Number)
    .filter(Number.isInteger)
    .sort((a, b) => b - a)[0];
  return newest === undefined ? undefined : join(DEBIAN_FOLDER, String(newest), 'bin');
}

async function startContainer(): Promise<ExternalPostgres | undefined> {
  try {
    const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
    const container = await new PostgreSqlContainer('postgres:18-alpine').start();
    const url = container.getConnectionUri();
    return {
      url,
      version: await versionOf(url),
      kind: 'container',
      stop: async () => {
        await container.stop();
      },
    };
  } catch {
    // No engine answers here, which is no fault: a process of our own takes its place.
    return undefined;
  }
}

class LocalServer implements ExternalPostgres {
  readonly kind = 'local';
  version = '';
  private server: ChildProcess | undefined;
  private log = '';

  private constructor(
    private readonly binaries: string,
    private readonly folder: string,
    private readonly port: number,
    readonly url: string,
  ) {}

  private static get user(): { uid?: number; gid?: number } {
    return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  }

  static async start(): Promise<LocalServer> {
    const folder = await mkdtemp(join(tmpdir(), 'steward-pg-'));
    const { uid, gid } = LocalServer.user;
    if (uid !== undefined && gid !== undefined) await chown(folder, uid, gid);
    const binaries = await binariesFor(folder);
    const password = randomBytes(12).toString('hex');
    const passwordFile = join(folder, 'password');
    await writeFile(passwordFile, password, { mode: 0o644 });
    const port = await freePort();
    const server = new LocalServer(binaries, folder, port, `postgres://steward:${password}@127.0.0.1:${port}/postgres`);
    await promisify(execFile)(
      join(binaries, 'initdb'),
      ['-D', join(folder, 'data'), '-U', 'steward', '-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8'],
      { ...LocalServer.user, cwd: folder, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } },
    );
    await rm(passwordFile);
    await server.run();
    return server;
  }

  private async run(): Promise<void> {
    this.log = '';
    const settings = [
      `port=${this.port}`,
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'max_connections=200',
    ];
    const server = spawn(
      join(this.binaries, 'postgres'),
      ['-D', join(this.folder, 'data'), ...settings.flatMap((setting) => ['-c', setting])],
      {
        ...LocalServer.user,
        cwd: this.folder,
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
      },
    );
    server.stderr.on('data', (chunk: Buffer) => {
      this.log = (this.log + chunk.toString()).slice(-2_000);
    });
    this.server = server;
    this.version = await untilReady(this.url, () => (server.exitCode === null ? undefined : this.log));
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const server = this.server;
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const ended = new Promise((resolve) => server.once('exit', resolve));
    server.kill(signal);
    await ended;
  }

  /** Immediate shutdown: no checkpoint, sessions cut, recovery from the log at the start. */
  async restart(): Promise<void> {
    await this.end('SIGQUIT');
    await this.run();
  }

  async stop(): Promise<void> {
    await this.end('SIGINT');
    await rm(this.folder, { recursive: true, force: true });
  }
}

/**
 * The server that `STEWARD_TEST_DATABASE_URL` names; else one in a container where Docker runs; else a process of the
 * PostgreSQL that is installed here or that the embedded tier brings.
 */
export async function startExternalPostgres(): Promise<ExternalPostgres> {
  const given = process.env['STEWARD_TEST_DATABASE_URL'];
  if (given !== undefined && given !== '')
    return { url: given, version: await versionOf(given), kind: 'given', stop: () => Promise.resolve() };
  const container = await startContainer();
  if (container !== undefined) return container;
  return LocalServer.start();
}

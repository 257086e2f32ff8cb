import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { open, readFile, readlink, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import { PORT, serverArguments, type ServerForm } from './settings.js';
import type { ServerUser } from './server-user.js';

/** What PostgreSQL itself writes down of a running server, in the cluster's postmaster.pid. */
export interface Postmaster {
  readonly pid: number;
  readonly socketDir: string;
}

export const SUPERUSER = 'postgres';
export const serverEnvironment = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

const STOP_FAST_MS_MAX = 15_000;
const STOP_IMMEDIATE_MS_MAX = 10_000;
const POLL_MS = 20;

export async function postmasterOf(cluster: string): Promise<Postmaster | undefined> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  const [pid, , , , socketDir] = text?.split('\n') ?? [];
  return pid !== undefined && /^\d+$/.test(pid) && Number(pid) > 1
    ? { pid: Number(pid), socketDir: socketDir ?? '' }
    : undefined;
}

/** A dead process that nobody has waited for yet (an orphan in a container, say) still answers to kill. */
const isZombie = (pid: number): boolean => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')')).startsWith(') Z');
  } catch {
    return false;
  }
};

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A pid from a file may be somebody else's by now; a postmaster stands in its cluster. */
export async function isPostmaster(pid: number, cluster: string): Promise<boolean> {
  if (pid <= 1 || !isAlive(pid)) return false;
  if (process.platform === 'linux')
    return (await readlink(`/proc/${pid}/cwd`).catch(() => '')) === (await realpath(cluster));
  const command = await new Promise<string>((done) => {
    const ps = spawn('ps', ['-o', 'command=', '-p', String(pid)], { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    ps.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    ps.on('error', () => {
      done('');
    });
    ps.on('close', () => {
      done(text);
    });
  });
  return command.includes('postgres') && command.includes(cluster);
}

export const superuserConfig = (socketDir: string, database: string): ClientConfig => ({
  host: socketDir,
  port: PORT,
  user: SUPERUSER,
  database,
  connectionTimeoutMillis: 5000,
});

/** The cluster_name that a server of this very cluster answers with; undefined if none answers, or a foreign one. */
export async function nameOfAnswering(socketDir: string, cluster: string): Promise<string | undefined> {
  const client = new Client({ ...superuserConfig(socketDir, 'postgres'), query_timeout: 5000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ cluster: string; name: string }>(
      `select current_setting('data_directory') as cluster, current_setting('cluster_name') as name`,
    );
    return rows[0]?.cluster === cluster ? rows[0].name : undefined;
  } catch {
    return undefined;
  } finally {
    await client.end().catch(() => undefined);
  }
}

export interface SpawnRequest extends ServerForm {
  readonly bin: string;
  readonly cluster: string;
  readonly socketDir: string;
  readonly user: ServerUser;
  readonly logFile: string;
}

const asUser = ({ uid, gid }: ServerUser): { uid?: number; gid?: number } =>
  uid === undefined || gid === undefined ? {} : { uid, gid };

/**
 * A session of its own keeps the terminal's Ctrl-C away from the server until Steward has drained, and its output goes
 * to a file and not through a pipe, so that it outlives a Steward that was killed.
 */
export async function spawnPostmaster(request: SpawnRequest): Promise<ChildProcess> {
  const { bin, cluster, socketDir, user, logFile } = request;
  const log = await open(logFile, 'a', 0o600);
  try {
    const child = spawn(join(bin, 'postgres'), serverArguments(cluster, socketDir, request), {
      ...asUser(user),
      detached: true,
      cwd: cluster,
      env: serverEnvironment,
      stdio: ['ignore', log.fd, log.fd],
    });
    await started(child);
    child.unref();
    return child;
  } finally {
    await log.close();
  }
}

export async function runInitdb(bin: string, cluster: string, user: ServerUser): Promise<void> {
  const child = spawn(
    join(bin, 'initdb'),
    [
      '-D',
      cluster,
      '-U',
      SUPERUSER,
      '--auth=trust',
      '--encoding=UTF8',
      '--locale=C',
      '--data-checksums',
      '--no-instructions',
    ],
    { ...asUser(user), cwd: cluster, env: serverEnvironment, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(-2000)));
  const closed = new Promise<number | null>((done) => child.once('close', done));
  await started(child);
  const code = await closed;
  if (code !== 0) throw new Error(`initdb ended with ${code}: ${complaint.trim()}`);
}

function started(child: ChildProcess): Promise<void> {
  return new Promise((done, fail) => {
    child.once('spawn', done);
    child.once('error', fail);
  });
}

/** Fast shutdown, then immediate, then none: each within its bound. True once the process is gone. */
export async function stopPostmaster(pid: number): Promise<boolean> {
  for (const [signal, msMax] of [
    ['SIGINT', STOP_FAST_MS_MAX],
    ['SIGQUIT', STOP_IMMEDIATE_MS_MAX],
    ['SIGKILL', 2000],
  ] as const) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true;
      throw error;
    }
    const until = performance.now() + msMax;
    while (performance.now() < until) {
      if (!isAlive(pid)) return true;
      await sleep(POLL_MS);
    }
  }
  return false;
}

/**
 * PostgreSQL deals with the file of a dead process by itself, and only it may when another server could be starting. It
 * is removed here where its pid is another process by now, or a zombie, which PostgreSQL would take for its own kind.
 */
export async function removeStalePidFile(cluster: string, pid: number): Promise<void> {
  try {
    process.kill(pid, 0);
  } catch {
    return;
  }
  if ((await postmasterOf(cluster))?.pid === pid && !(await isPostmaster(pid, cluster)))
    await rm(join(cluster, 'postmaster.pid'), { force: true });
}

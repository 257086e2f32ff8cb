import { transformFile } from '@swc/core';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = `
import { startEmbeddedPostgres } from './embedded/embedded-postgres.js';
const log = { info() {}, warn() {}, error() {} };
try {
  const server = await startEmbeddedPostgres({ dataDir: process.argv[2], log });
  server.onExit(() => process.exit(3));
  process.on('SIGTERM', () => server.stop().then(() => process.exit(0)));
  setInterval(() => undefined, 60_000);
  const { kind, socketDir, clusterDir } = server;
  console.log(JSON.stringify({ kind, socketDir, clusterDir, pid: server.pid() }));
} catch (error) {
  console.log(JSON.stringify({ error: error.name, message: error.message }));
  process.exit(1);
}
`;

/**
 * Takes the lock of a directory again and again and often dies with it; says `VIOLATION` if another wrote its mark
 * meanwhile. (Whether the one before is dead says nothing: the kernel closes a dying process's sockets before it counts
 * as dead.)
 */
const LOCKER = `
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DirectoryLock } from './embedded/directory-lock.js';
const [, , directory, millis] = process.argv;
const mark = directory + '/holder';
const pause = () => new Promise((done) => setTimeout(done, Math.random() * 4));
const marked = () => { try { return Number(readFileSync(mark, 'utf8')); } catch { return 0; } };
for (const end = performance.now() + Number(millis); performance.now() < end; await pause()) {
  let lock;
  try {
    lock = await DirectoryLock.acquire(directory);
  } catch (error) {
    if (error.name !== 'DataDirectoryInUse') throw error;
    continue;
  }
  writeFileSync(mark, String(process.pid));
  console.log('HELD');
  await pause();
  if (marked() !== process.pid) console.log('VIOLATION');
  if (Math.random() < 0.3) process.kill(process.pid, 'SIGKILL');
  rmSync(mark);
  await lock.release();
}
`;

export interface Said {
  readonly kind?: 'started' | 'adopted';
  readonly socketDir?: string;
  readonly clusterDir?: string;
  readonly pid?: number;
  readonly error?: string;
  readonly message?: string;
}

/** The supervisor as a program of its own, for tests that kill it. Stands inside node_modules so that `pg` is found. */
export async function buildSupervisorProgram(): Promise<{ folder: string; script: string; locker: string }> {
  const source = dirname(dirname(fileURLToPath(import.meta.url)));
  const cache = join(source, '../../../../node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'supervisor-'));
  await mkdir(join(folder, 'embedded'));
  const files = (await readdir(source)).filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'));
  for (const [from, to] of [
    ...files.map((name) => [join(source, name), join(folder, 'embedded', name.replace(/ts$/, 'js'))] as const),
    [join(source, '../durable-file.ts'), join(folder, 'durable-file.js')] as const,
  ]) {
    const { code } = await transformFile(from, {
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'es6' },
    });
    await writeFile(to, code);
  }
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  const script = join(folder, 'main.js');
  await writeFile(script, PROGRAM);
  const locker = join(folder, 'locker.js');
  await writeFile(locker, LOCKER);
  return { folder, script, locker };
}

/** Runs it until it has said what came of its start. */
export async function runSupervisor(
  script: string,
  dataDir: string,
  user: { uid?: number; gid?: number; tmp?: string } = {},
): Promise<{ child: ChildProcess; said: Said }> {
  const { tmp, ...ids } = user;
  const child = spawn(process.execPath, [script, dataDir], {
    ...ids,
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '', ...(tmp === undefined ? {} : { TMPDIR: tmp }) },
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { child, said: JSON.parse(line) as Said };
}

export async function endOf(child: ChildProcess): Promise<number | NodeJS.Signals | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode ?? child.signalCode;
}

/** Runs it to its end and answers what it said, line by line. */
export async function runLocker(locker: string, directory: string, millis: number): Promise<string[]> {
  const child = spawn(process.execPath, [locker, directory, String(millis)], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  createInterface(child.stdout).on('line', (line) => lines.push(line));
  createInterface(child.stderr).on('line', (line) => lines.push(`stderr: ${line}`));
  await once(child, 'close');
  return lines;
}

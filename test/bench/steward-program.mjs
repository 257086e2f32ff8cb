// The built program as a process of its own, as an operator would run it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const START_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
const main = fileURLToPath(new URL('../../dist/services/steward/src/main.js', import.meta.url));

/** For PostgreSQL and key files; whoever asks for it removes it. */
export function aDataDir() {
  const dataDir = mkdtempSync(join(tmpdir(), 'steward-bench-'));
  // PostgreSQL runs as an unprivileged user when this runs as root.
  chmodSync(dataDir, 0o711);
  return dataDir;
}

/** Resolves when it is ready. `name` tells the logs of those apart that share a data directory. */
export async function startSteward({ dataDir, env = {}, name = 'steward' }) {
  const logFile = join(dataDir, `${name}.log`);
  const log = openSync(logFile, 'w');
  const child = spawn(process.execPath, [main], {
    env: { PATH: process.env.PATH, STEWARD_PORT: '0', STEWARD_GRPC_PORT: '0', STEWARD_DATA_DIR: dataDir, ...env },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const stop = async () => {
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    if (child.exitCode === null && child.kill('SIGTERM')) await once(child, 'exit');
    clearTimeout(timer);
  };
  for (const endMs = performance.now() + START_MS_MAX; performance.now() < endMs; await sleep(100)) {
    const ready = readFileSync(logFile, 'utf8')
      .split('\n')
      .find((line) => line.includes('Steward is ready'));
    if (ready !== undefined) return { pid: child.pid, port: Number(new URL(JSON.parse(ready).http).port), stop };
    if (child.exitCode !== null) break;
  }
  await stop();
  throw new Error(`Steward did not start: ${readFileSync(logFile, 'utf8').slice(-1_000)}`);
}

/** The first administrator's token, made by the first start on a data directory. */
export const administratorOf = (dataDir) => readFileSync(join(dataDir, 'bootstrap-admin.key'), 'utf8').trim();

export const bearer = (token) => `authorization: Bearer ${token}\r\n`;

/** A call over a JsonConnection that must succeed. */
export async function made(connection, method, path, body = {}) {
  const { status, text } = await connection.ask(method, path, body);
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
  return JSON.parse(text);
}

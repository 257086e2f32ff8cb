import { readdirSync, readFileSync } from 'node:fs';
import pg from 'pg';
import { connectionOfRunning } from '#libs/postgres';

/** The parent of each running process, as Linux tells it. */
function parents(): Map<number, number> {
  const found = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const [, parent] = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, 'utf8')) ?? [];
      if (parent !== undefined) found.set(Number(name), Number(parent));
    } catch {
      // The process ended while we looked.
    }
  }
  return found;
}

/** Steward, the PostgreSQL that serves its data directory, and all of that server's children: pids to kill together. */
export async function processTree(dataDir: string, stewardPid: number): Promise<number[]> {
  const config = await connectionOfRunning(dataDir);
  if (config === undefined) throw new Error('The embedded PostgreSQL does not run.');
  const client = new pg.Client(config.programConfig);
  await client.connect();
  try {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const all = parents();
    const server = all.get(rows[0]?.pid ?? 0);
    if (server === undefined) throw new Error('The PostgreSQL server process was not found.');
    return [stewardPid, server, ...[...all].filter(([, parent]) => parent === server).map(([pid]) => pid)];
  } finally {
    await client.end().catch(() => undefined);
  }
}

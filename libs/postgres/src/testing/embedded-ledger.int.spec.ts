import pg from 'pg';
import { startEmbeddedLedger } from './embedded-ledger.js';

const HELD_MS = 500;

it('ends only after the connections that were given back, so that none of them hears of it', async () => {
  const ledger = await startEmbeddedLedger();
  const heard: unknown[] = [];
  const pool = new pg.Pool(ledger.program).on('error', (error) => heard.push(error));
  const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
  const pid = rows[0]?.pid ?? 0;
  // A busy machine does the same: the farewell waits unread while the server is told to end.
  process.kill(pid, 'SIGSTOP');
  setTimeout(() => process.kill(pid, 'SIGCONT'), HELD_MS);
  await pool.end();
  await ledger.stop();
  expect(heard).toEqual([]);
});

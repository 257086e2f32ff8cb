import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '#libs/postgres';
import { runSteward } from '../program.js';

const TOKEN = /stw_live_[0-9A-Za-z]{16}_[0-9A-Za-z]{38}/;

describe('steward admin bootstrap', () => {
  let scratch: string;
  let dataDir: string;
  let server: EmbeddedPostgres;

  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'steward-bootstrap-'));
    await chmod(scratch, 0o711);
    dataDir = join(scratch, 'data');
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    server = await startEmbeddedPostgres({ dataDir: join(scratch, 'server'), log });
  });

  afterAll(async () => {
    await server.stop();
    await rm(scratch, { recursive: true });
  });

  /** On a server that is reached through its socket, as services apart reach the one of `npm run cluster`. */
  async function bootstrap(): Promise<{ code: number; printed: string; told: string }> {
    const printed: string[] = [];
    const told: string[] = [];
    const env = {
      STEWARD_DATA_DIR: dataDir,
      STEWARD_DATABASE_URL: server.programUrl,
      STEWARD_MIGRATION_DATABASE_URL: server.ownerUrl,
    };
    const code = await runSteward(['admin', 'bootstrap'], {
      env,
      print: (text) => printed.push(text),
      tell: (text) => told.push(text),
      rewrites: false,
      isAttended: false,
      signal: new AbortController().signal,
    });
    return { code, printed: printed.join('\n'), told: told.join('') };
  }

  async function eventCount(): Promise<number> {
    const client = new pg.Client(server.programConfig);
    await client.connect();
    try {
      const { rows } = await client.query<{ events: number }>('select count(*)::int as events from ledger.events');
      return rows[0]?.events ?? 0;
    } finally {
      await client.end();
    }
  }

  it('makes tables, key files and the administrator, and tells a log where the key is; the second time it does nothing', async () => {
    const first = await bootstrap();
    expect({ code: first.code, told: first.told }).toEqual({ code: 0, told: '' });
    const keyFile = join(dataDir, 'bootstrap-admin.key');
    expect(first.printed).toBe(`The administrator's key is in ${keyFile}.`);
    const token = (await readFile(keyFile, 'utf8')).trim();
    expect(token).toMatch(TOKEN);
    expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
    expect(await readdir(dataDir)).toEqual(['bootstrap-admin.key', 'kek.json', 'pepper.json']);
    const events = await eventCount();

    const second = await bootstrap();
    expect(second).toEqual({
      code: 0,
      told: '',
      printed: 'The store is not empty: its first administrator was made before. Nothing was changed.',
    });
    expect([await eventCount(), (await readFile(keyFile, 'utf8')).trim()]).toEqual([events, token]);
  });
});

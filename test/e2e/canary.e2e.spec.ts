import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { connectionOfRunning } from '#libs/postgres';
import { aKey, aProject, StewardProcess, verify } from '#libs/testing';

const KEYS = 500;

/** Every file below a directory, however deep. */
function* filesBelow(directory: string): Generator<string> {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile()) yield path;
  }
}

describe('a secret leaves Steward in one answer and in nothing else', () => {
  let steward: StewardProcess;
  const secrets: string[] = [];
  const answers: string[] = [];

  beforeAll(async () => {
    steward = await StewardProcess.start({ env: { STEWARD_LOG_LEVEL: 'trace' } });
    await aProject(steward);
  });
  afterAll(async () => {
    await steward.stop();
  });

  const keep = async (call: Promise<{ status: number; headers: Headers; body: unknown }>): Promise<number> => {
    const { status, headers, body } = await call;
    answers.push(JSON.stringify([status, [...headers], body]));
    return status;
  };

  /** The 32 characters that make the token secret: a leak of these is a leak, however it is cut. */
  const secretPart = (token: string): string => token.slice(-38, -6);

  const findIn = (text: string): string[] => secrets.filter((token) => text.includes(secretPart(token)));

  it('drives 500 keys through every path that succeeds or fails', async () => {
    for (let made = 0; made < KEYS; made += 50) {
      const some = await Promise.all(Array.from({ length: 50 }, (_, n) => aKey(steward, { name: `key ${made + n}` })));
      secrets.push(...some.map(({ secret }) => secret));
    }
    for (const [n, token] of secrets.entries()) {
      const verified = await verify(steward, token);
      answers.push(JSON.stringify(verified));
      const id = String(verified['keyId']);
      // The token stands where it does not belong: in bodies, headers, paths and queries of requests that fail.
      const misuse: [string, string, { body?: unknown; token?: string | null; headers?: Record<string, string> }][] = [
        ['POST', '/v1/tenants', { body: { id: token, name: token } }],
        ['POST', '/v1/tenants', { body: { [token]: 1 } }],
        ['GET', `/v1/keys/${token}`, {}],
        ['GET', `/v1/keys?q=${token}&cursor=${token}`, {}],
        ['GET', '/v1/tenants', { token: `${token}x` }],
        ['GET', '/v1/tenants', { token: null, headers: { 'x-api-key': token } }],
        ['POST', '/v1/keys/verify', { body: { token, surelyUnknown: token } }],
        ['POST', `/v1/keys/${id}/extend`, { body: { days: token } }],
        ['GET', `/v1/keys/${id}`, { headers: { 'if-match': token, 'steward-position': token } }],
        ['POST', '/v1/keys/lookup', { body: { token } }],
      ];
      const [method, path, options] = misuse[n % misuse.length] as (typeof misuse)[number];
      await keep(steward.call(method, path, options));
      if (n % 5 === 0) await keep(steward.call('POST', `/v1/keys/${id}/disable`));
      if (n % 7 === 0) await keep(steward.call('POST', `/v1/keys/${id}/revoke`, { body: { reason: 'compromised' } }));
      if (n % 11 === 0) await keep(steward.call('DELETE', `/v1/keys/${id}`));
    }
    for (const path of ['/v1/keys?limit=200', '/v1/projects/GOV112345/keys', '/metrics', '/openapi.json', '/readyz']) {
      const response = await fetch(steward.url + path, { headers: { authorization: `Bearer ${steward.adminToken}` } });
      answers.push(await response.text());
    }
    expect(answers.length).toBeGreaterThan(2 * KEYS);
  }, 180_000);

  it('is in no later answer', () => {
    expect(findIn(answers.join('\n'))).toEqual([]);
  });

  it('is in no log line, not even at the level trace', () => {
    expect(findIn(steward.output.join(''))).toEqual([]);
  });

  it('is in no table', async () => {
    const config = await connectionOfRunning(steward.dataDir);
    if (config === undefined) throw new Error('The embedded PostgreSQL does not run.');
    const client = new pg.Client(config.programConfig);
    await client.connect();
    try {
      const tables = await client.query<{ name: string }>(
        `select format('%I.%I', schemaname, tablename) as name from pg_tables
         where schemaname not in ('pg_catalog', 'information_schema') order by 1`,
      );
      expect(tables.rows.length).toBeGreaterThan(8);
      const leaks: string[] = [];
      for (const { name } of tables.rows) {
        const { rows } = await client.query<{ line: string }>(`select t::text as line from ${name} t`);
        if (findIn(rows.map(({ line }) => line).join('\n')).length > 0) leaks.push(name);
      }
      expect(leaks).toEqual([]);
    } finally {
      await client.end();
    }
  });

  it("is in no file of the data directory, PostgreSQL's own log and data files among them, and the search finds a planted one", async () => {
    const planted = secrets[0] ?? '';
    const config = await connectionOfRunning(steward.dataDir);
    if (config === undefined) throw new Error('The embedded PostgreSQL does not run.');
    const client = new pg.Client(config.programConfig);
    await client.connect();
    const search = (): { leaks: Set<string>; files: number } => {
      const needles = secrets.map((token) => [token, Buffer.from(secretPart(token))] as const);
      const leaks = new Set<string>();
      let files = 0;
      for (const path of filesBelow(steward.dataDir)) {
        if (statSync(path).size === 0) continue;
        files += 1;
        const bytes = readFileSync(path);
        for (const [token, needle] of needles) if (bytes.includes(needle)) leaks.add(token);
      }
      return { leaks, files };
    };
    try {
      const before = search();
      expect(before.files).toBeGreaterThan(100);
      expect([...before.leaks]).toEqual([]);
      await client.query('create table keys.planted_by_test (token text)');
      await client.query('insert into keys.planted_by_test values ($1)', [planted]);
      expect([...search().leaks]).toEqual([planted]);
    } finally {
      await client.query('drop table if exists keys.planted_by_test').catch(() => undefined);
      await client.end();
    }
  }, 180_000);
});

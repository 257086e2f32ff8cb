import { randomUUID } from 'node:crypto';
import type { KeyUsageBatch, KeyUsageCount } from '#libs/contracts';
import { inTransaction } from '#libs/postgres';
import { seededRandom } from '#libs/testing';
import pg from 'pg';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../../../libs/postgres/src/testing/embedded-ledger.js';
import { LastUses } from './last-uses.js';
import { createUsageTables, foldUsage, pruneUsage } from './usage-tables.js';

const { seed, random } = seededRandom();
const below = (n: number): number => Math.floor(random() * n);
const START_MS = Date.UTC(2026, 0, 1, 11, 58);
const minuteOf = (n: number): string => new Date(START_MS + n * 60_000).toISOString();
const keyIdOf = (n: number): string => `key_${String(n).padStart(16, '0')}`;

describe('the usage of keys in PostgreSQL', () => {
  let ledger: EmbeddedLedger;
  let pool: pg.Pool;

  beforeAll(async () => {
    ledger = await startEmbeddedLedger();
    pool = new pg.Pool({ ...ledger.program, max: 8 });
    pool.on('error', () => undefined);
    // Processes that start at once must not be in each other's way.
    await Promise.all([createUsageTables(pool), createUsageTables(pool), createUsageTables(pool)]);
  });
  afterAll(async () => {
    await pool.end();
    await ledger.stop();
  });
  beforeEach(async () => {
    for (const table of ['key_usage', 'usage_hours', 'verification_minutes', 'verification_hours', 'usage_sources'])
      await pool.query(`truncate keys.${table}`);
  });

  const fold = async (batch: KeyUsageBatch): Promise<boolean> =>
    (await inTransaction(pool, (client) => foldUsage(client, batch))) ?? false;
  const aCount = (): KeyUsageCount => {
    const n = below(6);
    const counted = { minute: minuteOf(below(4)), service: `service-${below(2)}`, count: 1 + below(50) };
    if (n === 0) return { ...counted, keyId: null, tenantId: null, projectId: null, code: 'NOT_FOUND' };
    const code = below(3) === 0 ? 'EXPIRED' : 'VALID';
    // Without its key, as when too much waits; a principal's own key stands in no project.
    if (n === 1) return { ...counted, keyId: null, tenantId: 'acme', projectId: 'P1', code };
    if (n === 2) return { ...counted, keyId: keyIdOf(9), tenantId: null, projectId: null, code };
    return { ...counted, keyId: keyIdOf(n), tenantId: 'acme', projectId: `P${n % 2}`, code };
  };
  const aBatch = (source: string, sequence: number): KeyUsageBatch => ({
    v: 1,
    source,
    sequence,
    counts: Array.from({ length: below(30) }, aCount),
    lastUses: [],
  });
  const sums = async (table: string, columns: string): Promise<Record<string, number>> => {
    const { rows } = await pool.query<{ name: string; sum: string }>(
      `select concat_ws('|', ${columns}) as name, sum(verifications) from keys.${table} group by 1`,
    );
    return Object.fromEntries(rows.map(({ name, sum }) => [name, Number(sum)]));
  };
  const utc = (column: string): string => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
  const expected = (
    batches: readonly KeyUsageBatch[],
    nameOf: (one: KeyUsageCount) => string | undefined,
  ): Record<string, number> => {
    const all: Record<string, number> = {};
    for (const one of batches.flatMap(({ counts }) => counts)) {
      const name = nameOf(one);
      if (name !== undefined) all[name] = (all[name] ?? 0) + one.count;
    }
    return all;
  };
  const hourOf = (minute: string): string => `${minute.slice(0, 13)}:00:00.000Z`;

  it(`counts every batch once, however often, late and beside others it comes (SEED=${seed})`, async () => {
    const sources = Array.from({ length: 4 }, () => randomUUID());
    const batches = sources.map((source) => Array.from({ length: 25 }, (_, n) => aBatch(source, n + 1)));
    let folded = 0;
    // Each source gives its batches in order; any that was given before may come again, from two places at once too.
    await Promise.all(
      batches.map(async (own) => {
        for (let next = 0; next < own.length;) {
          const again = own[below(next + 1)] as KeyUsageBatch;
          const [first, second] = await Promise.all([fold(own[next] as KeyUsageBatch), fold(again)]);
          folded += Number(first) + Number(second);
          if (below(4) > 0) next += 1;
        }
      }),
    );
    const all = batches.flat();
    expect(folded).toBe(100);
    expect(await sums('usage_hours', `key_id, ${utc('hour')}, code, service, project_id`)).toEqual(
      expected(all, ({ keyId, minute, code, service, projectId }) =>
        keyId === null ? undefined : [keyId, hourOf(minute), code, service, projectId ?? ''].join('|'),
      ),
    );
    expect(await sums('verification_minutes', `project_id, ${utc('minute')}, code, tenant_id`)).toEqual(
      expected(all, ({ minute, code, projectId, tenantId }) =>
        [projectId ?? '', minute, code, tenantId ?? ''].join('|'),
      ),
    );
    expect(await sums('verification_hours', `project_id, ${utc('hour')}, code, tenant_id`)).toEqual(
      expected(all, ({ minute, code, projectId, tenantId }) =>
        [projectId ?? '', hourOf(minute), code, tenantId ?? ''].join('|'),
      ),
    );
  });

  it('a batch whose transaction was rolled back counts when it comes again', async () => {
    const batch = { ...aBatch(randomUUID(), 1), counts: [{ ...aCount(), count: 7 }] };
    await inTransaction(pool, async (client) => {
      await foldUsage(client, batch);
      return undefined;
    });
    expect(await sums('verification_minutes', `''`)).toEqual({});
    expect([await fold(batch), await fold(batch)]).toEqual([true, false]);
    expect(await sums('verification_minutes', `'all'`)).toEqual({ all: 7 });
  });

  it('a replica that starts while a batch is folded waits for it, and never the other way round', async () => {
    const source = randomUUID();
    const keyId = keyIdOf(1);
    const counts = [{ ...aCount(), keyId }];
    const lastUses = [{ keyId, version: 1, at: minuteOf(0) }];
    let starting: Promise<void> | undefined;
    const isWaiting = async (): Promise<boolean> =>
      ((await pool.query(`select from pg_locks where not granted and mode = 'ShareLock'`)).rowCount ?? 0) > 0;
    const folded = await inTransaction(pool, async (client) => {
      await foldUsage(client, { v: 1, source, sequence: 1, counts, lastUses: [] });
      starting = createUsageTables(pool);
      for (const deadline = Date.now() + 20_000; !(await isWaiting());)
        if (Date.now() > deadline) throw new Error('Nobody waits.');
      await client.query('set local lock_timeout = 200');
      return foldUsage(client, { v: 1, source, sequence: 2, counts: [], lastUses });
    });
    expect(folded).toBe(true);
    await starting;
  });

  it('keeps the latest use of every secret, whichever verifier tells first', async () => {
    const at = (second: number): string => new Date(START_MS + second * 1_000).toISOString();
    const use = (version: number, second: number) => ({ keyId: keyIdOf(1), version, at: at(second) });
    const told = async (...lastUses: { keyId: string; version: number; at: string }[]): Promise<unknown> => {
      await fold({ v: 1, source: randomUUID(), sequence: 1, counts: [], lastUses });
      return (await new LastUses(pool).of([keyIdOf(1)])).get(keyIdOf(1));
    };
    expect(await told(use(1, 60), use(1, 30), use(2, 10))).toEqual({
      at: at(60),
      byVersion: { '1': at(60), '2': at(10) },
    });
    expect(await told(use(1, 59), use(2, 70))).toEqual({ at: at(70), byVersion: { '1': at(60), '2': at(70) } });
    expect(await told(use(10, 5))).toEqual({ at: at(70), byVersion: { '1': at(60), '2': at(70), '10': at(5) } });
  });

  it('forgets minutes after a week and hours after 400 days, and nothing younger', async () => {
    const daysAgo = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString();
    const counts = [1, 6, 8, 399, 401].map((days) => ({
      ...aCount(),
      minute: daysAgo(days),
      keyId: keyIdOf(1),
      count: 1,
    }));
    await fold({ v: 1, source: randomUUID(), sequence: 1, counts, lastUses: [] });
    await pool.query(`update keys.usage_sources set taken_at = now() - interval '31 days'`);
    expect(await pruneUsage(pool)).toBe(false);
    const left = await Promise.all(
      ['verification_minutes', 'verification_hours', 'usage_hours'].map((table) => sums(table, `'all'`)),
    );
    expect(left).toEqual([{ all: 2 }, { all: 4 }, { all: 4 }]);
    expect((await pool.query('select from keys.usage_sources')).rowCount).toBe(0);
  });
});

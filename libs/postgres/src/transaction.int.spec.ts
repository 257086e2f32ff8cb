import pg from 'pg';
import { type EmbeddedLedger, startEmbeddedLedger } from './testing/embedded-ledger.js';
import { inTransaction, isTransient } from './transaction.js';

describe('a transaction', () => {
  let ledger: EmbeddedLedger;
  beforeAll(async () => {
    ledger = await startEmbeddedLedger();
  });
  afterAll(() => ledger.stop());

  const failureOf = async (sql: string): Promise<unknown> => {
    const pool = new pg.Pool({ ...ledger.program, max: 1, query_timeout: 1_000 });
    pool.on('error', () => undefined);
    try {
      return await inTransaction(pool, (client) => client.query(sql)).catch((error: unknown) => error);
    } finally {
      await pool.end();
    }
  };

  it.each([
    ['for a moment', 'select pg_sleep(1.1)'],
    ['for longer than its rollback may take', 'select pg_sleep(4)'],
  ])('that the database keeps waiting %s may be tried again as it is', async (_when, sql) => {
    expect(isTransient(await failureOf(sql))).toBe(true);
  });

  it('whose statement is at fault would fail for ever', async () => {
    expect(isTransient(await failureOf('select 1 / 0'))).toBe(false);
  });
});

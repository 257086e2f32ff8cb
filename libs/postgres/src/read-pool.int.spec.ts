import { StoreUnavailable } from '#libs/eventsourcing';
import pg from 'pg';
import { isTableMissing } from './postgres-errors.js';
import { ReadPool } from './read-pool.js';
import { type EmbeddedLedger, startEmbeddedLedger } from './testing/embedded-ledger.js';

let ledger: EmbeddedLedger;
let pool: ReadPool;

beforeAll(async () => {
  ledger = await startEmbeddedLedger();
  pool = new ReadPool({ ...ledger.program, query_timeout: 200, max: 2, connectionTimeoutMillis: 100 });
  pool.on('error', () => undefined);
});
afterAll(async () => {
  await pool.end();
  await ledger.stop();
});

const refused = (error: unknown): Promise<void> => expect(error).rejects.toBeInstanceOf(StoreUnavailable);

describe('A pool of reads', () => {
  it('answers rows', async () => {
    expect((await pool.query<{ n: number }>('select $1::int as n', [7])).rows).toEqual([{ n: 7 }]);
  });

  it.each([
    ['a faulty statement', 'selec 1', '42601'],
    ['an absent table', 'select 1 from nowhere', '42P01'],
    ['a broken constraint', `insert into ledger.key_checks select 'kek', null, null`, '23502'],
    ['a value out of range', 'select 1 / 0', '22012'],
  ])('throws the server’s own words about %s', async (_, text, code) => {
    const error: unknown = await pool.query(text).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(pg.DatabaseError);
    expect(error).toMatchObject({ code });
    expect(isTableMissing(error)).toBe(code === '42P01');
  });

  it('tells by StoreUnavailable that an answer took too long, that the session was ended or that none is free', async () => {
    await refused(pool.query('select pg_sleep(5)'));
    await refused(pool.query('select pg_terminate_backend(pg_backend_pid())'));
    const held = [await pool.connect(), await pool.connect()];
    await refused(pool.query('select 1'));
    for (const client of held) client.release();
    expect((await pool.query('select 1')).rowCount).toBe(1);
  });

  it('tells by StoreUnavailable that no server answers', async () => {
    const nowhere = new ReadPool({ ...ledger.program, host: '127.0.0.1', port: 1 });
    await refused(nowhere.query('select 1'));
    await nowhere.end();
  });
});

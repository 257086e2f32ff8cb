import { StoreUnavailable } from '#libs/eventsourcing';
import pg from 'pg';
import { KeyEncryptionKeys } from './key-files.js';
import { PostgresDataKeys, type PostgresDataKeysOptions } from './postgres-data-keys.js';
import { type EmbeddedLedger, startEmbeddedLedger } from './testing/embedded-ledger.js';

let ledger: EmbeddedLedger;
let owner: pg.Pool;
let program: pg.Pool;
const opened: PostgresDataKeys[] = [];
let counted = 0;
const someone = (): string => `user:person-${(counted += 1)}`;

const one = Buffer.alloc(32, 1);
const two = Buffer.alloc(32, 2);
const kek1 = new KeyEncryptionKeys('1', new Map([['1', one]]));
const kek2 = new KeyEncryptionKeys('2', new Map([['1', one], ['2', two]])); // prettier-ignore

function dataKeys(options: Partial<PostgresDataKeysOptions> = {}): PostgresDataKeys {
  const keys = new PostgresDataKeys({ connection: ledger.program, kek: kek1, ...options });
  opened.push(keys);
  return keys;
}

async function obtainOne(keys: PostgresDataKeys, name: string): Promise<{ name: string; bytes: Buffer }> {
  const key = (await keys.obtain([name])).get(name);
  if (key === undefined) throw new Error('No key.');
  return key;
}

beforeAll(async () => {
  ledger = await startEmbeddedLedger();
  owner = new pg.Pool(ledger.owner);
  program = new pg.Pool(ledger.program);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((keys) => keys.close()));
});
afterAll(async () => {
  await owner.end();
  await program.end();
  await ledger.stop();
});

describe('PostgresDataKeys', () => {
  it('gives an owner one key, the same to every process, and opens it by name', async () => {
    const name = someone();
    const key = await obtainOne(dataKeys(), name);
    const other = dataKeys();

    expect(key.name).toMatch(new RegExp(`^${name}#[0-9a-f]{16}$`));
    expect(await obtainOne(other, name)).toEqual(key);
    expect((await other.open([key.name, 'user:x#0000000000000000'])).get(key.name)).toEqual(key.bytes);
    expect((await other.open(['user:x#0000000000000000'])).get('user:x#0000000000000000')).toBe('missing');
    expect(await other.standing(name)).toEqual([key.name]);
    const { rows } = await owner.query<{ wrapped: Buffer }>('select wrapped from ledger.data_keys where name = $1', [
      key.name,
    ]);
    expect(rows[0]?.wrapped.includes(key.bytes)).toBe(false);
  });

  it('lets many processes that ask at once for the same owners agree on one key each', async () => {
    const owners = Array.from({ length: 40 }, someone);
    const processes = Array.from({ length: 4 }, () => dataKeys());
    const answers = await Promise.all(
      processes.flatMap((keys, n) => owners.map((name) => keys.obtain(n % 2 === 0 ? [name] : [...owners].reverse()))),
    );

    for (const name of owners) expect(new Set(answers.flatMap((answer) => answer.get(name)?.name ?? [])).size).toBe(1);
    const { rows } = await owner.query('select from ledger.data_keys where owner = any($1)', [owners]);
    expect(rows).toHaveLength(40);
  });

  it('puts what waits together into few transactions', async () => {
    const keys = dataKeys();
    const before = await transactions();
    await Promise.all(Array.from({ length: 500 }, () => obtainOne(keys, someone())));
    expect((await transactions()) - before).toBeLessThan(50);
  });

  async function transactions(): Promise<number> {
    await owner.query('select pg_stat_force_next_flush()');
    const { rows } = await owner.query<{ n: string }>(
      'select xact_commit as n from pg_stat_database where datname = current_database()',
    );
    return Number(rows[0]?.n);
  }

  it('destroys by exact name, for ever, and gives the owner another name afterwards', async () => {
    const name = someone();
    const keys = dataKeys();
    const first = await obtainOne(keys, name);
    await keys.destroy([first.name]);
    await keys.destroy([first.name]);

    expect((await keys.open([first.name])).get(first.name)).toBe('destroyed');
    expect(await keys.standing(name)).toEqual([]);
    const { rows } = await owner.query('select wrapped, destroyed_at from ledger.data_keys where name = $1', [
      first.name,
    ]);
    expect(rows).toEqual([{ wrapped: null, destroyed_at: expect.any(Date) as Date }]);
    expect((await obtainOne(keys, name)).name).not.toBe(first.name);
    await expect(
      owner.query('update ledger.data_keys set wrapped = $2, destroyed_at = null where name = $1', [first.name, one]),
    ).rejects.toThrow('was destroyed and cannot be changed');
  });

  it('marks a name that the table does not know as destroyed', async () => {
    const keys = dataKeys();
    await keys.destroy(['user:gone#0123456789abcdef']);
    expect((await keys.open(['user:gone#0123456789abcdef'])).get('user:gone#0123456789abcdef')).toBe('destroyed');
    await obtainOne(keys, 'user:gone');
  });

  it('holds the program to inserting and to three columns, and everybody to never removing', async () => {
    const { name } = await obtainOne(dataKeys(), someone());
    await expect(program.query('delete from ledger.data_keys')).rejects.toThrow('permission denied');
    await expect(
      program.query(`update ledger.data_keys set owner = 'user:other' where name = $1`, [name]),
    ).rejects.toThrow('permission denied');
    await expect(owner.query(`update ledger.data_keys set owner = 'x' where name = $1`, [name])).rejects.toThrow(
      'keeps its name and its owner',
    );
    await expect(owner.query('delete from ledger.data_keys')).rejects.toThrow('refused');
    await expect(owner.query('truncate ledger.data_keys')).rejects.toThrow('refused');
  });

  it('asks the table again after 60 s, or at once when it was told to forget', async () => {
    let nowMs = 0;
    const keys = dataKeys({ monotonicMs: () => nowMs });
    const kept = await obtainOne(keys, someone());
    const told = await obtainOne(keys, someone());
    await dataKeys().destroy([kept.name, told.name]);

    nowMs = 59_999;
    expect((await keys.open([kept.name])).get(kept.name)).toEqual(kept.bytes);
    keys.forget([told.name]);
    expect((await keys.open([told.name])).get(told.name)).toBe('destroyed');
    nowMs = 60_000;
    expect((await keys.open([kept.name])).get(kept.name)).toBe('destroyed');
  });

  it('keeps no more opened keys than it may, the newest', async () => {
    const keys = dataKeys({ cacheMax: 10 });
    const all = [];
    for (let n = 0; n < 12; n += 1) all.push(await obtainOne(keys, someone()));
    await dataKeys().destroy(all.map(({ name }) => name));

    const answer = await keys.open(all.map(({ name }) => name));
    expect(all.map(({ name }) => answer.get(name) === 'destroyed')).toEqual([
      true,
      true,
      ...Array<boolean>(10).fill(false),
    ]);
  });

  it('wraps anew under a new key-encryption key, in pieces, without changing a data key', async () => {
    const owners = Array.from({ length: 1200 }, someone);
    const before = await dataKeys().obtain(owners);
    const newer = dataKeys({ kek: kek2 });
    await newer.moveCheckpoint('00000000000000000007');

    expect(await newer.rewrap()).toBeGreaterThanOrEqual(1200);
    expect(await newer.rewrap()).toBe(0);
    expect(await dataKeys({ kek: kek2 }).obtain(owners)).toEqual(before);
    expect(await newer.checkpoint()).toBe('00000000000000000007');
    const name = before.get(owners[0] ?? '')?.name ?? '';
    await expect(dataKeys().open([name])).rejects.toMatchObject({ name: 'KekVersionUnknown' });
  });

  it('makes no key when the disk is almost full, but opens those that stand', async () => {
    const name = someone();
    const key = await obtainOne(dataKeys({ kek: kek2 }), name);
    const full = dataKeys({ kek: kek2, refuse: () => 'disk-full' });
    expect(await obtainOne(full, name)).toEqual(key);
    await expect(full.obtain([someone()])).rejects.toMatchObject({ reason: 'disk-full' });
  });

  it('says within about a second that the database does not answer', async () => {
    const keys = dataKeys({ connection: { ...ledger.program, host: '/nowhere' } });
    await expect(keys.obtain([someone()])).rejects.toBeInstanceOf(StoreUnavailable);

    const frozen = dataKeys({ kek: kek2 });
    await obtainOne(frozen, someone());
    const lock = await owner.connect();
    await lock.query('begin; lock table ledger.data_keys in access exclusive mode');
    const begun = performance.now();
    await expect(frozen.obtain([someone()])).rejects.toMatchObject({ name: 'StoreUnavailable', reason: 'unreachable' });
    expect(performance.now() - begun).toBeLessThan(2000);
    await lock.query('rollback');
    lock.release();
  });
});

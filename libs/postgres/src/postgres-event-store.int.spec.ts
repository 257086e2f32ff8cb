import pg from 'pg';
import { OutcomeUnknown, StoreUnavailable, WrongExpectedRevision } from '#libs/eventsourcing';
import { TcpProxy } from '#libs/testing';
import { appendOf, fill, newEvent, newStream, readFrom } from '../../eventsourcing/src/testing/contract-item.js';
import { batchParameters, sendBatch } from './append-batch.js';
import { MAILBOX_MAX } from './append-queue.js';
import { assertMigrated, isAppendOnlyByGrant, migrate } from './migrate.js';
import { PostgresEventStore, type PostgresEventStoreOptions } from './postgres-event-store.js';
import { type EmbeddedLedger, startEmbeddedLedger } from './testing/embedded-ledger.js';

let ledger: EmbeddedLedger;
let proxy: TcpProxy;
const opened: PostgresEventStore[] = [];

/** Over the network that fails, unless told otherwise. */
function open(options: Partial<PostgresEventStoreOptions> = {}): PostgresEventStore {
  const connection = { ...ledger.program, host: '127.0.0.1', port: proxy.port };
  const store = new PostgresEventStore({ connection, ...options });
  opened.push(store);
  return store;
}

async function msOf(work: Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await work.catch(() => undefined);
  return performance.now() - beganMs;
}

async function asOwner<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(ledger.owner);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

beforeAll(async () => {
  ledger = await startEmbeddedLedger();
  proxy = await TcpProxy.start({ path: `${ledger.program.host ?? ''}/.s.PGSQL.${ledger.program.port ?? 5432}` });
});

afterEach(() => {
  proxy.set('pass');
});

afterAll(async () => {
  await Promise.all(opened.map((store) => store.close()));
  await proxy.close();
  await ledger.stop();
});

describe('the store on PostgreSQL when the database is away', () => {
  it('refuses appends and reads within a second when nobody listens, and recovers by itself', async () => {
    const store = open();
    const stream = newStream();
    await fill(store, stream, 1);
    proxy.set('refuse');
    proxy.cut();
    // The one that meets the cut may have been sent: only those after it are surely not done.
    await store.append(appendOf(newStream(), 0)).catch(() => undefined);
    for (const work of [() => store.append(appendOf(stream, 1)), () => store.readStream(stream), () => store.head()]) {
      await expect(work()).rejects.toMatchObject({ name: StoreUnavailable.name, reason: 'unreachable' });
      expect(await msOf(work())).toBeLessThan(1_000);
    }
    proxy.set('pass');
    expect((await store.append(appendOf(stream, 1))).events[0]?.revision).toBe(2);
    expect(await store.readStream(stream)).toHaveLength(2);
  });

  it('refuses within about a second when the address swallows everything', async () => {
    proxy.set('stall');
    const store = open();
    await expect(store.append(appendOf(newStream(), 0))).rejects.toMatchObject({ reason: 'unreachable' });
    expect(await msOf(store.append(appendOf(newStream(), 0)))).toBeLessThan(1_300);
    expect(await msOf(store.readStream(newStream()))).toBeLessThan(1_300);
  });

  it('leaves open only the batch that was sent to a server which hangs, and refuses those behind it in time', async () => {
    const store = open();
    const stream = newStream();
    await fill(store, stream, 1);
    proxy.set('stall');
    const sent = store.append(appendOf(stream, 1));
    const settled = sent.then(
      () => 'done',
      (error: unknown) => error,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    const behind = Array.from({ length: 20 }, () => store.append(appendOf(newStream(), 0)));
    const beganMs = performance.now();
    for (const one of await Promise.allSettled(behind))
      expect(one).toMatchObject({ status: 'rejected', reason: { name: StoreUnavailable.name } });
    expect(performance.now() - beganMs).toBeLessThan(1_500);
    expect(await msOf(store.readStream(stream))).toBeLessThan(1_500);
    expect(await settled).toBeInstanceOf(OutcomeUnknown);
    proxy.set('pass');
    // What was left open may still land, before this read or after it: then the version says so and it is read again.
    const goOn = async (attemptsLeft: number): Promise<unknown> => {
      const revision = (await store.readStream(stream)).length;
      return store.append(appendOf(stream, revision)).catch((error: unknown) => {
        if (error instanceof WrongExpectedRevision && attemptsLeft > 0) return goOn(attemptsLeft - 1);
        throw error;
      });
    };
    expect(await goOn(1)).toMatchObject({ answeredAsDone: false });
  });

  it('takes no more into its mailbox than it may', async () => {
    const store = open();
    await fill(store, newStream(), 1);
    proxy.set('stall');
    const appends = Array.from({ length: MAILBOX_MAX + 10 }, (_, n) => store.append(appendOf(`key-${n}`, 0)));
    const overloaded = await Promise.allSettled(appends.slice(MAILBOX_MAX));
    for (const one of overloaded) expect(one).toMatchObject({ reason: { reason: 'overloaded' } });
    proxy.cut();
    proxy.set('pass');
    await Promise.allSettled(appends);
  });
});

describe('a page under a filter', () => {
  it('looks no farther than its bound, tells where it stopped, and misses nothing', async () => {
    const store = open({ filteredPositionsMax: 10 });
    const before = await store.head();
    const rare = newStream();
    for (const base of [0, 1, 2]) {
      await fill(store, newStream(), 13);
      await store.append(appendOf(rare, base, newEvent('{}', { type: 'KeyDeleted' })));
    }
    const page = await store.readAll({ after: before, limit: 5, filter: { types: ['KeyDeleted'] } });
    expect(page).toMatchObject({ events: [], caughtUp: false });
    expect(BigInt(page.position) - BigInt(before)).toBe(10n);
    const found = await readFrom(store, before, 5, { types: ['KeyDeleted'] });
    expect(found.map(({ revision }) => revision)).toEqual([1, 2, 3]);
    // A stream has an index of its own, so its events are found at once.
    const { events } = await store.readAll({ after: before, limit: 5, filter: { stream: rare } });
    expect(events.map(({ revision }) => revision)).toEqual([1, 2, 3]);
  });
});

describe('the store on PostgreSQL when it must not write', () => {
  it('refuses appends for the disk before anything is sent, and goes on reading', async () => {
    let full = false;
    const store = open({ refuse: () => (full ? 'disk-full' : undefined) });
    const stream = newStream();
    await fill(store, stream, 1);
    full = true;
    await expect(store.append(appendOf(stream, 1))).rejects.toMatchObject({ reason: 'disk-full' });
    expect(await store.readStream(stream)).toHaveLength(1);
    full = false;
    expect((await store.append(appendOf(stream, 1))).events[0]?.revision).toBe(2);
  });

  it('says that nothing was written when somebody holds the head for too long', async () => {
    const store = open();
    const stream = newStream();
    await asOwner(async (client) => {
      await client.query('begin');
      await client.query('select position from ledger.head for update');
      await expect(store.append(appendOf(stream, 0))).rejects.toMatchObject({ reason: 'overloaded' });
      await client.query('rollback');
    });
    expect((await store.append(appendOf(stream, 0))).events[0]?.revision).toBe(1);
  });

  it('commits the neighbours of an append that the database cannot take', async () => {
    const store = open();
    const before = await store.head();
    const good = Array.from({ length: 30 }, () => store.append(appendOf(newStream(), 0)));
    const bad = store.append(appendOf(newStream(), 0, newEvent('{}', { type: 'no\u0000text' })));
    await expect(bad).rejects.toThrow(pg.DatabaseError);
    await Promise.all(good);
    expect(BigInt(await store.head()) - BigInt(before)).toBe(30n);
  });
});

describe('the ledger in the database', () => {
  it("keeps what was written: the program's role may not change it, and the owner is stopped by the trigger", async () => {
    const store = open();
    await fill(store, newStream(), 1);
    const changes = [
      "update ledger.events set type = 'Other'",
      'delete from ledger.events',
      'truncate ledger.events',
      'alter table ledger.events disable trigger all',
    ];
    const program = new pg.Client(ledger.program);
    await program.connect();
    for (const change of changes) await expect(program.query(change)).rejects.toMatchObject({ code: '42501' });
    expect(await isAppendOnlyByGrant(program)).toBe(true);
    await program.end();
    await asOwner(async (client) => {
      for (const change of changes.slice(0, 3)) await expect(client.query(change)).rejects.toThrow(/append-only/);
      expect(await isAppendOnlyByGrant(client)).toBe(false);
    });
  });

  it('takes events from the program before traces, and gives back no text that is no trace context', async () => {
    const stream = newStream();
    const program = new pg.Client(ledger.program);
    await program.connect();
    const before = batchParameters([appendOf(stream, 0)]).slice(0, 15);
    const marks = before.map((_, n) => `$${n + 1}`).join();
    await program.query(`select * from ledger.append_batch(${marks})`, before);
    await sendBatch(program, [appendOf(stream, 1, newEvent('1', { traceparent: 'hunter2' }))], 5_000);
    await program.end();
    const read = await open().readStream(stream);
    expect(read.map(({ revision, traceparent }) => [revision, traceparent])).toEqual([
      [1, undefined],
      [2, undefined],
    ]);
  });

  it('is migrated once, however often and by however many at once', async () => {
    const applied = (): Promise<unknown[]> =>
      asOwner(async (client) => (await client.query<object>('select * from ledger.migrations order by name')).rows);
    const before = await applied();
    const programRole = ledger.program.user ?? null;
    await Promise.all([1, 2, 3].map(() => migrate(ledger.owner, { programRole })));
    expect(await applied()).toEqual(before);
  });

  it('refuses a migration that was changed afterwards, and a store of a newer program, by name', async () => {
    const programRole = ledger.program.user ?? null;
    const change = (sql: string): Promise<unknown> => asOwner((client) => client.query(sql));
    await change("update ledger.migrations set sha256 = 'x' || sha256 where name = '0001-ledger'");
    await expect(migrate(ledger.owner, { programRole })).rejects.toMatchObject({ reason: 'file-changed' });
    await change("update ledger.migrations set sha256 = substr(sha256, 2) where name = '0001-ledger'");
    await change("insert into ledger.migrations (name, sha256) values ('9999-tomorrow', '')");
    await expect(migrate(ledger.owner, { programRole })).rejects.toMatchObject({ reason: 'store-is-newer' });
    await change("delete from ledger.migrations where name = '9999-tomorrow'");
    await migrate(ledger.owner, { programRole });
  });

  it('is not migrated by a program that leaves that to another: it is told what is missing', async () => {
    const asProgram = async (database: pg.ClientConfig = {}): Promise<void> => {
      const client = new pg.Client({ ...ledger.program, ...database });
      await client.connect();
      try {
        await assertMigrated(client);
      } finally {
        await client.end();
      }
    };
    await asProgram();
    await expect(asProgram({ database: 'postgres' })).rejects.toMatchObject({ reason: 'store-is-older' });
    const change = (sql: string): Promise<unknown> => asOwner((client) => client.query(sql));
    await change("update ledger.migrations set name = '9999-tomorrow' where name = '0001-ledger'");
    await expect(asProgram()).rejects.toMatchObject({ reason: 'store-is-newer', migration: '9999-tomorrow' });
    await change("create table other as select * from ledger.migrations where name = '9999-tomorrow'");
    await change("delete from ledger.migrations where name = '9999-tomorrow'");
    await expect(asProgram()).rejects.toMatchObject({ reason: 'store-is-older', migration: '0001-ledger' });
    await change("insert into ledger.migrations select '0001-ledger', sha256, applied_at from other; drop table other");
    await asProgram();
  });
});

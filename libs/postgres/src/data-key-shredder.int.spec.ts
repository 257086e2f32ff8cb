import { eventTypes } from '#libs/contracts';
import { Codec, type DomainEvent, FixedClock, MemoryEventStore } from '#libs/eventsourcing';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { DataKeyShredder } from './data-key-shredder.js';
import { KeyEncryptionKeys } from './key-files.js';
import { PostgresDataKeys } from './postgres-data-keys.js';
import { type EmbeddedLedger, startEmbeddedLedger } from './testing/embedded-ledger.js';

const kek = new KeyEncryptionKeys('1', new Map([['1', Buffer.alloc(32, 1)]]));
const clock = new FixedClock();
let ledger: EmbeddedLedger;
let owner: pg.Pool;
let dataKeys: PostgresDataKeys;
let codec: Codec;
let store: MemoryEventStore;

beforeAll(async () => {
  ledger = await startEmbeddedLedger();
  owner = new pg.Pool(ledger.owner);
});
afterAll(async () => {
  await owner.end();
  await ledger.stop();
});
beforeEach(async () => {
  // A table made anew, as a restored backup is: without the trigger that keeps every row.
  await owner.query(
    'alter table ledger.data_keys disable trigger user; delete from ledger.data_keys; alter table ledger.data_keys enable trigger user',
  );
  dataKeys = new PostgresDataKeys({ connection: ledger.program, kek });
  codec = new Codec(eventTypes, dataKeys);
  store = new MemoryEventStore(clock);
});
afterEach(() => dataKeys.close());

async function write(stream: string, ...events: DomainEvent[]): Promise<void> {
  const history = await store.readStream(stream);
  const prepared = await codec.encode({
    stream,
    tenantId: 'acme',
    projectId: null,
    lastRevision: history.length,
    lastChainHash: history.at(-1)?.chainHash ?? null,
    recordedAt: clock.now(),
    context: {
      commandId: randomUUID(),
      correlationId: randomUUID(),
      causationId: null,
      requestHash: null,
      actor: { type: 'system', id: 'test', via: 'internal' },
      actorPart: null,
    },
    events,
  });
  await store.append({ stream, expectedRevision: history.length, events: prepared });
}

/** Names of the data keys of deleted API keys, each of which stood. */
async function deleteKeys(count: number): Promise<string[]> {
  const owners = Array.from({ length: count }, (_, n) => `key:key_${String(n).padStart(16, '0')}`);
  const names = [...(await dataKeys.obtain(owners)).values()].map(({ name }) => name);
  for (const [n, name] of names.entries())
    await write(
      `key-${String(n).padStart(16, '0')}`,
      { type: 'KeyDisabled', data: {} },
      { type: 'KeyDeleted', data: { dataKeys: [name] } },
    );
  return names;
}

/** As another process reads them, past every cache. */
async function statesOf(names: readonly string[]): Promise<unknown[]> {
  const other = new PostgresDataKeys({ connection: ledger.program, kek });
  try {
    const answer = await other.open(names);
    return names.map((name) => (Buffer.isBuffer(answer.get(name)) ? 'stands' : answer.get(name)));
  } finally {
    await other.close();
  }
}

async function until(holds: () => boolean | Promise<boolean>, msMax = 10_000): Promise<void> {
  const end = performance.now() + msMax;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`Not within ${msMax} ms.`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

describe('DataKeyShredder', () => {
  it('destroys by exact name what KeyDeleted and SubjectErased name, and nothing else', async () => {
    const names = await deleteKeys(3);
    const [alice, bob] = await Promise.all(
      ['user:alice', 'user:bob'].map(async (name) => (await dataKeys.obtain([name])).get(name)?.name ?? ''),
    );
    await write('subject-alice', { type: 'SubjectErased', data: { subjectId: 'alice', dataKeys: [alice] } });
    const shredder = new DataKeyShredder(store, codec, dataKeys);
    await shredder.catchUp();

    expect(await statesOf([...names, alice ?? ''])).toEqual(Array(4).fill('destroyed'));
    expect(await statesOf([bob ?? ''])).toEqual(['stands']);
    expect(shredder.position).toBe(await store.head());
    expect(shredder.lagMs).toBe(0);
    expect(await dataKeys.checkpoint()).toBe(await store.head());
  });

  it('destroys within 5 s what is deleted while it follows, and opens nothing from memory afterwards', async () => {
    const shredder = new DataKeyShredder(store, codec, dataKeys);
    await shredder.catchUp();
    shredder.start();
    try {
      const [name = ''] = await deleteKeys(1);
      await until(async () => (await dataKeys.open([name])).get(name) === 'destroyed', 5000);
    } finally {
      await shredder.stop();
    }
  });

  it('goes on from its checkpoint in the next process', async () => {
    const [name = ''] = await deleteKeys(1);
    await new DataKeyShredder(store, codec, dataKeys).catchUp();
    await owner.query(
      `alter table ledger.data_keys disable trigger user;
       update ledger.data_keys set wrapped = '\\x00', destroyed_at = null where name = '${name}';
       alter table ledger.data_keys enable trigger user`,
    );

    const next = new DataKeyShredder(store, codec, dataKeys);
    await next.catchUp();
    expect(await dataKeys.notDestroyed([name])).toEqual([name]);
    expect(next.position).toBe(await store.head());
  });

  it('destroys again after an older backup of the table was restored, also what that backup does not know', async () => {
    await owner.query('create table backup as select * from ledger.data_keys');
    const names = await deleteKeys(2);
    await owner.query('insert into backup select * from ledger.data_keys where name = $1', [names[0]]);
    await new DataKeyShredder(store, codec, dataKeys).catchUp();
    await owner.query(
      `alter table ledger.data_keys disable trigger user; delete from ledger.data_keys;
       insert into ledger.data_keys select * from backup; alter table ledger.data_keys enable trigger user; drop table backup`,
    );
    expect(await statesOf(names)).toEqual(['stands', 'missing']);

    await new DataKeyShredder(store, codec, dataKeys).catchUp();
    expect(await statesOf(names)).toEqual(['destroyed', 'destroyed']);
  });

  it.each(['99999999999999999999', 'nonsense'])(
    'begins anew with the checkpoint %s, which the log does not know',
    async (at) => {
      const names = await deleteKeys(1);
      await dataKeys.moveCheckpoint(at);
      await new DataKeyShredder(store, codec, dataKeys).catchUp();
      expect(await statesOf(names)).toEqual(['destroyed']);
      expect(await dataKeys.checkpoint()).toBe(await store.head());
    },
  );

  it('outlives a table that does not answer, and its lag says so', async () => {
    const errors: unknown[] = [];
    const shredder = new DataKeyShredder(store, codec, dataKeys, { onError: (error) => errors.push(error) });
    await shredder.catchUp();
    const names = await deleteKeys(1);
    const lock = await owner.connect();
    await lock.query('begin; lock table ledger.data_keys in access exclusive mode');
    shredder.start();
    try {
      await until(() => errors.length >= 1);
      expect(shredder.lagMs).toBeGreaterThan(500);
      await lock.query('rollback');
      await until(() => shredder.lagMs === 0);
      expect(await statesOf(names)).toEqual(['destroyed']);
    } finally {
      lock.release(true);
      await shredder.stop();
    }
  });
});

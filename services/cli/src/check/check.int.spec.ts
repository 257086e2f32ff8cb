import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { eventTypes } from '#libs/contracts';
import { chainHashOf, Codec, leafHashOf } from '#libs/eventsourcing';
import { KeyEncryptionKeys, PostgresDataKeys, PostgresEventStore, ProjectionHost } from '#libs/postgres';
import { writeHistory } from '#libs/testing';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../../../libs/postgres/src/testing/embedded-ledger.js';
import { projections } from '../session.js';
import { type CheckResult, checkStore } from './check.js';
import type { Fault } from './fault.js';

const HISTORIES = 4;
const REACHED_MS = 20_000;
const KEY_STREAM = 'key-k000000000000000';

describe('steward check', () => {
  let ledger: EmbeddedLedger;
  let owner: pg.Pool;
  let pool: pg.Pool;
  let store: PostgresEventStore;
  let dataKeys: PostgresDataKeys;
  let codec: Codec;

  async function check(readModels = false): Promise<{ faults: Fault[]; result: CheckResult }> {
    const faults: Fault[] = [];
    const result = await checkStore({
      connection: ledger.program,
      ledgerElsewhere: undefined,
      pool,
      store,
      codec,
      projections: readModels ? projections : [],
      onFault: (fault) => faults.push(fault),
      onProgress: () => undefined,
      signal: new AbortController().signal,
    });
    return { faults, result };
  }

  /** Changes the ledger as somebody could who owns the database, looks, and puts everything back. */
  async function planted(change: (client: pg.PoolClient) => Promise<unknown>): Promise<string[]> {
    const client = await owner.connect();
    const tables = ['events', 'head', 'data_keys'];
    try {
      await client.query(
        'alter table ledger.events disable trigger user; alter table ledger.data_keys disable trigger user',
      );
      for (const table of tables) await client.query(`create temp table kept_${table} as table ledger.${table}`);
      await change(client);
      const { faults } = await check();
      return faults.map(({ kind, stream, revision }) =>
        [kind, stream, revision].filter((part) => part !== undefined).join(' '),
      );
    } finally {
      for (const table of tables)
        await client.query(
          `delete from ledger.${table}; insert into ledger.${table} table kept_${table}; drop table kept_${table}`,
        );
      await client.query(
        'alter table ledger.events enable trigger user; alter table ledger.data_keys enable trigger user',
      );
      client.release();
    }
  }

  const at = (stream: string, revision: number): string => `stream = '${stream}' and revision = ${revision}`;
  const update = (set: string, where: string) => (client: pg.PoolClient) =>
    client.query(`update ledger.events set ${set} where ${where}`);

  /** Writes another text with a leaf hash and a chain hash that fit it, and lets all after it stand. */
  const rewritten = (change: (text: string) => string, where: string) => async (client: pg.PoolClient) => {
    const { rows } = await client.query<{ envelope: string; previous: Buffer | null }>(
      `select envelope, (select p.chain_hash from ledger.events p where p.stream = e.stream and p.revision = e.revision - 1) as previous
       from ledger.events e where ${where}`,
    );
    const [row] = rows;
    if (row === undefined) throw new Error('There is no such event.');
    const text = change(row.envelope);
    if (text === row.envelope) throw new Error('Nothing was changed.');
    const leaf = leafHashOf(text);
    await client.query(`update ledger.events set envelope = $1, leaf_hash = $2, chain_hash = $3 where ${where}`, [
      text,
      leaf,
      chainHashOf(row.previous, leaf),
    ]);
  };

  beforeAll(async () => {
    ledger = await startEmbeddedLedger();
    owner = new pg.Pool(ledger.owner);
    pool = new pg.Pool(ledger.program);
    store = new PostgresEventStore({ connection: ledger.program });
    const kek = new KeyEncryptionKeys('1', new Map([['1', randomBytes(32)]]));
    dataKeys = new PostgresDataKeys({ connection: ledger.program, kek });
    codec = new Codec(eventTypes, dataKeys);
    for (let n = 0; n < HISTORIES; n += 1) await writeHistory({ store, codec, dataKeys }, n);
    const { rows } = await pool.query<{ envelope: string }>(
      `select envelope from ledger.events where type in ('KeyDeleted', 'SubjectErased')`,
    );
    const named = rows.flatMap(
      ({ envelope }) => (JSON.parse(envelope) as { data: { dataKeys: string[] } }).data.dataKeys,
    );
    await dataKeys.destroy(named);
    // What was stored a moment ago may still wait for its destruction.
    await owner.query('alter table ledger.events disable trigger user');
    await owner.query(`update ledger.events set stored_at = stored_at - interval '1 hour'`);
    await owner.query('alter table ledger.events enable trigger user');
  });

  afterAll(async () => {
    await store.close();
    await dataKeys.close();
    await pool.end();
    await owner.end();
    await ledger.stop();
  });

  it('finds nothing wrong with a sound ledger, and counts it', async () => {
    const { faults, result } = await check();
    expect(faults).toEqual([]);
    const { rows } = await pool.query<{ events: number; streams: number }>(
      'select count(*)::int as events, count(distinct stream)::int as streams from ledger.events',
    );
    expect(result).toMatchObject({ ...rows[0], head: await store.head() });
    expect(result.destroyedDataKeys).toBeGreaterThan(0);
  });

  it('names an envelope of which one byte was changed', async () => {
    expect(await planted(update(`envelope = replace(envelope, 'day batch', 'dax batch')`, at(KEY_STREAM, 2)))).toEqual([
      `leaf-hash ${KEY_STREAM} 2`,
    ]);
  });

  it('names a changed envelope whose own hashes were made to fit, at the event behind it', async () => {
    const change = (text: string): string => text.replace('day batch', 'dax batch');
    expect(await planted(rewritten(change, at(KEY_STREAM, 2)))).toEqual([
      `chain-hash ${KEY_STREAM} 3`,
      `previous-hash ${KEY_STREAM} 3`,
    ]);
  });

  it('names a chain hash that does not follow', async () => {
    expect(await planted(update(`chain_hash = leaf_hash`, at('tenant-acme-0', 5)))).toEqual([
      'chain-hash tenant-acme-0 5',
    ]);
  });

  it('names an event that was taken out, by its stream and by its position', async () => {
    const faults = await planted((client) => client.query(`delete from ledger.events where ${at(KEY_STREAM, 3)}`));
    expect(faults).toEqual(['position-gap', `revision-gap ${KEY_STREAM} 4`]);
  });

  it('names a head that is not where the log ends', async () => {
    expect(await planted((client) => client.query('update ledger.head set position = position + 1'))).toEqual([
      'head-mismatch',
    ]);
  });

  it('names a time of the store that runs back', async () => {
    expect(await planted(update(`stored_at = stored_at - interval '1 day'`, at(KEY_STREAM, 2)))).toEqual([
      'stored-at-backwards',
    ]);
  });

  it('names columns that say something else than the envelope', async () => {
    expect(await planted(update(`tenant_id = 'evil'`, at(KEY_STREAM, 1)))).toEqual([`column-mismatch ${KEY_STREAM} 1`]);
  });

  it('names bytes that are not canonical, and text that is no envelope', async () => {
    const last = at(KEY_STREAM, 12);
    expect(await planted(rewritten((text) => text.replace('{', '{ '), last))).toEqual([
      `envelope-not-canonical ${KEY_STREAM} 12`,
    ]);
    expect(await planted(rewritten(() => 'not json', last))).toEqual([`envelope-malformed ${KEY_STREAM} 12`]);
  });

  it('names a type that this release does not know, and a newer version of one that it knows', async () => {
    const last = at(KEY_STREAM, 12);
    const renamed = (text: string): string => text.replace('"type":"KeyRevoked"', '"type":"KeyMelted"');
    expect(await planted(rewritten(renamed, last))).toEqual([
      `column-mismatch ${KEY_STREAM} 12`,
      `type-unknown ${KEY_STREAM} 12`,
    ]);
    const newer = (text: string): string => text.replace('"schemaVersion":1', '"schemaVersion":2');
    expect(await planted(rewritten(newer, last))).toEqual([`type-unknown ${KEY_STREAM} 12`]);
  });

  it('names an id that does not follow from its command', async () => {
    const change = (text: string): string => text.replace(/"commandId":"[^"]{8}/, '"commandId":"00000000');
    expect(await planted(rewritten(change, at(KEY_STREAM, 12)))).toEqual([`event-id ${KEY_STREAM} 12`]);
  });

  it('names a time that runs back in its stream, and a stream that ends in the future', async () => {
    const moved =
      (year: string) =>
      (text: string): string =>
        text.replace(/"recordedAt":"\d{4}/, `"recordedAt":"${year}`);
    expect(await planted(rewritten(moved('2001'), at(KEY_STREAM, 12)))).toEqual([
      `recorded-at-backwards ${KEY_STREAM} 12`,
    ]);
    expect(await planted(rewritten(moved('9001'), at(KEY_STREAM, 12)))).toEqual([`future ${KEY_STREAM} 12`]);
  });

  it('names a private part that is not the one of the envelope, one that is gone and one too many', async () => {
    const part = at(KEY_STREAM, 1);
    expect(
      await planted(update(`private_parts = regexp_replace(private_parts, '"tag":"..', '"tag":"xx')`, part)),
    ).toEqual([`private-part ${KEY_STREAM} 1`]);
    expect(await planted(update('private_parts = null', part))).toEqual([
      `private-part ${KEY_STREAM} 1`,
      `private-part ${KEY_STREAM} 1`,
    ]);
    expect(await planted(update(`private_parts = '{"verifier":{}}'`, at('tenant-acme-0', 1)))).toEqual([
      'private-part tenant-acme-0 1',
    ]);
  });

  it('names a data key that is lost', async () => {
    const lose = (client: pg.PoolClient): Promise<unknown> =>
      client.query(`delete from ledger.data_keys where owner = 'key:key_k000000000000000'`);
    const faults = await planted(lose);
    expect(new Set(faults)).toEqual(new Set([1, 4, 9].map((revision) => `data-key-missing ${KEY_STREAM} ${revision}`)));
  });

  it('names a destruction that nobody asked for, and one that was asked for and not done', async () => {
    const destroy = (client: pg.PoolClient): Promise<unknown> =>
      client.query(
        `update ledger.data_keys set wrapped = null, destroyed_at = now() where owner = 'key:key_k000000000000000'`,
      );
    expect(await planted(destroy)).toEqual(['data-key-destroyed-unasked']);
    const restore = (client: pg.PoolClient): Promise<unknown> =>
      client.query(
        `update ledger.data_keys set wrapped = '\\x00', destroyed_at = null where owner = 'key:key_i000000000000000'`,
      );
    expect(await planted(restore)).toEqual(['destruction-outstanding key-i000000000000000 2']);
  });

  it('finds the ids right of a command whose events do not stand together', async () => {
    const events = await store.readStream('tenant-acme-0');
    const last = events.at(-1);
    const first = codec.decode(events[0] as (typeof events)[number]);
    const [late] = await codec.encode({
      stream: 'tenant-acme-0',
      lastRevision: events.length - 1,
      lastChainHash: events.at(-2)?.chainHash ?? null,
      recordedAt: codec.decode(last as (typeof events)[number]).recordedAt,
      tenantId: 'acme-0',
      projectId: null,
      context: { ...first, commandId: '0b2a2f3e-6f0c-4a6e-9a55-0d5d6a0f7f01', actorPart: null },
      events: [{ type: 'TenantResumed', data: {} }],
    });
    const single = async (client: pg.PoolClient): Promise<unknown> =>
      client.query(
        `update ledger.events set envelope = $1, event_id = $2, leaf_hash = $3, chain_hash = $4 where ${at('tenant-acme-0', events.length)}`,
        [late?.envelope, late?.id, late?.leafHash, late?.chainHash],
      );
    expect(await planted(single)).toEqual([]);
  });

  it('holds every read model against a fold of the log, and names the rows that differ', async () => {
    const host = new ProjectionHost({ database: pool, store, codec, projections });
    host.start();
    try {
      const head = await store.head();
      for (const { name } of projections) expect(await host.reach(name, head, REACHED_MS)).toBe(true);
      const sound = await check(true);
      expect(sound.faults).toEqual([]);
      expect(sound.result.readModels.map(({ state }) => state)).toEqual(['equal', 'equal', 'equal', 'equal']);

      await pool.query(`update tenancy.tenants set name = 'Acne' where tenant_id = 'acme-1'`);
      await pool.query(`delete from keys.key_list where key_id = 'key_k000000000000000'`);
      const { faults, result } = await check(true);
      expect(faults.map(({ kind }) => kind)).toEqual(['read-model-differs', 'read-model-differs']);
      expect(faults.map(({ detail }) => /[^ ]+$/.exec(detail)?.[0])).toEqual(['acme-1', 'key_k000000000000000']);
      expect(result.readModels.map(({ state }) => state)).toEqual(['different', 'different', 'equal', 'equal']);
      const { rows } = await pool.query(`select 1 from projections.checkpoints where status = 'building'`);
      expect(rows).toEqual([]);
    } finally {
      await host.stop();
    }
  });
});

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppendTooLarge, isEmptyLog, WrongExpectedRevision } from '#libs/eventsourcing';
import {
  appendOf,
  fill,
  followUntil,
  idsOf,
  newEvent,
  newEvents,
  newStream,
  readFrom,
} from '../../eventsourcing/src/testing/contract-item.js';
import { KurrentEventStore } from './kurrent-event-store.js';
import { EventStoreAccessDenied } from './kurrent-errors.js';
import { LedgerScan } from './ledger-scan.js';
import { ForeignEvent } from './stored-form.js';
import { FakeEventStore, type FakeEventStoreOptions } from './testing/fake-event-store.js';
import { loopbackCertificate } from './testing/loopback-certificate.js';
import { STORE_TIMERS } from './timers.js';

const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(options?: FakeEventStoreOptions): Promise<FakeEventStore> {
  const fake = await FakeEventStore.start(options);
  closing.push(() => fake.stop());
  return fake;
}

function open(url: string): KurrentEventStore {
  // A busy machine is no fault here.
  const timers = { ...STORE_TIMERS, waitMs: 15_000, shortReadMs: 5_000 };
  const store = new KurrentEventStore({ url, timers });
  closing.push(() => store.close());
  return store;
}

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('what stands on the server', () => {
  it('is a JSON event that its own tools can read, with the hashes and the private parts in the metadata', async () => {
    const fake = await start();
    const store = open(fake.url());
    const parts = { actor: { key: 'user:alice#00', iv: 'aXY=', ciphertext: 'Yw==', tag: 'dA==' } };
    const envelope = '{"causationId":"c2","correlationId":"c1","data":{"10":1,"9":2}}';
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const fields = { privateParts: parts, tenantId: 'acme', projectId: 'GOV112345', traceparent };
    const event = newEvent('{}', { envelope, ...fields });
    const stream = newStream();
    await store.append(appendOf(stream, 0, event));
    const [record] = fake.log.stream(stream);
    expect(record).toMatchObject({ id: event.id, type: event.type, contentType: 'application/json' });
    expect(JSON.parse(Buffer.from(record?.data ?? []).toString())).toEqual(JSON.parse(envelope));
    expect(JSON.parse(Buffer.from(record?.metadata ?? []).toString())).toEqual({
      appendId: expect.any(String) as unknown,
      tenantId: 'acme',
      projectId: 'GOV112345',
      leafHash: event.leafHash.toString('hex'),
      chainHash: event.chainHash.toString('hex'),
      privateParts: parts,
      traceparent,
      $correlationId: 'c1',
      $causationId: 'c2',
    });
    expect((await store.readStream(stream))[0]?.envelope).toBe(envelope);
  });

  it('is every golden envelope to the byte, with its hashes and parts', async () => {
    const fake = await start();
    const store = open(fake.url());
    const lines = readFileSync(new URL('../../../test/golden/events.jsonl', import.meta.url), 'utf8')
      .trimEnd()
      .split('\n');
    const golden = lines.map((line) => JSON.parse(line) as Record<'envelope' | 'leafHash' | 'chainHash', string>);
    const events = golden.map(({ envelope, leafHash, chainHash }) =>
      newEvent('{}', { envelope, leafHash: Buffer.from(leafHash, 'hex'), chainHash: Buffer.from(chainHash, 'hex') }),
    );
    const stream = newStream();
    await store.append(appendOf(stream, 0, ...events));
    const read = await store.readStream(stream);
    expect(read.map(({ envelope, leafHash, chainHash }) => ({ envelope, leafHash, chainHash }))).toEqual(
      events.map(({ envelope, leafHash, chainHash }) => ({ envelope, leafHash, chainHash })),
    );
  });

  it('is no text that would come back otherwise', async () => {
    const fake = await start();
    const store = open(fake.url());
    await expect(store.append(appendOf(newStream(), 0, newEvent('-0')))).rejects.toThrow('canonical');
    expect(fake.log.records).toEqual([]);
  });

  it('of the server itself or of somebody else is passed by, and the head is reached all the same', async () => {
    const fake = await start();
    const store = open(fake.url());
    fake.writeSystemEvent();
    expect(await isEmptyLog(store)).toBe(true);
    const [first] = await fill(store, newStream(), 1);
    for (let n = 0; n < 3; n += 1) fake.writeSystemEvent();
    fake.writeForeignEvent('order-1');
    const [second] = await fill(store, newStream(), 1);
    fake.writeSystemEvent();
    const head = await store.head();
    expect(idsOf(await readFrom(store, store.origin, 1))).toEqual(
      idsOf([first, second].filter((one) => one !== undefined)),
    );
    const seen = await followUntil(store, store.origin, (_, { position }) => position === head, {
      filter: { types: ['KeyUpdated'] },
    });
    expect(seen).toHaveLength(2);
    expect(await isEmptyLog(store)).toBe(false);
    expect(await store.positionAt(new Date())).toBe(second?.position);
  });

  it('in a stream of ours that Steward did not write stops whoever reads it', async () => {
    const fake = await start();
    const store = open(fake.url());
    fake.writeForeignEvent('key-AAAAAAAAAAAAAAAA');
    await expect(store.readStream('key-AAAAAAAAAAAAAAAA')).rejects.toThrow(ForeignEvent);
    await expect(store.readAll({ limit: 10 })).rejects.toThrow(ForeignEvent);
  });

  it('is read whole for a check, by stream and revision', async () => {
    const fake = await start();
    const store = open(fake.url());
    const streams = [newStream(), newStream('tenant'), newStream()];
    for (const stream of streams) await fill(store, stream, 3);
    const head = await store.head();
    await fill(store, newStream(), 1);
    const rows: string[] = [];
    for await (const page of new LedgerScan(store).byStream(head))
      rows.push(...page.map(({ stream, revision }) => `${stream}/${revision}`));
    expect(rows).toEqual([...streams].sort().flatMap((stream) => [1, 2, 3].map((n) => `${stream}/${n}`)));
  });
});

describe('a server', () => {
  it.each([true, false])(
    'with batches of appends (%s) conflicts, repeats and refuses sizes by the same names',
    async (batchAppend) => {
      const fake = await start({ batchAppend, appendBytesMax: 20_000 });
      const store = open(fake.url());
      const request = appendOf(newStream(), 0, ...newEvents(2));
      expect(await store.append(request)).toMatchObject({ answeredAsDone: false });
      expect(await store.append(request)).toMatchObject({ answeredAsDone: true });
      await expect(store.append(appendOf(request.stream, 1))).rejects.toMatchObject({
        name: WrongExpectedRevision.name,
        actual: 2,
      });
      const large = newEvent(`"${'x'.repeat(20_000)}"`);
      await expect(store.append(appendOf(newStream(), 0, large))).rejects.toThrow(AppendTooLarge);
    },
  );

  it('that follows another sends us to its leader', async () => {
    const leader = await start();
    const follower = await start({ leader: { host: '127.0.0.1', port: leader.port } });
    const store = open(follower.url());
    await store.append(appendOf(newStream(), 0));
    expect(await store.head()).not.toBe(store.origin);
    expect([leader.log.records.length, follower.log.records.length]).toEqual([1, 0]);
  });

  it.each(['esdb', 'esdb+discover', 'kurrentdb'])('behind TLS and a password is reached by %s', async (protocol) => {
    const folder = mkdtempSync(join(tmpdir(), 'steward-tls-'));
    closing.push(() => rm(folder, { recursive: true }));
    const ca = join(folder, 'ca.pem');
    writeFileSync(ca, loopbackCertificate.cert);
    const credentials = { username: 'steward', password: 'a:b@c/d?e' };
    const fake = await start({ tls: loopbackCertificate, credentials });
    const url = (password: string): string =>
      `${protocol}://steward:${encodeURIComponent(password)}@127.0.0.1:${fake.port}?tlsCAFile=${encodeURIComponent(ca)}`;
    const store = open(url(credentials.password));
    await fill(store, newStream(), 2);
    expect(Math.abs((await store.nowMs()) - Date.now())).toBeLessThan(5_000);
    const wrong = await failure(open(url('hunter2')).head());
    expect(wrong).toBeInstanceOf(EventStoreAccessDenied);
    expect(JSON.stringify(wrong) + String(wrong)).not.toContain('hunter2');
  });

  it('of several names is found by asking each of the cluster', async () => {
    const fake = await start();
    const closed = await FakeEventStore.start();
    await closed.stop();
    const store = open(`esdb://127.0.0.1:${closed.port},127.0.0.1:${fake.port}?tls=false`);
    await fill(store, newStream(), 1);
    expect(fake.log.records).toHaveLength(1);
    expect(await store.nowMs()).toBeGreaterThan(0);
  });
});

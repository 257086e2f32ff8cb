import { createHash } from 'node:crypto';
import pg from 'pg';
import { keyStream } from '#libs/contracts';
import { InProcessSteward } from '../../../libs/testing/src/in-process-steward.js';
import { aKeyWorld, type KeyWorld, user } from './testing/key-world.js';
import type { KeyView } from './keys.views.js';

let steward: InProcessSteward;
let world: KeyWorld;
const call: InProcessSteward['call'] = (...request) => steward.call(...request);
const made: InProcessSteward['made'] = (...request) => steward.made(...request);
const create: KeyWorld['create'] = (...request) => world.create(...request);
const verify: KeyWorld['verify'] = (token) => world.verify(token);

beforeAll(async () => {
  steward = await InProcessSteward.start();
  world = await aKeyWorld(steward);
});
afterAll(() => steward.stop());

const day = (n: number): string => new Date(Date.now() + n * 86_400_000).toISOString();

/** The database takes no event of these keys, as one that runs out of resources half-way; undone by what it answers. */
async function refusingAppendsTo(keyIds: readonly string[]): Promise<() => Promise<void>> {
  const owner = new pg.Client(steward.storage.database.ownerConnection);
  await owner.connect();
  await owner.query(`
    create function public.out_of_resources() returns trigger language plpgsql as
      $$ begin raise exception 'out of resources' using errcode = '53200'; end $$;
    create trigger out_of_resources before insert on ledger.events for each row
      when (new.stream = any('{${keyIds.map(keyStream).join(',')}}')) execute function public.out_of_resources()
  `);
  return async () => {
    await owner.query('drop trigger out_of_resources on ledger.events; drop function public.out_of_resources');
    await owner.end();
  };
}

describe('many keys at once', () => {
  it('are changed one by one, each with its own result, and the same again under one Idempotency-Key', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 12; n += 1) ids.push((await create('alice', { name: `bulk ${n}` })).key.id);
    const [gone, foreign] = ['key_0000000000000000', (await create('eve', {}, 'X1')).key.id];
    const body = { action: 'delete', ids: [...ids, gone, foreign] };
    const rehearsed = (await made('alice', 'POST', '/v1/keys/bulk', { ...body, dryRun: true })).body as BulkBody;
    expect(rehearsed.results.map(({ status }) => status)).toEqual([...ids.map(() => 200), 404, 404]);
    expect((await made('alice', 'GET', `/v1/keys/${ids[0] ?? ''}`)).status).toBe(200);

    const send = () => call('alice', 'POST', '/v1/keys/bulk', body, { 'idempotency-key': 'bulk-1' });
    const [first, second] = [await send(), await send()];
    expect(first.status).toBe(200);
    const { results, correlationId } = first.body as BulkBody;
    expect(results.map(({ status }) => status)).toEqual([...ids.map(() => 200), 404, 404]);
    expect(results.at(-1)).toEqual({ id: foreign, status: 404, code: 'NOT_FOUND' });
    expect(correlationId).toMatch(/^[0-9a-f-]{36}$/);
    expect(second.body).toEqual(first.body);
  });

  it('are found by a filter whose number must be expected', async () => {
    for (let n = 0; n < 3; n += 1) await create('alice', { labels: { batch: 'filtered' }, ttlDays: 5 });
    const body = { action: 'extend', days: 2, filter: { label: ['batch=filtered'] } };
    expect((await call('alice', 'POST', '/v1/keys/bulk', { ...body, expectedCount: 2 })).body).toMatchObject({
      status: 409,
      code: 'COUNT_MISMATCH',
    });
    const done = (await made('alice', 'POST', '/v1/keys/bulk', { ...body, expectedCount: 3 })).body as BulkBody;
    expect(done.results.map(({ status, key }) => [status, key?.version])).toEqual([
      [200, 2],
      [200, 2],
      [200, 2],
    ]);
  });

  it('chosen by a filter are the same under one Idempotency-Key, however the filter matches by then', async () => {
    const labels = { batch: 'leaving' };
    for (let n = 0; n < 3; n += 1) await create('alice', { labels });
    const body = { action: 'delete', filter: { label: ['batch=leaving'] }, expectedCount: 3 };
    const send = (wish: object, key = 'leaving-1') =>
      call('alice', 'POST', '/v1/keys/bulk', wish, { 'idempotency-key': key });
    expect((await send({ ...body, dryRun: true }, 'rehearsed')).body).toMatchObject({ results: { length: 3 } });
    // One that chose nothing is not remembered, so it may be corrected.
    expect((await send({ ...body, expectedCount: 2 })).body).toMatchObject({ code: 'COUNT_MISMATCH' });
    const [first, atOnce] = await Promise.all([send(body), send(body)]);
    expect((first.body as BulkBody).results.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(atOnce.body).toEqual(first.body);

    const later = (await create('alice', { labels })).key.id;
    const repeated = await send(body);
    expect([repeated.status, repeated.body]).toEqual([200, first.body]);
    expect((await send({ ...body, expectedCount: 1 })).body).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' });
    expect((await made('alice', 'GET', `/v1/keys/${later}`)).status).toBe(200);
    expect((await send(body, 'leaving-2')).body).toMatchObject({ code: 'COUNT_MISMATCH' });
  });

  it('chosen by a filter are changed to the last one when an interrupted request is repeated, and none twice', async () => {
    const labels = { batch: 'interrupted' };
    const ids = await Promise.all(Array.from({ length: 40 }, async () => (await create('alice', { labels })).key.id));
    const body = {
      action: 'disable',
      filter: { label: ['batch=interrupted'], status: ['active'] },
      expectedCount: ids.length,
    };
    const send = () => call('alice', 'POST', '/v1/keys/bulk', body, { 'idempotency-key': 'interrupted-1' });
    const recover = await refusingAppendsTo(ids.sort().slice(-10));
    const interrupted = ((await send()).body as BulkBody).results;
    await recover();
    const done = interrupted.filter(({ status }) => status === 200);
    expect(new Set(interrupted.map(({ code }) => code))).toEqual(new Set([undefined, 'OVERLOADED']));
    expect(interrupted.length - done.length).toBeGreaterThanOrEqual(10);

    const later = (await create('alice', { labels })).key.id;
    const repeated = await send();
    expect(repeated.status).toBe(200);
    const { results } = repeated.body as BulkBody;
    expect(results.map(({ id, status, key }) => [id, status, key?.version])).toEqual(
      interrupted.map(({ id }) => [id, 200, 2]),
    );
    expect((await made('alice', 'GET', `/v1/keys/${later}`)).body).toMatchObject({ status: 'active' });
    for (const id of ids) {
      const { data } = (await made('alice', 'GET', `/v1/keys/${id}/history`)).body as { data: { type: string }[] };
      expect(data.map(({ type }) => type)).toEqual(['KeyCreated', 'KeyDisabled']);
    }
  });
});

interface BulkBody {
  readonly results: readonly { id: string; status: number; code?: string; key?: KeyView }[];
  readonly correlationId: string;
}

describe('an import', () => {
  const digest = (token: string): Buffer => createHash('sha256').update(token).digest();
  const line = (bytes: string, fields: object = {}): string =>
    JSON.stringify({ projectId: 'GOV1', digest: bytes, owner: user('bob'), ...fields });

  it('takes digests in three forms, changes nothing the second time, and those tokens go on working', async () => {
    const lines = [
      line(digest('legacy-1').toString('hex'), { name: 'one', labels: { from: 'legacy' } }),
      line(digest('legacy-2').toString('base64')),
      line(digest('legacy-3').toString('base64url'), { expiresAt: day(9) }),
      '',
      line('not a digest'),
      '{"projectId":',
      line(digest('legacy-4').toString('hex'), { projectId: 'NOWHERE' }),
      line(digest('legacy-5').toString('hex'), { surprise: true }),
      line(digest('legacy-6').toString('hex'), { owner: user('nobody') }),
    ].join('\n');
    const rehearsed = await made('alice', 'POST', '/v1/keys/import?dryRun=true', lines);
    expect(rehearsed.body).toMatchObject({ imported: 3, unchanged: 0, failedCount: 5 });
    expect(await verify('legacy-1')).toBe('NOT_FOUND');
    const first = (await made('alice', 'POST', '/v1/keys/import', lines)).body as ImportBody;
    expect(first).toMatchObject({ imported: 3, unchanged: 0 });
    expect(first.failed.map(({ line: n, code }) => [n, code])).toEqual([
      [5, 'VALIDATION'],
      [6, 'BODY_MALFORMED'],
      [7, 'NOT_FOUND'],
      [8, 'VALIDATION'],
      [9, 'OWNER_UNKNOWN'],
    ]);
    expect((await made('alice', 'POST', '/v1/keys/import', lines)).body).toMatchObject({ imported: 0, unchanged: 3 });
    for (const token of ['legacy-1', 'legacy-2', 'legacy-3']) expect(await verify(token)).toBe('VALID');

    const { data } = (await made('alice', 'GET', '/v1/keys?label=from=legacy')).body as { data: KeyView[] };
    expect(data[0]?.masked).toMatch(/^imported_/);
    const elsewhere = line(digest('legacy-1').toString('hex'), { projectId: 'X1', owner: user('eve') });
    expect((await made('eve', 'POST', '/v1/keys/import', elsewhere)).body).toMatchObject({
      failed: [{ line: 1, code: 'KEY_ID_TAKEN' }],
    });
    await made('alice', 'DELETE', `/v1/keys/${data[0]?.id ?? ''}`);
    expect((await made('alice', 'POST', '/v1/keys/import', lines.split('\n')[0])).body).toMatchObject({
      failed: [{ line: 1, code: 'KEY_DELETED' }],
    });
    expect(await verify('legacy-1')).toBe('NOT_FOUND');
    const keyed = await call('alice', 'POST', '/v1/keys/import', lines, { 'idempotency-key': 'x' });
    expect(keyed.body).toMatchObject({ code: 'IDEMPOTENCY_KEY_REFUSED' });
  });

  it('takes more lines than go side by side, and changes nothing the second time', async () => {
    const lines = Array.from({ length: 1_000 }, (_, n) => line(digest(`many-${n}`).toString('hex'))).join('\n');
    expect((await made('alice', 'POST', '/v1/keys/import', lines)).body).toMatchObject({ imported: 1_000, failed: [] });
    expect((await made('alice', 'POST', '/v1/keys/import', lines)).body).toMatchObject({ unchanged: 1_000 });
    expect(await verify('many-999')).toBe('VALID');
  });
});

interface ImportBody {
  readonly imported: number;
  readonly failed: readonly { line: number; code: string }[];
}

import { once } from 'node:events';
import { connect } from 'node:net';
import { v7 as uuidV7 } from 'uuid';
import type { QuotaItem } from '#libs/contracts';
import { seededRandom } from '#libs/testing';
import { InProcessSteward } from '../../../../libs/testing/src/in-process-steward.js';
import type { OwnQuotasView, ProjectQuotasView } from '../quotas.views.js';
import { aQuotaWorld, gpu } from '../testing/quota-world.js';
import type { ReconciledView } from './reconcile.dto.js';

const path = '/v1/projects/GOV1/reconcile';
const MEMBERS = 50;
const RESOURCES_EACH = 6;
const { random, seed } = seededRandom();

interface Usage {
  readonly resourceRef: string;
  readonly userId: string;
  readonly items: readonly QuotaItem[];
}

let steward: InProcessSteward;
const call: InProcessSteward['call'] = (...request) => steward.call(...request);
const made: InProcessSteward['made'] = (...request) => steward.made(...request);

beforeAll(async () => {
  steward = await InProcessSteward.start();
  await aQuotaWorld(steward);
});
afterAll(() => steward.stop());

const now = (afterMs = 0): string => new Date(Date.now() + afterMs).toISOString();
const fileOf = (header: object, usage: readonly object[]): string =>
  [{ source: 'compute', observedAt: now(), ...header }, ...usage].map((line) => `${JSON.stringify(line)}\n`).join('');
const report = async (header: object, usage: readonly object[]): Promise<ReconciledView> =>
  (await made('compute', 'POST', path, fileOf(header, usage))).body as ReconciledView;
const seen = (resourceRef: string, userId: string, items: readonly QuotaItem[] = gpu(100)): Usage => ({
  resourceRef,
  userId,
  items,
});
const nothing = { adopted: [], removed: [], resized: [], ignoredNewer: [] };

async function usedGpu(): Promise<number | undefined> {
  const { services } = (await made('alice', 'GET', '/v1/projects/GOV1/quotas?service=container-compute'))
    .body as ProjectQuotasView;
  return services[0]?.project.find(({ resource }) => resource === 'gpu')?.used;
}

describe(`reports over HTTP, seed ${seed}`, () => {
  it('a month of usage of 50 members that differs in 30 resources: those 30 are named, and then none', async () => {
    const cpu = (amount: number): QuotaItem => ({ service: 'virtual-compute', resource: 'cpu', amount });
    const usage = new Map<string, Usage>();
    for (let member = 1; member <= MEMBERS; member += 1)
      for (let n = 1; n <= RESOURCES_EACH; n += 1) {
        const ref = `month/${member}/${n}`;
        const items = [...gpu(250 * n), cpu(1 + Math.floor(random() * 64))];
        usage.set(ref, seen(ref, `member-${member}`, items));
      }
    expect(await report({ sequence: 1 }, [...usage.values()])).toMatchObject({ adopted: { length: usage.size } });

    const refs = [...usage.keys()].sort(() => random() - 0.5);
    const [removed, resized, moved] = [refs.slice(0, 8), refs.slice(8, 18), refs.slice(18, 22)];
    const adopted = Array.from({ length: 8 }, (_, n) => `month/new/${n}`);
    for (const ref of removed) usage.delete(ref);
    for (const ref of resized) usage.set(ref, { ...(usage.get(ref) as Usage), items: gpu(1) });
    for (const ref of moved) usage.set(ref, { ...(usage.get(ref) as Usage), userId: 'somebody-else' });
    for (const ref of adopted) usage.set(ref, seen(ref, 'member-1'));
    const file = [...usage.values()].sort(() => random() - 0.5);

    const expected = {
      removed: [...removed, ...moved].sort(),
      resized: [...resized].sort(),
      adopted: [...adopted, ...moved].sort(),
      ignoredNewer: [],
    };
    const named = (view: ReconciledView) =>
      Object.fromEntries(Object.entries(view).map(([kind, list]: [string, Usage[]]) => [kind, list.map(refOf)]));
    const before = await usedGpu();
    expect(named(await report({ sequence: 2, dryRun: true }, file))).toEqual(expected);
    expect(await usedGpu()).toBe(before);
    const done = await report({ sequence: 2 }, file);
    expect(named(done)).toEqual(expected);
    expect(new Set([...done.adopted, ...done.removed, ...done.resized].map(refOf)).size).toBe(30);
    const resize = done.resized[0];
    expect(resize?.after).toEqual(gpu(1));
    expect(resize?.before).toHaveLength(2);
    expect(await report({ sequence: 3 }, file)).toEqual(nothing);
    expect(await usedGpu()).toBe(
      file
        .flatMap(({ items }) => items)
        .reduce((sum, { resource, amount }) => sum + (resource === 'gpu' ? amount : 0), 0),
    );
  });

  it('the same report again is answered as before, however the ledger has moved; another under its sequence is stale', async () => {
    const about = { source: 'again', userId: 'carol', observedAt: now() };
    const usage = [seen('again/1', 'carol'), seen('again/2', 'carol')];
    const first = await report({ ...about, sequence: 7 }, usage);
    expect(first.adopted.map(refOf)).toEqual(['again/1', 'again/2']);
    await made('compute', 'DELETE', '/v1/projects/GOV1/allocations?resourceRef=again/2');
    const used = await usedGpu();
    expect(await report({ ...about, sequence: 7 }, usage)).toEqual(first);
    expect(await usedGpu()).toBe(used);
    const send = (header: object) => call('compute', 'POST', path, fileOf({ ...about, ...header }, usage));
    for (const header of [{ sequence: 7, observedAt: now(1) }, { sequence: 6 }, { sequence: 6, dryRun: true }]) {
      const answer = await send(header);
      expect([answer.status, codeOf(answer)]).toEqual([409, 'STALE_REPORT']);
    }
    expect(codeOf(await send({ sequence: 8, observedAt: now(6 * 60_000) }))).toBe('OBSERVED_IN_FUTURE');
    // Released after the observation: the ledger knows better.
    expect(await report({ ...about, sequence: 8 }, usage)).toEqual({
      ...nothing,
      ignoredNewer: [{ resourceRef: 'again/2', before: [], after: [] }],
    });
  });

  it('of more than one append counts whole', async () => {
    const usage = Array.from({ length: 1_000 }, (_, n) => seen(`many/${String(n).padStart(200, '0')}`, 'dave'));
    const about = { source: 'many', userId: 'dave', observedAt: now() };
    const first = await report({ ...about, sequence: 1, entries: 1_000 }, usage);
    expect(first.adopted).toHaveLength(1_000);
    expect(await report({ ...about, sequence: 1 }, usage)).toEqual(first);
    expect((await report({ ...about, sequence: 2, observedAt: now() }, [])).removed).toHaveLength(1_000);
  });

  it('sent twice at once, both are answered with all that it changed, and it is counted once', async () => {
    const usage = Array.from({ length: 1_000 }, (_, n) => seen(`twice/${String(n).padStart(200, '0')}`, 'erin'));
    const about = { source: 'twice', userId: 'erin', observedAt: now(), sequence: 1 };
    const used = (await usedGpu()) ?? 0;
    const both = await Promise.all([report(about, usage), report(about, usage)]);
    for (const { adopted, ...others } of both) {
      expect(adopted.map(refOf).sort()).toEqual(usage.map(refOf));
      expect(others).toEqual({ removed: [], resized: [], ignoredNewer: [] });
    }
    expect(await usedGpu()).toBe(used + 100_000);
  });

  it('with wrong lines is refused whole, and every wrong line is named', async () => {
    const used = await usedGpu();
    const item = { service: 'container-compute', resource: 'gpu', amount: 1 };
    const good = JSON.stringify(seen('wrong/1', 'bob'));
    const about = { source: 'wrong', observedAt: now(), sequence: 1, userId: 'bob' };
    const header = JSON.stringify(about);
    const line = (fields: object): string => JSON.stringify({ ...seen('wrong/2', 'bob'), ...fields });
    const refusals: [lines: string[], code: string, places: string[]][] = [
      [[header, good, '{"resourceRef":'], 'BODY_MALFORMED', ['body.3']],
      [[header, '', good, line({ surprise: 1 }), '7'], 'VALIDATION', ['body.4.surprise', 'body.5']],
      [[header, line({ items: [{ ...item, amount: 0 }] })], 'ZERO_AMOUNT', ['body.2']],
      [[header, good, line({ items: [{ ...item, amount: 2 ** 53 }] })], 'AMOUNT_OVERFLOW', ['body.3.items.0.amount']],
      [[header, line({ items: [{ ...item, amount: -1 }] })], 'VALIDATION', ['body.2.items.0.amount']],
      [[header, line({ items: [{ ...item, resource: 'tpu' }] })], 'UNKNOWN_RESOURCE', ['body.2']],
      [[header, line({ items: [] })], 'VALIDATION', ['body.2.items']],
      [[header, good, good], 'VALIDATION', ['body.3.resourceRef']],
      [[header, good, line({ userId: 'carol' })], 'VALIDATION', ['body.3.userId']],
      [[good], 'VALIDATION', ['body.1.resourceRef', 'body.1.items']],
      [[''], 'VALIDATION', ['body.1']],
      [[JSON.stringify({ ...about, entries: 2 }), good], 'VALIDATION', ['body.1.entries']],
      [[JSON.stringify({ ...about, sequence: 0 }), good], 'VALIDATION', ['body.1.sequence']],
    ];
    for (const [lines, code, places] of refusals) {
      const answer = await call('compute', 'POST', path, lines.join('\n'));
      const { errors } = answer.body as { errors: { location: string }[] };
      expect([lines, codeOf(answer)]).toEqual([lines, code]);
      expect(errors.map(({ location }) => location)).toEqual(expect.arrayContaining(places));
    }
    const looked = { ...about, resources: [{ service: 'virtual-compute', resource: 'cpu' }] };
    expect((await call('compute', 'POST', path, fileOf(looked, [seen('wrong/1', 'bob')]))).body).toMatchObject({
      errors: [{ location: 'body.2.items' }],
    });
    expect(await usedGpu()).toBe(used);
    expect(codeOf(await call('compute', 'POST', path, { source: 'x' }))).toBe('MEDIA_TYPE');
    expect(codeOf(await call('compute', 'POST', path, header, { 'idempotency-key': 'k' }))).toBe(
      'IDEMPOTENCY_KEY_REFUSED',
    );
  });

  it('that is cut off on its way changes nothing', async () => {
    const used = await usedGpu();
    const file = fileOf({ source: 'cut', sequence: 1, userId: 'bob' }, [seen('cut/1', 'bob'), seen('cut/2', 'bob')]);
    const { hostname, port } = new URL(await steward.app.getUrl());
    for (const framing of [`content-length: ${file.length + 10}`, 'transfer-encoding: chunked']) {
      const socket = connect(Number(port), hostname);
      const head = `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${steward.tokens['compute'] ?? ''}\r\n`;
      const body = framing.startsWith('content') ? file : `${file.length.toString(16)}\r\n${file}\r\n`;
      // The whole file is there, but the end that its framing promised is not.
      socket.resume().end(`${head}content-type: application/x-ndjson\r\n${framing}\r\n\r\n${body}`);
      await once(socket, 'close');
    }
    const whole = await report({ source: 'cut', sequence: 1, userId: 'bob' }, []);
    expect([whole, await usedGpu()]).toEqual([nothing, used]);
  });

  it('counts what runs, whatever the limits are, and leaves what no resource stands for alone', async () => {
    await made('alice', 'PUT', '/v1/projects/GOV1/members/bob/quotas/container-compute/gpu', { limit: 100 });
    const id = uuidV7();
    await made('bob', 'POST', '/v1/projects/GOV1/allocations', { id, userId: 'bob', items: gpu(50) });
    const about = { source: 'bob', userId: 'bob', observedAt: now() };
    expect(await report({ ...about, sequence: 1 }, [seen('over/1', 'bob', gpu(5_000))])).toMatchObject({
      adopted: [{ resourceRef: 'over/1', before: [], after: gpu(5_000) }],
      removed: [],
    });
    const { services } = (await made('bob', 'GET', '/v1/projects/GOV1/quotas/me')).body as OwnQuotasView;
    expect(services[0]?.resources.find(({ resource }) => resource === 'gpu')).toMatchObject({
      used: 5_050,
      available: 0,
      over: true,
    });
  });

  it('that passes more limits than one append can tell of goes in smaller parts', async () => {
    const cpu = [{ service: 'virtual-compute', resource: 'cpu', amount: 2 }];
    await made('alice', 'PUT', '/v1/projects/GOV1/member-default-quotas/virtual-compute/cpu', {
      limit: 1,
      force: true,
    });
    const usage = Array.from({ length: 1_200 }, (_, n) => seen(`limits/${n}`, `guest-${n}`, cpu));
    const about = { source: 'limits', sequence: 1, resources: [{ service: 'virtual-compute', resource: 'cpu' }] };
    expect((await report(about, usage)).adopted).toHaveLength(1_200);
  });

  it('are taken from services and the platform’s administrators alone', async () => {
    const file = fileOf({ sequence: 99 }, []);
    const statuses: Record<string, number> = {};
    for (const who of ['bob', 'alice', 'olga', 'ada', 'eve']) {
      const { status } = await call(who, 'POST', path, file);
      statuses[who] = status;
    }
    expect(statuses).toEqual({ bob: 403, alice: 403, olga: 403, ada: 403, eve: 404 });
    expect((await call('root', 'POST', path, fileOf({ source: 'r', sequence: 1, userId: 'nobody' }, []))).status).toBe(
      200,
    );
  });
});

const codeOf = ({ body }: { readonly body: unknown }): unknown => (body as { code?: unknown }).code;
const refOf = ({ resourceRef }: { readonly resourceRef: string }): string => resourceRef;

import { status as rpcCode } from '@grpc/grpc-js';
import { v7 as uuidV7 } from 'uuid';
import { GrpcServer } from '#libs/platform';
import { type Called, GrpcClient, type GrpcMessage } from '../../../libs/testing/src/grpc-client.js';
import { InProcessSteward } from '../../../libs/testing/src/in-process-steward.js';
import { aQuotaWorld, GPU } from './testing/quota-world.js';

let steward: InProcessSteward;
let client: GrpcClient;

beforeAll(async () => {
  steward = await InProcessSteward.start();
  await aQuotaWorld(steward);
  const port = await steward.app.get(GrpcServer, { strict: false }).listen(0, '127.0.0.1');
  client = GrpcClient.of(port, 'quotas.proto', 'QuotaService', { defaults: true, oneofs: false });
});

afterAll(async () => {
  client.close();
  await steward.app.get(GrpcServer, { strict: false }).drain(1_000);
  await steward.stop();
});

const as = (who: string, headers: Record<string, string> = {}): Record<string, string> => ({
  authorization: `Bearer ${steward.tokens[who] ?? ''}`,
  ...headers,
});

const call = (who: string, method: string, request: object, headers?: Record<string, string>): Promise<Called> =>
  client.call(method, request, as(who, headers));

const ok = async (
  who: string,
  method: string,
  request: object,
  headers?: Record<string, string>,
): Promise<GrpcMessage> => {
  const called = await call(who, method, request, headers);
  if (called.code !== 'OK') throw new Error(`${method}: ${called.code} ${JSON.stringify(called.answer)}`);
  return called.answer;
};

const projectId = 'GOV1';
const [service = '', resource = ''] = GPU.split('/');
const gpu = (amount: number) => [{ service, resource, amount }];
const named = { projectId, service, resource };

describe('quotas over gRPC', () => {
  it('a reservation lives its life under limits, and a denial names every violation', async () => {
    const ofProject = await call('olga', 'setQuota', { ...named, limit: { amount: 3_000 }, reason: 'a new rack' });
    expect(ofProject).toMatchObject({ code: 'OK', answer: { limit: { amount: 3_000 }, source: 'set' } });
    expect(ofProject.trailers.get('etag')).toEqual(['"2"']);
    expect(ofProject.trailers.get('steward-position')).toHaveLength(1);
    expect((await call('alice', 'setQuota', { ...named, limit: { amount: 1 } })).code).toBe('PERMISSION_DENIED');
    const ofBob = { ...named, userId: 'bob' };
    await ok('alice', 'setQuota', { ...ofBob, limit: { amount: 2_000 } });
    const stale = await call('alice', 'setQuota', { ...ofBob, limit: { amount: 1 } }, { 'if-match': '"1"' });
    expect(stale.code).toBe('ABORTED');
    expect(await ok('bob', 'getQuota', ofBob)).toMatchObject({ effective: { amount: 2_000 }, revision: 3 });
    expect((await call('bob', 'getQuota', { ...named, userId: 'carol' })).code).toBe('PERMISSION_DENIED');

    const id = uuidV7();
    const wish = { projectId, id, userId: 'bob', items: gpu(1_500), labels: { team: 'ingest' } };
    expect(await ok('bob', 'reserve', wish)).toMatchObject({
      reservation: { id, status: 'open', ttlSeconds: 900, labels: { team: 'ingest' } },
      replayed: false,
    });
    expect(await ok('bob', 'reserve', wish)).toMatchObject({ reservation: { id }, replayed: true });
    expect((await call('bob', 'reserve', { ...wish, items: gpu(1) })).code).toBe('FAILED_PRECONDITION');
    expect(await ok('bob', 'extendReservation', { projectId, id, ttlSeconds: 3_600 })).toMatchObject({
      status: 'open',
    });
    expect(await ok('bob', 'getReservation', { projectId, id })).toMatchObject({ items: gpu(1_500) });
    expect(await ok('bob', 'commitReservation', { projectId, id, items: gpu(1_000) })).toMatchObject({
      status: 'live',
      returned: gpu(500),
    });

    const denied = await call('bob', 'reserve', { projectId, id: uuidV7(), userId: 'bob', items: gpu(2_500) });
    expect(denied.code).toBe('RESOURCE_EXHAUSTED');
    expect(denied.answer['details']).toMatch(/of the project: 2500 asked, 2000 left.*of bob: 2500 asked, 1000 left/);
    const details = Buffer.concat(denied.trailers.get('grpc-status-details-bin') as Buffer[]).toString('latin1');
    for (const told of ['QUOTA_EXCEEDED', 'google.rpc.QuotaFailure', 'user:bob', '2500 asked, 1000 left', '2000 left'])
      expect(details).toContain(told);

    const checked = await ok('bob', 'reserve', { ...wish, id: uuidV7(), items: gpu(300), mode: 'CHECK_ONLY' });
    expect(checked).toMatchObject({ check: { allowed: true, fits: { amount: 3 } } });
    const own = (await ok('bob', 'getOwnQuotas', { projectId, service })) as {
      services: { resources: GrpcMessage[] }[];
    };
    expect(own.services[0]?.resources.find((row) => row['resource'] === resource)).toMatchObject({
      limit: { amount: 2_000 },
      used: 1_000,
      available: { amount: 1_000 },
    });
    expect((await call('bob', 'getQuotas', { projectId })).code).toBe('PERMISSION_DENIED');
    expect((await call('eve', 'getQuotas', { projectId })).code).toBe('NOT_FOUND');
    expect(await ok('alice', 'getQuotas', { projectId })).toMatchObject({ services: { length: 2 } });
    expect(await ok('bob', 'releaseAllocation', { projectId, id })).toMatchObject({ status: 'released' });
    await ok('alice', 'clearQuota', ofBob);
    expect((await call('alice', 'clearQuota', ofBob)).code).toBe('NOT_FOUND');

    expect(await ok('alice', 'listQuotaChanges', { projectId, userId: 'bob' })).toMatchObject({
      data: [
        { kind: 'cleared', before: { amount: 2_000 }, after: { inherit: true }, actor: { id: 'alice' } },
        { kind: 'set', before: { inherit: true }, after: { amount: 2_000 } },
      ],
    });
    const { series } = await ok('bob', 'getUsageHistory', { ...named, userId: 'bob' });
    expect(series).toMatchObject([{ resource, unit: 'milliGpu' }]);
    expect((series as { buckets: GrpcMessage[] }[])[0]?.buckets.at(-1)).toMatchObject({ used: 0, usedMax: 1_000 });
    expect((await call('bob', 'getUsageHistory', named)).code).toBe('PERMISSION_DENIED');
  });

  it('many at once: each reservation by itself, limits all or none', async () => {
    const [good, bad] = [uuidV7(), uuidV7()];
    const of = (id: string, amount: number) => ({ id, userId: 'bob', items: gpu(amount) });
    const { results } = await ok('bob', 'reserveBatch', { projectId, reservations: [of(good, 1), of(bad, 9_999)] });
    expect(results).toMatchObject([
      { id: good, status: 'done', reservation: { status: 'open' } },
      { id: bad, status: 'refused', code: 'QUOTA_EXCEEDED', violations: [{ limit: { amount: 3_000 } }] },
    ]);
    await ok('bob', 'releaseReservation', { projectId, id: good });
    const item = { userId: 'carol', service, resource, limit: { amount: 5 } };
    const limits = { projectId, items: [item], dryRun: true };
    expect(await ok('alice', 'bulkSetQuotas', limits)).toMatchObject({
      results: [{ limit: { limit: { amount: 5 } } }],
    });
    const both = { ...item, scope: 'project' };
    expect((await call('olga', 'bulkSetQuotas', { projectId, items: [both] })).code).toBe('INVALID_ARGUMENT');
    expect(await ok('carol', 'getQuota', { ...named, userId: 'carol' })).toMatchObject({ limit: { inherit: true } });
  });

  it('allocations, the policy, a freeze and the catalogue', async () => {
    const id = uuidV7();
    const allocation = { projectId, id, userId: 'bob', items: gpu(10), resourceRef: 'vm/1' };
    expect(await ok('bob', 'allocate', allocation)).toMatchObject({ allocation: { status: 'live' } });
    expect(await ok('bob', 'resizeAllocation', { projectId, id, items: gpu(5) })).toMatchObject({
      allocation: { items: gpu(5) },
    });
    expect(await ok('bob', 'listAllocations', { projectId, resourceRef: 'vm/1' })).toMatchObject({ data: [{ id }] });
    await ok('olga', 'freezeQuotas', { projectId, mode: 'hold' });
    expect((await call('bob', 'allocate', { ...allocation, id: uuidV7() })).code).toBe('FAILED_PRECONDITION');
    expect(await ok('olga', 'unfreezeQuotas', { projectId })).toMatchObject({ overcommit: 'shared' });
    expect(await ok('bob', 'releaseAllocation', { projectId, resourceRef: 'vm/1' })).toMatchObject({ id });
    expect(await ok('olga', 'setQuotaPolicy', { projectId, overcommit: 'shared' })).toMatchObject({ closed: false });
    expect((await call('alice', 'getQuotaPolicy', { projectId })).code).toBe('OK');
    const disk = { service: 'object-storage', resource: 'bytes', unit: 'byte', defaultMemberLimit: { amount: 9 } };
    expect((await call('olga', 'setCatalogueResource', disk)).code).toBe('PERMISSION_DENIED');
    expect(await ok('root', 'setCatalogueResource', disk)).toMatchObject({
      defaultProjectLimit: { unlimited: true },
      defaultMemberLimit: { amount: 9 },
    });
    expect(await ok('bob', 'getCatalogue', {})).toMatchObject({ revision: 1, services: { length: 3 } });
  });

  it('wrong fields are named as over HTTP', async () => {
    const wrong: [method: string, request: object, detail: string][] = [
      ['reserve', { projectId, userId: 'bob', items: [{ service, resource }] }, 'request.id is required'],
      [
        'reserve',
        { projectId, id: uuidV7(), userId: 'bob', items: [{ service, resource, amount: 0 }] },
        'leave it out',
      ],
      ['setQuota', { ...named }, 'request.limit is required'],
      ['setQuota', { ...named, scope: 'member', limit: { amount: 1 } }, 'request.userId is required'],
      ['getQuotas', { projectId, service: 'x'.repeat(64) }, 'request.service must have'],
    ];
    for (const [method, request, detail] of wrong) {
      const { code, answer } = await call('root', method, request);
      expect([method, code]).toEqual([method, 'INVALID_ARGUMENT']);
      expect(answer['details']).toContain(detail);
    }
  });

  describe('a report', () => {
    const header = (sequence: number, more: object = {}) => ({
      projectId,
      header: { source: 'grpc', observedAt: new Date().toISOString(), sequence, ...more },
    });
    const line = (resourceRef: string, amount = 1) => ({
      resource: { resourceRef, userId: 'bob', items: gpu(amount) },
    });
    const send = (who: string, messages: readonly object[], headers?: Record<string, string>): Promise<Called> =>
      client.send('reconcile', messages, as(who, headers));

    it('comes as a stream, and the same again is answered as before', async () => {
      const report = [header(1), line('grpc/1'), line('grpc/2', 7)];
      const first = await send('compute', report);
      expect(first).toMatchObject({
        code: 'OK',
        answer: { adopted: [{ resourceRef: 'grpc/1', before: [], after: gpu(1) }, { resourceRef: 'grpc/2' }] },
      });
      expect((await send('compute', report)).answer).toEqual(first.answer);
      expect((await send('compute', [header(1), line('grpc/1')])).code).toBe('FAILED_PRECONDITION');
      expect(await send('compute', [header(2, { userId: 'bob', entries: 1 }), line('grpc/1')])).toMatchObject({
        answer: { removed: [{ resourceRef: 'grpc/2', after: [] }] },
      });
    });

    it('is refused with every wrong message, from whoever may not report, and with an idempotency-key', async () => {
      const codes = async (...sent: Parameters<typeof send>) => (await send(...sent)).code;
      const wrong = await send('compute', [header(3), line('grpc/1'), { header: {} }, line('grpc/3', 0)]);
      expect([wrong.code, wrong.answer['details']]).toEqual([
        'INVALID_ARGUMENT',
        'Line 3: The message must have a resource.',
      ]);
      expect(await codes('compute', [])).toBe('NOT_FOUND');
      expect(await codes('alice', [header(3)])).toBe('PERMISSION_DENIED');
      expect(await codes('eve', [header(3)])).toBe('NOT_FOUND');
      expect(await codes('nobody', [header(3)])).toBe('UNAUTHENTICATED');
      expect(await codes('compute', [header(3)], { 'idempotency-key': 'k' })).toBe('INVALID_ARGUMENT');
    });

    it('that breaks off changes nothing', async () => {
      const done = new Promise<string>((resolve) => {
        const stream = client.open('reconcile', as('compute'), (error) => {
          resolve(rpcCode[error?.code ?? 0] ?? '');
        });
        stream.write(header(4, { userId: 'bob' }), () => {
          stream.cancel();
        });
      });
      expect(await done).toBe('CANCELLED');
      expect((await send('compute', [header(5, { userId: 'bob', dryRun: true })])).answer).toMatchObject({
        removed: [{ resourceRef: 'grpc/1' }],
      });
    });
  });
});

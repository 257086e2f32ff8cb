import { v7 as uuidV7 } from 'uuid';
import { InProcessSteward } from '../../../libs/testing/src/in-process-steward.js';
import type { OwnQuotasView, ProjectQuotasView, RowView } from './quotas.views.js';
import { aQuotaWorld, gpu, limitPath, reservations, wish } from './testing/quota-world.js';

let steward: InProcessSteward;
const call: InProcessSteward['call'] = (...request) => steward.call(...request);
const made: InProcessSteward['made'] = (...request) => steward.made(...request);

beforeAll(async () => {
  steward = await InProcessSteward.start();
  await aQuotaWorld(steward);
});
afterAll(() => steward.stop());

async function ownGpu(who: string): Promise<RowView | undefined> {
  const answer = await made(who, 'GET', '/v1/projects/GOV1/quotas/me');
  const { services } = answer.body as OwnQuotasView;
  return services.find(({ service }) => service === 'container-compute')?.resources.find((r) => r.resource === 'gpu');
}

describe('quotas over HTTP', () => {
  it('are set by owner and admin, reserved, committed, denied with every violation, and seen', async () => {
    const ofProject = await call('olga', 'PUT', limitPath(), { limit: 10_000, reason: 'the new rack' });
    expect(ofProject.status).toBe(200);
    expect(ofProject.headers.get('etag')).toBe('"2"');
    expect((await call('alice', 'PUT', limitPath(), { limit: 1 })).status).toBe(403);
    const ofBob = await call('alice', 'PUT', limitPath('bob'), { limit: 4_000 });
    expect(ofBob.status).toBe(200);
    expect(ofBob.body).toMatchObject({ limit: 4_000, effective: 4_000, source: 'set', revision: 3 });

    const reserved = await call('bob', 'POST', reservations, wish(3_000));
    expect(reserved.status).toBe(201);
    const { id } = reserved.body as { id: string };
    const committed = await call('bob', 'POST', `${reservations}/${id}/commit`, { items: gpu(2_500) });
    expect(committed.status).toBe(200);
    expect(committed.body).toMatchObject({ status: 'live', items: gpu(2_500), returned: gpu(500) });

    const denied = await call('bob', 'POST', reservations, wish(2_000));
    expect(denied.status).toBe(409);
    expect(denied.body).toMatchObject({
      code: 'QUOTA_EXCEEDED',
      violations: [
        {
          scope: { type: 'member', userId: 'bob' },
          service: 'container-compute',
          resource: 'gpu',
          limit: 4_000,
          used: 2_500,
          reserved: 0,
          requested: 2_000,
          available: 1_500,
        },
      ],
    });
    expect(await ownGpu('bob')).toEqual({
      resource: 'gpu',
      unit: 'milliGpu',
      limit: 4_000,
      soft: null,
      used: 2_500,
      reserved: 0,
      available: 1_500,
      source: 'set',
      over: false,
      revision: 3,
    });
    expect((await call('bob', 'GET', '/v1/projects/GOV1/quotas')).status).toBe(403);
    expect((await call('bob', 'GET', limitPath('carol'))).status).toBe(403);
    expect((await call('bob', 'GET', '/v1/projects/X1/quotas')).status).toBe(404);
    expect((await call('eve', 'GET', '/v1/projects/GOV1/quotas')).status).toBe(404);
    expect((await call('eve', 'POST', reservations, wish(1))).status).toBe(404);
  });

  it('shows the whole project and every member, with zero rows, in one answer', async () => {
    const page = await made('alice', 'GET', '/v1/projects/GOV1/quotas');
    const { services, position } = page.body as ProjectQuotasView;
    expect(page.headers.get('steward-position')).toBe(position);
    expect(services.map(({ service }) => service)).toEqual(['container-compute', 'virtual-compute']);
    const [container, virtual] = services;
    expect(container?.project).toMatchObject([
      { resource: 'cpu', limit: 'unlimited', used: 0 },
      { resource: 'gpu', limit: 10_000, used: 2_500, available: 7_500, over: false },
      { resource: 'memory', unit: 'MiB' },
    ]);
    expect(container?.members).toMatchObject([
      { userId: 'alice', displayName: 'Alice', role: 'tenant_admin' },
      { userId: 'bob', displayName: null, role: 'tenant_user' },
      { userId: 'carol', role: 'tenant_user' },
    ]);
    expect(virtual?.members[2]?.resources).toHaveLength(5);
    const one = await made('alice', 'GET', '/v1/projects/GOV1/quotas?service=virtual-compute');
    expect((one.body as ProjectQuotasView).services).toHaveLength(1);
  });

  it('keep the limit’s own ETag while reservations move the stream', async () => {
    const path = limitPath('carol');
    const { headers } = await made('alice', 'PUT', path, { limit: 1_000 });
    const etag = headers.get('etag') ?? '';
    await made('compute', 'POST', reservations, wish(10));
    expect((await made('alice', 'GET', path)).headers.get('etag')).toBe(etag);
    expect((await call('alice', 'PUT', path, { limit: 2 }, { 'if-match': '"1"' })).status).toBe(412);
    expect((await call('alice', 'PUT', path, { limit: 2 }, { 'if-match': etag })).status).toBe(200);
    expect((await call('alice', 'DELETE', path)).body).toMatchObject({ limit: 'inherit', source: 'catalogue' });
    expect((await call('alice', 'DELETE', path)).body).toMatchObject({ code: 'NOT_SET' });
    expect((await call('alice', 'PUT', limitPath('nobody'), { limit: 1 })).body).toMatchObject({
      code: 'MEMBER_UNKNOWN',
    });
  });

  it('answer a repeated request as it was answered, and another body under its key with 422', async () => {
    const path = '/v1/projects/GOV1/member-default-quotas/container-compute/cpu';
    const headers = { 'idempotency-key': 'default-cpu' };
    const first = await call('alice', 'PUT', path, { limit: 5 }, headers);
    await made('alice', 'PUT', path, { limit: 7 });
    const again = await call('alice', 'PUT', path, { limit: 5 }, headers);
    expect([again.status, again.body]).toEqual([first.status, first.body]);
    expect((await call('alice', 'PUT', path, { limit: 6 }, headers)).body).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
    });
    expect((await made('alice', 'GET', path)).body).toMatchObject({ limit: 7 });
  });

  it('are reserved for oneself, by admins and services for any member, and only with access to the service', async () => {
    expect((await call('bob', 'POST', reservations, wish(1, 'carol'))).status).toBe(403);
    expect((await call('alice', 'POST', reservations, wish(1, 'carol'))).body).toMatchObject({
      code: 'SERVICE_NOT_GRANTED',
    });
    expect((await call('olga', 'POST', reservations, wish(1))).status).toBe(403);
    const { id } = (await made('compute', 'POST', reservations, wish(1))).body as { id: string };
    expect((await call('carol', 'POST', `${reservations}/${id}/release`)).status).toBe(403);
    expect((await call('carol', 'GET', `${reservations}/${id}`)).status).toBe(403);
    expect((await made('carol', 'GET', reservations)).body).toMatchObject({ data: [] });
    expect((await made('bob', 'POST', `${reservations}/${id}/release`)).body).toMatchObject({ status: 'released' });
    expect((await call('bob', 'POST', reservations, wish(1, 'bob', { mode: 'FORCE' }))).status).toBe(403);
    expect((await call('compute', 'POST', reservations, wish(1, 'bob', { mode: 'FORCE' }))).status).toBe(201);
    await made('alice', 'POST', '/v1/projects/GOV1/members/bob/suspend');
    expect((await call('compute', 'POST', reservations, wish(1))).body).toMatchObject({ code: 'MEMBER_SUSPENDED' });
    await made('alice', 'POST', '/v1/projects/GOV1/members/bob/resume');
  });

  it('are allocated, resized and released by resourceRef, frozen, checked and set in bulk', async () => {
    const allocations = '/v1/projects/GOV1/allocations';
    const wished = { id: uuidV7(), userId: 'bob', items: gpu(100), resourceRef: 'vm-1' };
    expect((await call('bob', 'POST', allocations, wished)).status).toBe(201);
    expect((await call('bob', 'POST', allocations, wished)).status).toBe(200);
    expect((await made('bob', 'POST', `${allocations}/${wished.id}/resize`, { items: gpu(50) })).body).toMatchObject({
      items: gpu(50),
    });
    expect((await made('bob', 'GET', `${allocations}?resourceRef=vm-1`)).body).toMatchObject({
      data: [{ id: wished.id, items: gpu(50) }],
    });
    expect((await made('bob', 'DELETE', `${allocations}?resourceRef=vm-1`)).body).toMatchObject({ status: 'released' });
    expect((await call('bob', 'POST', reservations, wish(9_999, 'bob', { mode: 'CHECK_ONLY' }))).body).toMatchObject({
      allowed: false,
      fits: 0,
    });
    await made('olga', 'POST', '/v1/projects/GOV1/quotas/freeze', { mode: 'hold' });
    expect((await call('bob', 'POST', reservations, wish(1))).status).toBe(423);
    await made('olga', 'POST', '/v1/projects/GOV1/quotas/unfreeze');
    const item = { userId: 'carol', service: 'container-compute', resource: 'memory', limit: 5 };
    const bulk = '/v1/projects/GOV1/quotas/bulk';
    await made('alice', 'POST', bulk, { items: [item], dryRun: true });
    const path = '/v1/projects/GOV1/members/carol/quotas/container-compute/memory';
    expect((await made('carol', 'GET', path)).body).toMatchObject({ limit: 'inherit' });
    await made('alice', 'POST', bulk, { items: [item] });
    expect((await made('carol', 'GET', path)).body).toMatchObject({ limit: 5 });
    const ofProject = { service: 'container-compute', resource: 'memory', limit: 5 };
    expect((await call('alice', 'POST', bulk, { items: [ofProject] })).status).toBe(403);
    expect((await call('bob', 'POST', bulk, { items: [item] })).status).toBe(403);
  });

  it('batch: each reservation by itself', async () => {
    const [good, bad] = [wish(1), wish(9_999)];
    const answer = await made('bob', 'POST', `${reservations}/batch`, { reservations: [good, bad] });
    expect(answer.body).toMatchObject({
      results: [
        { id: good.id, status: 'done', reservation: { status: 'open' } },
        { id: bad.id, status: 'refused', code: 'QUOTA_EXCEEDED', violations: [{}, {}] },
      ],
    });
  });

  it('count in services and resources that an operator adds', async () => {
    const path = '/v1/catalogue/services/object-storage/resources/bytes';
    expect((await call('olga', 'PUT', path, { unit: 'byte' })).status).toBe(403);
    expect((await call('root', 'PUT', path, { unit: 'byte', defaultMemberLimit: 9 })).headers.get('etag')).toBe('"1"');
    expect((await made('bob', 'GET', '/v1/catalogue')).body).toMatchObject({
      revision: 1,
      services: [{}, { service: 'object-storage' }, {}],
    });
    expect((await call('root', 'PUT', path, { unit: 'GiB' })).body).toMatchObject({ code: 'UNIT_FIXED' });
  });
});

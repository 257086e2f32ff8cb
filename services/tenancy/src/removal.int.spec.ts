import { type Answer, type CallOptions, startTenancy, type TenancyApp } from './testing/tenancy-app.js';

let tenancy: TenancyApp;

beforeAll(async () => {
  tenancy = await startTenancy();
});

afterAll(async () => {
  await tenancy.stop();
});

const call = (method: string, path: string, options?: CallOptions): Promise<Answer> =>
  tenancy.call(method, path, options);

/** A project of the tenant, made with it if need be, and its members by role. */
async function aProject(tenant: string, name: string, members: Record<string, string>): Promise<string> {
  await call('POST', '/v1/tenants', { body: { id: tenant, name: tenant } });
  expect(await call('POST', `/v1/tenants/${tenant}/projects`, { body: { id: name, name } })).toMatchObject({
    status: 201,
  });
  for (const [userId, role] of Object.entries(members))
    expect(await call('PUT', `/v1/projects/${name}/members/${userId}`, { body: { role } })).toMatchObject({
      status: 201,
    });
  return `/v1/projects/${name}`;
}

const eventsOf = async (stream: string) =>
  (await tenancy.storage.store.readStream(stream)).map((event) => tenancy.storage.codec.decode(event));

describe('service access over HTTP', () => {
  it('is granted and revoked by the tenant admin, and shown with the member', async () => {
    const at = await aProject('t1', 'GOV31', { adam: 'tenant_admin', alice: 'tenant_user' });
    const path = `${at}/members/alice/services/container-compute`;
    const as = 'user:adam@GOV31';
    expect(await call('PUT', path, { as })).toMatchObject({
      status: 200,
      headers: { etag: '"4"' },
      body: { userId: 'alice', services: ['container-compute'], version: 4 },
    });
    expect(await call('PUT', path, { as })).toMatchObject({ status: 200, body: { version: 4 } });
    await call('PUT', `${at}/members/alice/services/a-service`, { as });
    const services = ['a-service', 'container-compute'];
    expect((await call('GET', `${at}/members/alice`)).body).toMatchObject({ services });
    expect((await call('GET', `${at}/members?q=alice`)).body).toMatchObject({ data: [{ services, version: 5 }] });
    expect(await call('DELETE', path, { as, headers: { 'if-match': '"4"' } })).toMatchObject({ status: 412 });
    expect(await call('DELETE', path, { as })).toMatchObject({ status: 204, headers: { etag: '"6"' } });
    expect(await call('DELETE', path, { as })).toMatchObject({ status: 204 });
    expect((await call('GET', `${at}/members?q=alice`)).body).toMatchObject({ data: [{ services: ['a-service'] }] });
    expect((await eventsOf('project-GOV31')).slice(3).map(({ type, data }) => [type, data])).toEqual([
      ['ServiceAccessGranted', { userId: 'alice', service: 'container-compute' }],
      ['ServiceAccessGranted', { userId: 'alice', service: 'a-service' }],
      ['ServiceAccessRevoked', { userId: 'alice', service: 'container-compute' }],
    ]);
  });

  it('is refused for nobody, by a tenant user, and for what is no service', async () => {
    const at = await aProject('t1', 'GOV32', { alice: 'tenant_user' });
    expect(await call('PUT', `${at}/members/nobody/services/storage`)).toMatchObject({ status: 404 });
    expect(await call('PUT', `${at}/members/alice/services/storage`, { as: 'user:alice@GOV32' })).toMatchObject({
      status: 403,
    });
    expect(await call('PUT', `${at}/members/alice/services/Not%20One`)).toMatchObject({
      status: 400,
      body: { errors: [{ location: 'path.service' }] },
    });
    expect(await call('PUT', `${at}/members/alice/services/storage`, { body: { level: 1 } })).toMatchObject({
      status: 400,
    });
  });
});

describe('the removal of a member over HTTP', () => {
  it('is answered once, and the member is found no more', async () => {
    const at = await aProject('t2', 'GOV41', { adam: 'tenant_admin', alice: 'tenant_user' });
    const headers = { 'idempotency-key': 'remove-alice' };
    const as = 'user:adam@GOV41';
    const removed = await call('DELETE', `${at}/members/alice`, { as, headers });
    expect(removed).toMatchObject({ status: 204, body: {} });
    expect(await call('DELETE', `${at}/members/alice`, { as, headers })).toMatchObject({
      status: 204,
      headers: { 'steward-position': removed.headers['steward-position'] },
    });
    expect(await call('DELETE', `${at}/members/alice`, { as })).toMatchObject({ status: 404 });
    expect(await call('GET', `${at}/members/alice`)).toMatchObject({ status: 404 });
    expect((await call('GET', `${at}/members`)).body).toMatchObject({ data: [{ userId: 'adam' }] });
    expect((await eventsOf('project-GOV41')).at(-1)).toMatchObject({
      type: 'MemberRemoved',
      data: { userId: 'alice', disposition: 'block', to: null },
    });
  });

  it('needs the rights of an admin, and does not exist across tenants', async () => {
    const at = await aProject('t2', 'GOV42', { alice: 'tenant_user', bob: 'tenant_user' });
    await aProject('t3', 'GOV43', { eve: 'tenant_admin' });
    expect(await call('DELETE', `${at}/members/bob`, { as: 'user:alice@GOV42' })).toMatchObject({ status: 403 });
    expect(await call('DELETE', `${at}/members/bob`, { as: 'user:eve@GOV43' })).toMatchObject({ status: 404 });
  });

  it('blocks while the member holds something, leaves it as it is, or gives it to another', async () => {
    const at = await aProject('t2', 'GOV44', { alice: 'tenant_user', bob: 'tenant_user', carol: 'tenant_user' });
    tenancy.usage.holders.add('GOV44/alice').add('GOV44/carol');
    tenancy.usage.full.add('GOV44/carol');
    expect(await call('DELETE', `${at}/members/alice`)).toMatchObject({
      status: 409,
      body: { code: 'MEMBER_HAS_USAGE' },
    });
    expect(await call('DELETE', `${at}/members/alice?disposition=transfer&to=carol`)).toMatchObject({
      status: 409,
      body: { code: 'TARGET_OVER_QUOTA' },
    });
    expect(await call('DELETE', `${at}/members/alice?disposition=transfer&to=eve`)).toMatchObject({
      status: 422,
      body: { code: 'MEMBER_UNKNOWN' },
    });
    expect(await call('DELETE', `${at}/members/alice?disposition=transfer&to=bob`)).toMatchObject({ status: 204 });
    expect(await call('DELETE', `${at}/members/carol?disposition=orphan`)).toMatchObject({ status: 204 });
    expect((await eventsOf('project-GOV44')).slice(-2).map(({ data }) => data)).toEqual([
      { userId: 'alice', disposition: 'transfer', to: 'bob' },
      { userId: 'carol', disposition: 'orphan', to: null },
    ]);
  });

  it.each([
    ['disposition=transfer', 'query.to'],
    ['disposition=orphan&to=bob', 'query.to'],
    ['to=bob', 'query.to'],
    ['disposition=forget', 'query.disposition'],
    ['force=true', 'query.force'],
  ])('names the fault of %s', async (query, location) => {
    expect(await call('DELETE', `/v1/projects/GOV44/members/bob?${query}`)).toMatchObject({
      status: 400,
      body: { code: 'VALIDATION', errors: [{ location }] },
    });
  });
});

describe('offboarding over HTTP', () => {
  const offboard = (tenant: string, userId: string, options?: CallOptions): Promise<Answer> =>
    call('POST', `/v1/tenants/${tenant}/users/${userId}/offboard`, options);

  it('removes the user from every open project of the tenant in one chain, and from no other tenant', async () => {
    for (const project of ['GOV51', 'GOV52', 'GOV53']) await aProject('t5', project, { alice: 'tenant_user' });
    await aProject('t6', 'GOV61', { alice: 'tenant_user' });
    await call('POST', '/v1/projects/GOV53/close');
    await call('PUT', '/v1/principals/olga', { body: { type: 'user', role: 'tenant_owner', tenantId: 't5' } });
    const options = { as: 'user:olga', body: { comment: 'left the company' }, headers: { 'idempotency-key': 'off' } };
    const answer = await offboard('t5', 'alice', options);
    expect(answer).toMatchObject({
      status: 200,
      body: {
        tenantId: 't5',
        userId: 'alice',
        results: [
          { projectId: 'GOV51', status: 204 },
          { projectId: 'GOV52', status: 204 },
        ],
      },
    });
    const removals = [...(await eventsOf('project-GOV51')), ...(await eventsOf('project-GOV52'))].filter(
      ({ type }) => type === 'MemberRemoved',
    );
    expect(removals.map(({ correlationId }) => correlationId)).toEqual([
      answer.body['correlationId'],
      answer.body['correlationId'],
    ]);
    expect(await offboard('t5', 'alice', options)).toMatchObject({ status: 200, body: answer.body });
    expect(await offboard('t5', 'alice')).toMatchObject({ status: 200, body: { results: [] } });
    expect(await call('GET', '/v1/projects/GOV61/members/alice')).toMatchObject({ status: 200 });
  });

  it('removes from none while one project refuses, and names those that do', async () => {
    for (const project of ['GOV71', 'GOV72']) await aProject('t7', project, { dora: 'tenant_user' });
    tenancy.usage.holders.add('GOV71/dora').add('GOV72/dora');
    expect(await offboard('t7', 'dora')).toMatchObject({
      status: 409,
      body: {
        code: 'MEMBER_HAS_USAGE',
        errors: [{ location: 'projects.GOV71' }, { location: 'projects.GOV72' }],
      },
    });
    expect(await call('GET', '/v1/projects/GOV71/members/dora')).toMatchObject({ status: 200 });
    expect(await offboard('t7', 'dora', { body: { disposition: 'orphan' } })).toMatchObject({
      status: 200,
      body: { results: [{ status: 204 }, { status: 204 }] },
    });
  });

  it('is for the owner of the tenant, and knows no stranger', async () => {
    await aProject('t8', 'GOV81', { adam: 'tenant_admin', alice: 'tenant_user' });
    expect(await offboard('t8', 'alice', { as: 'user:adam@GOV81' })).toMatchObject({ status: 403 });
    expect(await offboard('t8', 'alice', { as: 'user:olga' })).toMatchObject({ status: 404 });
    expect(await offboard('t8', 'stranger')).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
  });
});

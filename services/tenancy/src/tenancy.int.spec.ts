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
const post = (path: string, body?: unknown, options?: CallOptions) => call('POST', path, { ...options, body });
const put = (path: string, body: unknown, options?: CallOptions) => call('PUT', path, { ...options, body });

/** A tenant, a project of it, and its members by role. */
async function aProject(name: string, members: Record<string, string> = {}): Promise<{ tenant: string; at: string }> {
  const tenant = `tenant-${name}`;
  expect(await post('/v1/tenants', { id: tenant, name })).toMatchObject({ status: 201 });
  expect(await post(`/v1/tenants/${tenant}/projects`, { id: name, name })).toMatchObject({ status: 201 });
  for (const [userId, role] of Object.entries(members))
    expect(await put(`/v1/projects/${name}/members/${userId}`, { role })).toMatchObject({ status: 201 });
  return { tenant, at: `/v1/projects/${name}` };
}

const eventsOf = async (stream: string): Promise<string[]> =>
  (await tenancy.storage.store.readStream(stream)).map(({ type }) => type);

describe('a tenant over HTTP', () => {
  it('is created, answered with its version and position, and found again', async () => {
    const created = await post('/v1/tenants', { id: 'acme', name: 'Acme' });
    expect(created).toMatchObject({
      status: 201,
      headers: { etag: '"1"', 'steward-position': created.body.position },
      body: { id: 'acme', name: 'Acme', status: 'active', version: 1 },
    });
    expect((await call('GET', '/v1/tenants/acme')).body).toEqual(created.body);
    expect(await post('/v1/tenants', { id: 'acme', name: 'Other' })).toMatchObject({
      status: 409,
      body: { code: 'TENANT_EXISTS' },
    });
    expect(await call('GET', '/v1/tenants/nobody')).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
  });

  it('answers a repeated creation under its Idempotency-Key as it did', async () => {
    const headers = { 'idempotency-key': 'create-once' };
    const first = await post('/v1/tenants', { id: 'once', name: 'Once' }, { headers });
    const again = await post('/v1/tenants', { id: 'once', name: 'Once' }, { headers });
    expect(again).toMatchObject({ status: 201, body: first.body });
    expect(await post('/v1/tenants', { id: 'once', name: 'Twice' }, { headers })).toMatchObject({
      status: 422,
      body: { code: 'IDEMPOTENCY_MISMATCH' },
    });
  });

  it('is suspended and resumed, and while it is suspended nothing is added under it', async () => {
    const { tenant, at } = await aProject('GOV1', { alice: 'tenant_user' });
    expect(await post(`/v1/tenants/${tenant}/suspend`)).toMatchObject({ status: 200, body: { status: 'suspended' } });
    expect(await post(`/v1/tenants/${tenant}/suspend`)).toMatchObject({ status: 200, headers: { etag: '"2"' } });
    const refused = { status: 409, body: { code: 'TENANT_IS_SUSPENDED' } };
    expect(await post(`/v1/tenants/${tenant}/projects`, { id: 'GOV1b', name: 'b' })).toMatchObject(refused);
    expect(await put(`${at}/members/bob`, { role: 'tenant_user' })).toMatchObject(refused);
    expect(await put(`${at}/members/alice`, { role: 'tenant_admin' })).toMatchObject({ status: 200 });
    expect(await post(`/v1/tenants/${tenant}/resume`)).toMatchObject({ status: 200, body: { status: 'active' } });
    expect(await put(`${at}/members/bob`, { role: 'tenant_user' })).toMatchObject({ status: 201 });
  });

  it('refuses a change that rests on an older version, and an id that is a token', async () => {
    const { tenant } = await aProject('GOV9');
    const stale = { headers: { 'if-match': '"7"' } };
    expect(await call('POST', `/v1/tenants/${tenant}/suspend`, stale)).toMatchObject({
      status: 412,
      body: { code: 'VERSION_CONFLICT' },
    });
    const token = `stw_live_0123456789abcdef_${'A'.repeat(38)}`;
    for (const body of [
      { id: token, name: 'x' },
      { id: 'x', name: token },
    ]) {
      const answer = await post('/v1/tenants', body);
      expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION' } });
      expect(JSON.stringify(answer)).not.toContain('A'.repeat(38));
    }
  });
});

describe('a project over HTTP', () => {
  it('has a code that is taken on the whole platform', async () => {
    await aProject('GOV2');
    await post('/v1/tenants', { id: 'other', name: 'Other' });
    expect(await post('/v1/tenants/other/projects', { id: 'GOV2', name: 'Mine' })).toMatchObject({
      status: 409,
      body: { code: 'PROJECT_EXISTS' },
    });
  });

  it('is closed and then changed no more', async () => {
    const { at } = await aProject('GOV3', { alice: 'tenant_user' });
    const closed = await post(`${at}/close`);
    expect(closed).toMatchObject({ status: 200, body: { status: 'closed', version: 3 } });
    expect(await post(`${at}/close`)).toMatchObject({ status: 200, body: { status: 'closed', version: 3 } });
    expect(await put(`${at}/members/alice`, { role: 'tenant_admin' })).toMatchObject({
      status: 409,
      body: { code: 'PROJECT_CLOSED' },
    });
    expect((await call('GET', at)).body).toEqual(closed.body);
  });
});

describe('a key policy over HTTP', () => {
  it.each(['/v1/tenants/tenant-GOV4', '/v1/projects/GOV4'])(
    '%s answers what was put, and nothing once removed',
    async (at) => {
      if (at.startsWith('/v1/tenants')) await aProject('GOV4');
      const path = `${at}/key-policy`;
      expect(await call('GET', path)).toMatchObject({ status: 404 });
      const policy = { maxLifetimeDays: 365, requireExpiry: true, warnDays: [30, 7, 1] };
      const set = await put(path, policy);
      expect(set).toMatchObject({ status: 200, body: policy });
      expect(await call('GET', path)).toMatchObject({
        status: 200,
        body: policy,
        headers: { etag: set.headers['etag'] },
      });
      expect(await put(path, policy)).toMatchObject({ headers: { etag: set.headers['etag'] } });
      expect(await put(path, { maxLifetimeDays: 0 })).toMatchObject({
        status: 400,
        body: { errors: [{ location: 'body.maxLifetimeDays' }] },
      });
      expect(await put(path, { defaultLifetimeDays: 9, maxLifetimeDays: 8 })).toMatchObject({
        status: 400,
        body: { errors: [{ location: 'body.defaultLifetimeDays' }] },
      });
      const match = { headers: { 'if-match': String(set.headers['etag']) } };
      expect(await put(path, { maxKeysPerOwner: 5 }, match)).toMatchObject({
        status: 200,
        body: { maxKeysPerOwner: 5 },
      });
      expect(await call('DELETE', path, match)).toMatchObject({ status: 412 });
      expect(await call('DELETE', path)).toMatchObject({ status: 204 });
      expect(await call('DELETE', path)).toMatchObject({ status: 204 });
      expect(await call('GET', path)).toMatchObject({ status: 404 });
    },
  );
});

describe('a member over HTTP', () => {
  it('is put, put again without an event, and changed field by field', async () => {
    const { at } = await aProject('GOV5');
    const alice = { role: 'tenant_user', displayName: 'Alice Ånström', email: 'alice@example.org' };
    const path = `${at}/members/alice`;
    const added = await put(path, alice);
    expect(added).toMatchObject({
      status: 201,
      headers: { etag: '"2"' },
      body: { projectId: 'GOV5', userId: 'alice', status: 'active', version: 2, ...alice },
    });
    expect(await put(path, alice)).toMatchObject({ status: 200, body: added.body });
    expect(await put(path, { role: 'tenant_admin' })).toMatchObject({
      status: 200,
      body: { ...alice, role: 'tenant_admin', version: 3 },
    });
    const changed = await put(path, { role: 'tenant_user', displayName: 'Al', email: null });
    expect(changed).toMatchObject({ body: { role: 'tenant_user', displayName: 'Al', email: null, version: 5 } });
    expect((await call('GET', path)).body).toEqual(changed.body);
    expect(await eventsOf('project-GOV5')).toEqual([
      'ProjectCreated',
      'MemberAdded',
      'MemberRoleChanged',
      'MemberRoleChanged',
      'MemberProfileChanged',
    ]);
  });

  it('is suspended and resumed with its own version', async () => {
    const { at } = await aProject('GOV6', { alice: 'tenant_user', bob: 'tenant_user' });
    const suspended = await call('POST', `${at}/members/alice/suspend`, { headers: { 'if-match': '"2"' } });
    expect(suspended).toMatchObject({ status: 200, body: { status: 'suspended', version: 4 } });
    expect(await call('POST', `${at}/members/alice/resume`, { headers: { 'if-match': '"2"' } })).toMatchObject({
      status: 412,
    });
    expect(await post(`${at}/members/alice/resume`)).toMatchObject({ body: { status: 'active' } });
    expect(await post(`${at}/members/nobody/suspend`)).toMatchObject({ status: 404 });
    expect(await call('GET', `${at}/members/nobody`)).toMatchObject({ status: 404 });
  });

  it('has no name left after the person was erased', async () => {
    const { at } = await aProject('GOV7');
    await put(`${at}/members/erin`, { role: 'tenant_user', displayName: 'Erin', email: 'erin@example.org' });
    await tenancy.storage.dataKeys.destroy(await tenancy.storage.dataKeys.standing('user:erin'));
    expect(await call('GET', `${at}/members/erin`)).toMatchObject({
      status: 200,
      body: { displayName: null, email: null },
    });
    expect(await put(`${at}/members/erin`, { role: 'tenant_user', displayName: null })).toMatchObject({
      body: { version: 2 },
    });
  });
});

describe('a principal over HTTP', () => {
  it('is registered, changes its role, and is removed for ever', async () => {
    const path = '/v1/principals/auditor-1';
    expect(await put(path, { type: 'user', role: 'auditor' })).toMatchObject({
      status: 201,
      body: { id: 'auditor-1', type: 'user', role: 'auditor', tenantId: null, status: 'active', version: 1 },
    });
    expect(await put(path, { type: 'user', role: 'auditor' })).toMatchObject({ status: 200, body: { version: 1 } });
    expect(await put(path, { type: 'service', role: 'auditor' })).toMatchObject({
      status: 409,
      body: { code: 'PRINCIPAL_EXISTS' },
    });
    expect(await put(path, { type: 'user', role: 'service' })).toMatchObject({
      status: 200,
      body: { role: 'service' },
    });
    expect(await call('DELETE', path)).toMatchObject({ status: 204 });
    expect(await call('DELETE', path)).toMatchObject({ status: 204 });
    expect(await call('GET', path)).toMatchObject({ status: 200, body: { status: 'removed' } });
    expect(await put(path, { type: 'user', role: 'auditor' })).toMatchObject({
      status: 409,
      body: { code: 'PRINCIPAL_REMOVED' },
    });
  });

  it('belongs to a tenant that exists', async () => {
    await aProject('GOV8');
    const owner = { type: 'user', role: 'tenant_owner' };
    expect(await put('/v1/principals/olga', { ...owner, tenantId: 'nowhere' })).toMatchObject({ status: 404 });
    expect(await put('/v1/principals/olga', { ...owner, tenantId: 'tenant-GOV8' })).toMatchObject({ status: 201 });
    expect(await put('/v1/principals/olga', owner)).toMatchObject({ status: 400 });
  });

  it('stays while it is the last platform administrator', async () => {
    const last = { status: 409, body: { code: 'LAST_ADMIN' } };
    expect(await call('DELETE', '/v1/principals/bootstrap-admin')).toMatchObject(last);
    await put('/v1/principals/second', { type: 'user', role: 'platform_admin' });
    expect(await call('DELETE', '/v1/principals/second', { as: 'user:second' })).toMatchObject({ status: 204 });
    expect(await put('/v1/principals/bootstrap-admin', { type: 'service', role: 'auditor' })).toMatchObject(last);
  });
});

describe('what a caller sees', () => {
  it('is its own tenant, its own project, its own row', async () => {
    const { at } = await aProject('GOV10', { alice: 'tenant_user', adam: 'tenant_admin' });
    await aProject('GOV11', { eve: 'tenant_user' });
    await put('/v1/principals/owner10', { type: 'user', role: 'tenant_owner', tenantId: 'tenant-GOV10' });
    const ids = async (path: string, as: string) =>
      (await call('GET', path, { as })).body.data.map((one) => one.id ?? one.userId);

    expect(await ids(`${at}/members`, 'user:alice@GOV10')).toEqual(['alice']);
    expect(await ids(`${at}/members`, 'user:adam@GOV10')).toEqual(['adam', 'alice']);
    expect(await ids('/v1/projects', 'user:alice@GOV10')).toEqual(['GOV10']);
    expect(await ids('/v1/projects', 'user:owner10')).toEqual(['GOV10']);
    expect(await ids('/v1/tenants', 'user:owner10')).toEqual(['tenant-GOV10']);
    expect(await ids('/v1/principals', 'user:owner10')).toEqual(['owner10']);

    const refused = { status: 404, body: { code: 'NOT_FOUND' } };
    for (const path of ['/v1/projects/GOV11', '/v1/projects/GOV11/members', '/v1/projects/GOV11/members/eve'])
      expect(await call('GET', path, { as: 'user:alice@GOV10' })).toMatchObject(refused);
    expect(await call('GET', '/v1/tenants/tenant-GOV11', { as: 'user:owner10' })).toMatchObject(refused);
    expect(await call('GET', `${at}/members/adam`, { as: 'user:alice@GOV10' })).toMatchObject({ status: 403 });
    expect(
      await call('PUT', `${at}/members/adam`, { as: 'user:alice@GOV10', body: { role: 'tenant_user' } }),
    ).toMatchObject({ status: 403 });
    expect(await post('/v1/tenants', { id: 'mine', name: 'Mine' }, { as: 'user:owner10' })).toMatchObject({
      status: 403,
    });
  });
});

describe('a list', () => {
  beforeAll(async () => {
    const { at } = await aProject('GOV20');
    const people: [string, string, string | null][] = [
      ['u1', 'Zoë 100%', 'zoe@example.org'],
      ['u2', 'émile', null],
      ['u3', 'Anna_Maria', 'anna@example.org'],
      ['u4', 'ANNA', 'a@example.com'],
      ['u5', 'ΣΊΣΥΦΟΣ', null],
    ];
    for (const [userId, displayName, email] of people)
      await put(`${at}/members/${userId}`, {
        role: userId === 'u4' ? 'tenant_admin' : 'tenant_user',
        displayName,
        email,
      });
  });

  const found = async (query: string): Promise<unknown[]> =>
    (await call('GET', `/v1/projects/GOV20/members?${query}`)).body.data.map(({ userId }) => userId);

  it.each([
    ['q=anna', ['u3', 'u4']],
    ['q=EXAMPLE.ORG', ['u1', 'u3']],
    ['q=U2', ['u2']],
    ['q=ZO%C3%8B', ['u1']],
    ['q=%C3%89MILE', ['u2']],
    ['q=%CF%83%CE%AF%CF%83', ['u5']],
    ['q=%25', ['u1']],
    ['q=_', ['u3']],
    ['q=%5C', []],
    ['q=%27%20or%201=1', []],
    ['role=tenant_admin', ['u4']],
    ['role=tenant_user&q=anna', ['u3']],
    ['status=suspended', []],
  ])('finds with %s', async (query, expected) => {
    expect(await found(query)).toEqual(expected);
  });

  it.each(['userId', '-userId', 'displayName', '-displayName', 'addedAt', '-addedAt'])(
    'shows every row once over its pages, sorted by %s',
    async (sort) => {
      const whole = await found(`sort=${sort}`);
      expect([...whole].sort()).toEqual(['u1', 'u2', 'u3', 'u4', 'u5']);
      const paged: unknown[] = [];
      let cursor = '';
      for (let page = 0; page < 5; page += 1) {
        const { body } = await call('GET', `/v1/projects/GOV20/members?sort=${sort}&limit=2${cursor}`);
        paged.push(...body.data.map(({ userId }) => userId));
        if (!body.page.hasMore) break;
        cursor = `&cursor=${body.page.nextCursor ?? ''}`;
      }
      expect(paged).toEqual(whole);
    },
  );

  it('refuses the cursor of another list or of other filters', async () => {
    const { body } = await call('GET', '/v1/projects/GOV20/members?limit=2');
    const cursor = body.page.nextCursor ?? '';
    for (const path of ['/v1/projects/GOV20/members?q=u&', '/v1/projects?', '/v1/projects/GOV20/members?sort=-userId&'])
      expect(await call('GET', `${path}cursor=${cursor}`)).toMatchObject({
        status: 400,
        body: { code: 'CURSOR_INVALID' },
      });
  });

  it('of tenants, projects and principals is filtered, searched and sorted as well', async () => {
    await aProject('GOV21', {});
    await post('/v1/projects/GOV21/close');
    const ids = async (path: string) => (await call('GET', path)).body.data.map(({ id }) => id);
    expect(await ids('/v1/projects?status=closed&q=gov21')).toEqual(['GOV21']);
    expect(await ids('/v1/projects?tenantId=tenant-GOV21')).toEqual(['GOV21']);
    expect(await ids('/v1/tenants?q=GOV2&sort=-id')).toEqual(['tenant-GOV21', 'tenant-GOV20', 'tenant-GOV2']);
    expect(await ids('/v1/principals?role=platform_admin&status=active')).toEqual(['bootstrap-admin']);
    expect(await call('GET', '/v1/tenants?sort=size')).toMatchObject({ status: 400 });
  });
});

import { GrpcServer } from '#libs/platform';
import { type Called, GrpcClient } from '../../../libs/testing/src/grpc-client.js';
import { startTenancy, type TenancyApp } from './testing/tenancy-app.js';

let tenancy: TenancyApp;
let client: GrpcClient;

beforeAll(async () => {
  tenancy = await startTenancy();
  const port = await tenancy.app.get(GrpcServer, { strict: false }).listen(0, '127.0.0.1');
  client = GrpcClient.of(port, 'tenancy.proto', 'TenancyService');
});

afterAll(async () => {
  client.close();
  await tenancy.app.get(GrpcServer, { strict: false }).drain(1_000);
  await tenancy.stop();
});

const call = (method: string, request: object, headers: Record<string, string> = {}): Promise<Called> =>
  client.call(method, request, { authorization: 'Bearer service:bootstrap-admin', ...headers });

describe('tenancy over gRPC', () => {
  it('leads the life of a tenant, a project and a member, and HTTP shows the same', async () => {
    const tenant = await call('createTenant', { id: 'acme', name: 'Acme' });
    expect(tenant).toMatchObject({ code: 'OK', answer: { id: 'acme', status: 'active', version: 1 } });
    expect(tenant.trailers.get('etag')).toEqual(['"1"']);
    expect(tenant.trailers.get('steward-position')).toEqual([tenant.answer['position']]);
    expect(await call('createTenant', { id: 'acme', name: 'Acme' })).toMatchObject({ code: 'ALREADY_EXISTS' });

    expect(await call('createProject', { tenantId: 'acme', id: 'GOV1', name: 'Weather' })).toMatchObject({
      answer: { id: 'GOV1', tenantId: 'acme' },
    });
    const alice = { projectId: 'GOV1', userId: 'alice' };
    await call('putMember', { ...alice, role: 'tenant_user', displayName: 'Alice', email: 'a@example.org' });
    const changed = await call('putMember', { ...alice, role: 'tenant_admin', email: '' });
    expect(changed).toMatchObject({ answer: { role: 'tenant_admin', displayName: 'Alice', version: 4 } });
    expect(changed.answer['email']).toBeUndefined();
    expect((await tenancy.call('GET', '/v1/projects/GOV1/members/alice')).body).toMatchObject({
      role: 'tenant_admin',
      displayName: 'Alice',
      email: null,
    });
    expect(await call('suspendMember', alice)).toMatchObject({ answer: { status: 'suspended' } });
    expect(await call('resumeMember', alice, { 'if-match': '"1"' })).toMatchObject({ code: 'ABORTED' });
    expect(await call('resumeMember', alice)).toMatchObject({ answer: { status: 'active' } });
    expect(await call('getMember', alice)).toMatchObject({ answer: { userId: 'alice', displayName: 'Alice' } });
    expect(await call('listMembers', { projectId: 'GOV1', q: 'ALI', limit: 5 })).toMatchObject({
      answer: { data: [{ userId: 'alice' }], page: { hasMore: false } },
    });
    expect(await call('suspendTenant', { tenantId: 'acme' })).toMatchObject({ answer: { status: 'suspended' } });
    expect(await call('resumeTenant', { tenantId: 'acme' })).toMatchObject({ answer: { status: 'active' } });
    expect(await call('getTenant', { tenantId: 'acme' })).toMatchObject({ answer: { name: 'Acme' } });
    expect(await call('listTenants', { sort: '-name' })).toMatchObject({ answer: { data: [{ id: 'acme' }] } });
    expect(await call('closeProject', { projectId: 'GOV1' })).toMatchObject({ answer: { status: 'closed' } });
    expect(await call('getProject', { projectId: 'GOV1' })).toMatchObject({ answer: { status: 'closed' } });
    expect(await call('listProjects', { tenantId: 'acme' })).toMatchObject({ answer: { data: [{ id: 'GOV1' }] } });
  });

  it('grants and takes back service access, removes members and offboards users', async () => {
    await call('createTenant', { id: 'leavers', name: 'Leavers' });
    for (const id of ['GOV8', 'GOV9']) {
      await call('createProject', { tenantId: 'leavers', id, name: id });
      for (const userId of ['alice', 'bob', 'carol'])
        await call('putMember', { projectId: id, userId, role: 'tenant_user' });
    }
    const alice = { projectId: 'GOV8', userId: 'alice' };
    const access = { ...alice, service: 'container-compute' };
    expect(await call('grantServiceAccess', access)).toMatchObject({ answer: { services: ['container-compute'] } });
    expect(await call('getMember', alice)).toMatchObject({ answer: { services: ['container-compute'] } });
    const revoked = await call('revokeServiceAccess', access);
    expect(revoked).toMatchObject({ code: 'OK', answer: { userId: 'alice' } });
    expect(revoked.answer['services']).toBeUndefined();

    const transfer = { ...alice, disposition: 'transfer' };
    expect(await call('removeMember', transfer)).toMatchObject({
      code: 'INVALID_ARGUMENT',
      answer: { details: expect.stringContaining('request.to') as string },
    });
    const once = { 'idempotency-key': 'leave-1' };
    const removed = await call('removeMember', { ...transfer, to: 'bob' }, once);
    expect(removed).toMatchObject({ code: 'OK', answer: {} });
    expect((await call('removeMember', { ...transfer, to: 'bob' }, once)).trailers.get('steward-position')).toEqual(
      removed.trailers.get('steward-position'),
    );
    expect(await call('getMember', alice)).toMatchObject({ code: 'NOT_FOUND' });

    const offboarded = await call('offboardUser', { tenantId: 'leavers', userId: 'carol', comment: 'left' });
    expect(offboarded).toMatchObject({
      code: 'OK',
      answer: {
        results: [
          { projectId: 'GOV8', status: 204 },
          { projectId: 'GOV9', status: 204 },
        ],
      },
    });
    expect(await call('offboardUser', { tenantId: 'leavers', userId: 'nobody' })).toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it.each(['Tenant', 'Project'])('sets, tells and removes the key policy of a %s', async (what) => {
    await call('createTenant', { id: 'umbra', name: 'Umbra' });
    await call('createProject', { tenantId: 'umbra', id: 'GOV2', name: 'Night' });
    const thing = what === 'Tenant' ? { tenantId: 'umbra' } : { projectId: 'GOV2' };
    const policy = { maxLifetimeDays: 90, requireExpiry: false, allowedScopes: {}, warnDays: { days: [7, 1] } };
    const set = await call(`set${what}KeyPolicy`, { ...thing, policy });
    expect(set).toMatchObject({ code: 'OK', answer: { maxLifetimeDays: 90, requireExpiry: false } });
    const { body } = await tenancy.call(
      'GET',
      `/v1/${what.toLowerCase()}s/${Object.values(thing)[0] ?? ''}/key-policy`,
    );
    expect(body).toEqual({ maxLifetimeDays: 90, requireExpiry: false, allowedScopes: [], warnDays: [7, 1] });
    expect(await call(`get${what}KeyPolicy`, thing)).toMatchObject({ answer: { warnDays: { days: [7, 1] } } });
    expect(await call(`remove${what}KeyPolicy`, thing)).toMatchObject({ code: 'OK' });
    expect(await call(`get${what}KeyPolicy`, thing)).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('registers, changes, lists and removes principals', async () => {
    const put = { principalId: 'p1', type: 'user', role: 'auditor' };
    expect(await call('putPrincipal', put)).toMatchObject({ answer: { id: 'p1', role: 'auditor', status: 'active' } });
    expect(await call('getPrincipal', { principalId: 'p1' })).toMatchObject({ answer: { type: 'user' } });
    expect(await call('listPrincipals', { role: 'auditor' })).toMatchObject({ answer: { data: [{ id: 'p1' }] } });
    expect(await call('removePrincipal', { principalId: 'p1' })).toMatchObject({ answer: { status: 'removed' } });
    expect(await call('putPrincipal', put)).toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  it('refuses what HTTP refuses, naming the field', async () => {
    expect(await call('createTenant', { id: 'not an id', name: 'x' })).toMatchObject({
      code: 'INVALID_ARGUMENT',
      answer: { details: expect.stringContaining('request.id') as string },
    });
    expect(await call('createTenant', { id: 'x', name: 'x' }, { authorization: 'Bearer nobody' })).toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    expect(await call('getTenant', { tenantId: 'nowhere' })).toMatchObject({ code: 'NOT_FOUND' });
    expect(await call('getTenant', { tenantId: 'acme', minPosition: 'x' })).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});

import { createHash } from 'node:crypto';
import { InProcessSteward } from '../../../libs/testing/src/in-process-steward.js';
import { aKeyWorld, type Created, type KeyWorld, user } from './testing/key-world.js';
import { newToken } from './key-secret.js';
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

describe('a key over HTTP', () => {
  it('is created once, shown once, and every field is there', async () => {
    const answer = await call('alice', 'POST', '/v1/projects/GOV1/keys', {
      name: 'night batch',
      owner: user('bob'),
      labels: { team: 'ingest' },
      metadata: { n: 1.5 },
      scopes: ['storage:write', 'storage:read', 'storage:read'],
      ipAllow: ['2001:DB8::/32', '10.1.2.3'],
      ttlDays: 30,
    });
    expect(answer.status).toBe(201);
    const { key, secret } = answer.body as Created;
    expect(secret).toMatch(/^stw_live_[0-9A-Za-z]{16}_[0-9A-Za-z]{38}$/);
    expect(key).toEqual({
      id: `key_${secret.slice(9, 25)}`,
      masked: `stw_live_${secret.slice(9, 13)}…`,
      name: 'night batch',
      description: null,
      projectId: 'GOV1',
      tenantId: 'acme',
      owner: { type: 'user', id: 'bob', role: 'tenant_user' },
      environment: 'live',
      scopes: ['storage:read', 'storage:write'],
      audiences: [],
      ipAllow: ['10.1.2.3/32', '2001:db8::/32'],
      ipDeny: [],
      labels: { team: 'ingest' },
      metadata: { n: 1.5 },
      status: 'active',
      canManageKeys: false,
      createdAt: key.createdAt,
      createdBy: { type: 'user', id: 'alice' },
      notBefore: null,
      expiresAt: new Date(Date.parse(key.createdAt) + 30 * 86_400_000).toISOString(),
      lastUsedAt: null,
      secretVersions: [
        {
          version: 1,
          createdAt: key.createdAt,
          retiresAt: null,
          lastUsedAt: null,
          pepperVersion: '1',
          madeBy: 'steward',
        },
      ],
      version: 1,
      position: key.position,
    });
    expect(answer.headers.get('etag')).toBe('"1"');
    expect(answer.headers.get('steward-position')).toBe(key.position);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect((await made('bob', 'GET', `/v1/keys/${key.id}`)).body).toEqual(key);
  });

  it('lives its whole life', async () => {
    const { key, secret } = await create('alice', { ttlDays: 10 });
    const path = `/v1/keys/${key.id}`;
    expect(await verify(secret)).toBe('VALID');

    const extended = (await made('alice', 'POST', `${path}/extend`, { days: 30 })).body as KeyView;
    expect(Date.parse(extended.expiresAt ?? '') - Date.parse(key.expiresAt ?? '')).toBe(30 * 86_400_000);

    const edited = await made('alice', 'PATCH', path, { name: 'renamed', labels: { a: 'b' } });
    expect(edited.body).toMatchObject({ name: 'renamed', labels: { a: 'b' }, version: 3 });

    const rotated = (await made('alice', 'POST', `${path}/rotate`, { overlapSeconds: 3600 })).body as Created & {
      retiresAt: string;
    };
    expect(rotated.key.secretVersions).toHaveLength(2);
    expect(rotated.retiresAt).toBe(rotated.key.secretVersions[0]?.retiresAt);
    expect([await verify(secret), await verify(rotated.secret)]).toEqual(['VALID', 'VALID']);
    expect((await call('alice', 'POST', `${path}/rotate`, {})).body).toMatchObject({ code: 'SECRETS_MAX' });
    await made('alice', 'POST', `${path}/retire-secret`, { version: 1 });
    expect(await verify(secret)).toBe('NOT_FOUND');

    expect((await made('alice', 'POST', `${path}/disable`)).body).toMatchObject({ status: 'disabled', version: 6 });
    expect((await made('alice', 'POST', `${path}/disable`)).body).toMatchObject({ status: 'disabled', version: 6 });
    expect(await verify(rotated.secret)).toBe('DISABLED');
    expect((await made('alice', 'POST', `${path}/enable`)).body).toMatchObject({ status: 'active' });
    expect((await made('alice', 'POST', `${path}/transfer`, { owner: user('bob') })).body).toMatchObject({
      owner: { id: 'bob', role: 'tenant_user' },
    });
    await made('alice', 'POST', `${path}/revoke`, { reason: 'compromised', comment: 'seen in a log' });
    expect(await verify(rotated.secret)).toBe('REVOKED');
    expect((await call('alice', 'POST', `${path}/enable`)).body).toMatchObject({ status: 409, code: 'KEY_REVOKED' });

    const history = (await made('alice', 'GET', `${path}/history?limit=200`)).body as {
      data: Record<string, unknown>[];
    };
    expect(history.data.map(({ type }) => type)).toEqual([
      'KeyCreated',
      'KeyExtended',
      'KeyUpdated',
      'KeyRotated',
      'KeySecretRetired',
      'KeyDisabled',
      'KeyEnabled',
      'KeyOwnershipTransferred',
      'KeyRevoked',
    ]);
    expect(history.data[0]?.['private']).toMatchObject({ verifier: { hidden: true } });
    expect(history.data.at(-1)?.['private']).toMatchObject({ actor: { comment: 'seen in a log' } });
    const asOwner = (await made('bob', 'GET', `${path}/history`)).body as { data: Record<string, unknown>[] };
    expect(asOwner.data.at(-1)?.['private']).toEqual({ actor: { hidden: true } });

    expect((await made('alice', 'DELETE', path)).body).toMatchObject({ id: key.id, status: 'deleted' });
    expect(await verify(rotated.secret)).toBe('NOT_FOUND');
    expect((await call('alice', 'GET', path)).status).toBe(404);
    expect((await call('alice', 'DELETE', path)).status).toBe(404);
    const list = (await made('alice', 'GET', '/v1/projects/GOV1/keys?limit=200')).body as { data: KeyView[] };
    expect(list.data.map(({ id }) => id)).not.toContain(key.id);
    expect(((await made('alice', 'GET', `${path}/history`)).body as { data: unknown[] }).data).toHaveLength(10);
  });

  it('answers a repeated request as before, without the secret, and a delete as it did', async () => {
    const headers = { 'idempotency-key': 'create-1' };
    const send = () => call('alice', 'POST', '/v1/projects/GOV1/keys', { name: 'once' }, headers);
    const [first, second] = [await send(), await send()];
    expect(first.status).toBe(201);
    expect(second).toMatchObject({ status: 201, body: { secret: null, code: 'SECRET_ALREADY_RETURNED' } });
    const { key } = first.body as Created;
    expect((second.body as Created).key).toEqual(key);
    const other = await call('alice', 'POST', '/v1/projects/GOV1/keys', { name: 'twice' }, headers);
    expect(other.body).toMatchObject({ status: 422, code: 'IDEMPOTENCY_MISMATCH' });

    const rotate = () => call('alice', 'POST', `/v1/keys/${key.id}/rotate`, {}, { 'idempotency-key': 'rotate-1' });
    expect((await rotate()).body).toMatchObject({ secret: expect.any(String) as string });
    expect((await rotate()).body).toMatchObject({ secret: null, code: 'SECRET_ALREADY_RETURNED' });
    const remove = () => call('alice', 'DELETE', `/v1/keys/${key.id}`, undefined, { 'idempotency-key': 'delete-1' });
    expect(await remove()).toMatchObject({ status: 200, body: { status: 'deleted' } });
    expect(await remove()).toMatchObject({ status: 200, body: { status: 'deleted' } });
  });

  it('is changed only at the version that If-Match names', async () => {
    const { key } = await create('alice');
    const path = `/v1/keys/${key.id}`;
    expect((await call('alice', 'PATCH', path, { name: 'a' }, { 'if-match': '"7"' })).status).toBe(412);
    expect((await call('alice', 'PATCH', path, { name: 'a' }, { 'if-match': '"1"' })).status).toBe(200);
    expect((await call('alice', 'PATCH', path, { name: 'b' }, { 'if-match': '"1"' })).body).toMatchObject({
      code: 'VERSION_CONFLICT',
    });
  });

  it('may be made by the client, who alone has the token', async () => {
    const keyId = 'key_ClientMade000001';
    const token = newToken('live', keyId);
    const secretDigest = createHash('sha256').update(token).digest('hex');
    const answer = await call('alice', 'POST', '/v1/projects/GOV1/keys', { keyId, secretDigest });
    expect(answer).toMatchObject({
      status: 201,
      body: { secret: null, key: { id: keyId, secretVersions: [{ madeBy: 'client' }] } },
    });
    expect(await verify(token)).toBe('VALID');
    expect((await call('alice', 'POST', '/v1/projects/GOV1/keys', { keyId, secretDigest })).body).toMatchObject({
      code: 'KEY_ID_TAKEN',
    });
    expect((await call('alice', 'POST', '/v1/projects/GOV1/keys', { keyId })).body).toMatchObject({
      code: 'VALIDATION',
    });
  });

  it('may belong to a principal and have no project', async () => {
    await made('root', 'PUT', '/v1/principals/gateway', { type: 'service', role: 'service' });
    const answer = await made('root', 'POST', '/v1/principals/gateway/keys', { name: 'edge' });
    expect(answer).toMatchObject({
      status: 201,
      body: { key: { projectId: null, tenantId: null, owner: { type: 'service', id: 'gateway', role: 'service' } } },
    });
    steward.tokens['gateway'] = (answer.body as Created).secret;
    expect((await call('gateway', 'POST', '/v1/keys/verify', { token: steward.tokens['bob'] })).body).toMatchObject({
      code: 'VALID',
    });
    expect((await call('gateway', 'GET', '/v1/keys')).status).toBe(403);
  });
});

describe('rights', () => {
  it('let a member own keys and an admin give keys to others', async () => {
    expect((await create('bob')).key.owner).toEqual({ type: 'user', id: 'bob', role: 'tenant_user' });
    expect((await call('bob', 'POST', '/v1/projects/GOV1/keys', { owner: user('alice') })).status).toBe(403);
    expect((await call('alice', 'POST', '/v1/projects/GOV1/keys', { owner: user('nobody') })).body).toMatchObject({
      status: 422,
      code: 'OWNER_UNKNOWN',
    });
    const projects = { owner: { type: 'project', id: 'GOV1' } };
    expect((await create('alice', { ...projects, role: 'tenant_admin' })).key.owner.role).toBe('tenant_admin');
    expect((await create('alice', projects)).key.owner.role).toBe('tenant_user');
    expect((await call('bob', 'POST', '/v1/projects/GOV1/keys', projects)).status).toBe(403);
  });

  it('show another tenant’s keys to nobody', async () => {
    const { key } = await create('alice');
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['DELETE', '', undefined],
      ['PATCH', '', { name: 'x' }],
      ['POST', '/rotate', {}],
      ['GET', '/history', undefined],
    ] as const)
      expect((await call('eve', method, `/v1/keys/${key.id}${path}`, body)).status).toBe(404);
    expect((await call('eve', 'POST', '/v1/projects/GOV1/keys', {})).status).toBe(404);
    expect((await call('eve', 'GET', '/v1/projects/GOV1/keys')).status).toBe(404);
    const seen = (await made('eve', 'GET', '/v1/keys')).body as { data: KeyView[] };
    expect(new Set(seen.data.map(({ projectId }) => projectId))).toEqual(new Set(['X1']));
    const own = (await made('bob', 'GET', '/v1/keys')).body as { data: KeyView[] };
    expect(new Set(own.data.map(({ owner }) => owner.id))).toEqual(new Set(['bob']));
  });

  it('keep a key that manages keys within itself', async () => {
    const narrow = { canManageKeys: true, scopes: ['storage:*', 'steward:keys:*'], expiresAt: day(20) };
    steward.tokens['narrow'] = (await create('alice', narrow)).secret;
    const post = (body: unknown) => call('narrow', 'POST', '/v1/projects/GOV1/keys', body);
    expect((await post({ scopes: ['storage:read'], ttlDays: 10 })).status).toBe(201);
    expect((await post({ scopes: ['compute:read'], ttlDays: 10 })).body).toMatchObject({ code: 'SCOPE_EXCEEDS_OWNER' });
    expect((await post({ ttlDays: 10 })).body).toMatchObject({ code: 'SCOPE_EXCEEDS_OWNER' });
    expect((await post({ scopes: ['storage:read'], ttlDays: 30 })).body).toMatchObject({ code: 'FORBIDDEN' });
    const { key } = await create('alice', { ttlDays: 5 });
    for (const [path, body] of [
      ['rotate', {}],
      ['enable', {}],
      ['extend', { days: 1 }],
    ] as const)
      expect((await call('narrow', 'POST', `/v1/keys/${key.id}/${path}`, body)).body).toMatchObject({
        code: 'SCOPE_EXCEEDS_OWNER',
      });
    expect((await call('narrow', 'POST', `/v1/keys/${key.id}/disable`)).status).toBe(200);
  });

  it('bear a service’s scopes only for members with access to it, in the catalogue’s services of today', async () => {
    const refused = { status: 403, body: { code: 'SERVICE_NOT_GRANTED' } };
    const post = (scopes: string[], owner: object = user('bob')) =>
      call('root', 'POST', '/v1/projects/GOV1/keys', { owner, scopes });
    const access = '/v1/projects/GOV1/members/bob/services/container-compute';
    expect(await post(['storage:read', 'container-compute:pods:read'])).toMatchObject(refused);
    const { key } = await create('root', { owner: user('bob'), scopes: ['storage:read'] });
    const edit = { scopes: ['container-compute:*'] };
    expect(await call('root', 'PATCH', `/v1/keys/${key.id}`, edit)).toMatchObject(refused);
    await made('root', 'PUT', access);
    expect(await post(['container-compute:pods:read'])).toMatchObject({ status: 201 });
    const edited = await made('root', 'PATCH', `/v1/keys/${key.id}`, edit);
    expect(edited.body).toMatchObject(edit);
    await made('root', 'DELETE', access);
    expect(await post(['container-compute:pods:read'])).toMatchObject(refused);
    expect(await call('root', 'PATCH', `/v1/keys/${key.id}`, { name: 'renamed' })).toMatchObject({ status: 200 });

    expect(await post(['container-compute:*'], { type: 'project', id: 'GOV1' })).toMatchObject({ status: 201 });
    expect(await post(['archive:*'])).toMatchObject({ status: 201 });
    const archive = '/v1/catalogue/services/archive/resources/volumes';
    await made('root', 'PUT', archive, { unit: 'count' });
    expect(await post(['archive:*'])).toMatchObject(refused);
  });

  it('let a key without canManageKeys end itself and nothing else', async () => {
    const { key, secret } = await create('alice');
    steward.tokens['plain'] = secret;
    expect((await call('plain', 'POST', '/v1/projects/GOV1/keys', {})).body).toMatchObject({
      code: 'KEY_CANNOT_MANAGE_KEYS',
    });
    expect((await call('plain', 'DELETE', `/v1/keys/${key.id}`)).status).toBe(403);
    expect((await call('plain', 'POST', `/v1/keys/${key.id}/revoke`, { reason: 'other' })).status).toBe(200);
    expect((await call('plain', 'GET', '/v1/keys')).status).toBe(401);
  });

  it('let nobody hand a key to one whose keys are not theirs to make', async () => {
    const { key } = await create('bob');
    expect((await call('bob', 'POST', `/v1/keys/${key.id}/transfer`, { owner: user('alice') })).status).toBe(403);
  });
});

describe('policies', () => {
  it('hold at creation, extension and edit, the strictest value of tenant and project', async () => {
    await made('root', 'PUT', '/v1/projects/GOV2/members/carol', { role: 'tenant_admin' });
    const owner = user('carol');
    await made('root', 'PUT', '/v1/tenants/acme/key-policy', { maxTotalLifetimeDays: 400 });
    await made('root', 'PUT', '/v1/projects/GOV2/key-policy', {
      maxLifetimeDays: 90,
      maxExtensionDays: 30,
      allowedScopes: ['storage:*'],
      maxKeysPerOwner: 3,
    });
    const post = (body: object) =>
      call('root', 'POST', '/v1/projects/GOV2/keys', { owner, scopes: ['storage:read'], ...body });
    expect((await post({ ttlDays: 91 })).body).toMatchObject({ status: 422, code: 'POLICY_MAX_LIFETIME' });
    expect((await post({})).body).toMatchObject({ code: 'POLICY_MAX_LIFETIME' });
    expect((await post({ ttlDays: 9, scopes: ['compute:read'] })).body).toMatchObject({
      code: 'POLICY_SCOPE_FORBIDDEN',
    });
    const { key } = (await post({ ttlDays: 30 })).body as Created;
    const path = `/v1/keys/${key.id}`;
    expect((await call('root', 'POST', `${path}/extend`, { days: 31 })).body).toMatchObject({
      code: 'POLICY_MAX_EXTENSION',
    });
    expect((await call('root', 'PATCH', path, { scopes: null })).body).toMatchObject({
      code: 'POLICY_SCOPE_FORBIDDEN',
    });
    await made('root', 'POST', `${path}/extend`, { days: 30 });
    // Ten at once in one process get what is left and not one more.
    const codes = await Promise.all(Array.from({ length: 10 }, async () => (await post({ ttlDays: 1 })).status));
    expect(codes.filter((status) => status === 201)).toHaveLength(2);
    expect(codes.filter((status) => status === 422)).toHaveLength(8);
    await made('root', 'DELETE', '/v1/projects/GOV2/key-policy');
    await made('root', 'DELETE', '/v1/tenants/acme/key-policy');
  });
});

describe('bad input', () => {
  it.each<[string, unknown, string]>([
    ['an unknown field', { surprise: 1 }, 'body.surprise'],
    ['a tenant that the caller would choose', { tenantId: 'other' }, 'body.tenantId'],
    ['a name that is too long', { name: 'x'.repeat(101) }, 'body.name'],
    ['a secret as a name', { name: `stw_live_${'a'.repeat(16)}_${'b'.repeat(38)}` }, 'body.name'],
    ['a CIDR that is none', { ipAllow: ['10.0.0.0/33'] }, 'body.ipAllow'],
    ['a scope that is none', { scopes: ['A:B'] }, 'body.scopes'],
    ['two lifetimes', { ttlDays: 3, expiresAt: '2099-01-01T00:00:00Z' }, 'body.ttlDays'],
    ['an expiry in the past', { expiresAt: '2020-01-01T00:00:00Z' }, 'body.expiresAt'],
    ['a role of a user', { role: 'tenant_admin' }, 'body.role'],
    ['too much metadata', { metadata: { a: 'x'.repeat(5000) } }, 'body.metadata'],
  ])('%s names its field', async (_name, body, location) => {
    const answer = await call('alice', 'POST', '/v1/projects/GOV1/keys', body);
    expect(answer.body).toMatchObject({ status: 400, code: 'VALIDATION' });
    expect((answer.body as { errors: { location: string }[] }).errors[0]?.location).toContain(location);
  });
});

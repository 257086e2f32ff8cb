import { InProcessSteward, type HttpAnswer } from '../../libs/testing/src/in-process-steward.js';
import { aKeyWorld, type Created, type KeyWorld, user } from '../../services/keys/src/testing/key-world.js';
import { newToken } from '../../services/keys/src/key-secret.js';

/**
 * What was done to others: each test replays the attack of a published weakness of an identity or key service, and shows
 * that it is refused here. A name in brackets is the weakness. What a key may hand on is in delegation.e2e.spec.ts, who may
 * do what in the matrix.
 */

let steward: InProcessSteward;
let world: KeyWorld;
const call: InProcessSteward['call'] = (...request) => steward.call(...request);
const made: InProcessSteward['made'] = (...request) => steward.made(...request);

const PROJECT = '/v1/projects/GOV1';

/** The status and the code, of 2xx the status alone. */
const wordOf = ({ status, body }: HttpAnswer): string =>
  status < 300 ? String(status) : `${status} ${(body as { code: string }).code}`;

async function word(who: string, method: string, path: string, body?: unknown): Promise<string> {
  return wordOf(await call(who, method, path, body));
}

/** Sent without the header that `call` would put in, with others instead. */
async function bare(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const json = body === undefined ? {} : { 'content-type': 'application/json' };
  const response = await fetch(`${await steward.app.getUrl()}${path}`, {
    method,
    headers: { ...json, ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return `${response.status} ${text === '' ? '' : ((JSON.parse(text) as { code?: string }).code ?? '')}`.trim();
}

const listed = async (who: string, path: string): Promise<Record<string, unknown>[]> =>
  ((await made(who, 'GET', path)).body as { data: Record<string, unknown>[] }).data;

beforeAll(async () => {
  steward = await InProcessSteward.start({ STEWARD_AUTH_FAILURES_PER_MINUTE: '100000' });
  world = await aKeyWorld(steward);
});
afterAll(() => steward.stop());

describe('whoever has no credential', () => {
  it('makes no key for anyone by naming the user in the body (CVE-2025-61928)', async () => {
    const wishes: object[] = [
      { userId: 'alice' },
      { owner: user('alice') },
      { owner: user('alice'), canManageKeys: true },
      { principalId: 'bootstrap-admin' },
      {},
    ];
    for (const body of wishes) {
      expect(await bare('POST', `${PROJECT}/keys`, body)).toBe('401 UNAUTHENTICATED');
      expect(await bare('POST', '/v1/principals/bootstrap-admin/keys', body)).toBe('401 UNAUTHENTICATED');
    }
  });

  it('gets no authorization for a signature or a token in the body (CVE-2025-65073)', async () => {
    const token = steward.tokens['alice'];
    const credentials = { access: token, token, signature: 'x', 'X-Amz-Credential': token };
    for (const path of ['/v1/keys/verify', '/v1/keys/lookup', '/v1/ec2tokens', '/v1/s3tokens', '/v1/introspect'])
      expect([path, await bare('POST', path, { token })]).toEqual([
        path,
        expect.stringMatching(/^(401 UNAUTHENTICATED|404 NOT_FOUND)$/) as string,
      ]);
    expect(await bare('POST', '/v1/keys/verify-batch', { requests: [{ token }] })).toBe('401 UNAUTHENTICATED');
    expect(await bare('POST', `${PROJECT}/keys`, credentials)).toBe('401 UNAUTHENTICATED');
  });

  it('is not believed by headers that name a user, a tenant or a role', async () => {
    const forged = {
      'x-user-id': 'alice',
      'x-forwarded-user': 'alice',
      'x-remote-user': 'alice',
      'x-tenant-id': 'acme',
      'x-principal-id': 'bootstrap-admin',
      'x-steward-principal': 'bootstrap-admin',
      'x-role': 'platform_admin',
      'x-forwarded-for': '127.0.0.1',
      'x-original-url': '/healthz',
      'x-rewrite-url': '/healthz',
      'x-http-method-override': 'GET',
      cookie: `session=${steward.tokens['root'] ?? ''}`,
    };
    expect(await bare('GET', '/v1/whoami', undefined, forged)).toBe('401 UNAUTHENTICATED');
    const bobs = { ...forged, authorization: `Bearer ${steward.tokens['bob'] ?? ''}` };
    expect(await bare('GET', `${PROJECT}/quotas`, undefined, bobs)).toBe('403 FORBIDDEN');
    expect(await bare('GET', '/v1/projects/X1', undefined, { ...bobs, 'x-tenant-id': 'other' })).toBe('404 NOT_FOUND');
  });

  it('is not let in by a token in the address, where logs would keep it', async () => {
    const token = steward.tokens['root'] ?? '';
    for (const name of ['access_token', 'token', 'api_key', 'apikey', 'key', 'authorization'])
      expect(await bare('GET', `/v1/whoami?${name}=${token}`)).toBe('401 UNAUTHENTICATED');
  });

  it('is not let in by what is shown of a key: its ID, its masked form, its digest', async () => {
    const { key, secret } = await world.create('alice');
    const shown = [
      key.id,
      key.masked,
      key.id.slice(4),
      `stw_live_${key.id.slice(4)}`,
      secret.slice(0, -6),
      secret.slice(26),
    ];
    for (const token of shown)
      expect(await bare('GET', '/v1/whoami', undefined, { 'x-api-key': encodeURIComponent(token) })).toBe(
        '401 UNAUTHENTICATED',
      );
    expect(JSON.stringify(key)).not.toContain(secret.slice(26, 58));
  });
});

describe('a member without rights on others', () => {
  it('lists nobody else’s keys, whatever it filters, sorts or counts (CVE-2019-19687)', async () => {
    const { key } = await world.create('alice', { name: 'of alice', labels: { team: 'a' }, scopes: ['storage:read'] });
    await world.create('bob', { name: 'of bob', labels: { team: 'a' }, scopes: ['storage:read'] });
    for (const query of [
      '',
      '?ownerId=alice',
      '?label=team=a',
      '?scope=storage:read',
      '?q=of',
      `?q=${key.id}`,
      '?sort=name',
      '?status=active',
      '?neverUsed=true',
      '?projectId=GOV1&limit=200',
    ])
      for (const path of ['/v1/keys', `${PROJECT}/keys`]) {
        const owners = (await listed('bob', path + query)).map(({ owner }) => (owner as { id: string }).id);
        expect([path + query, owners.filter((id) => id !== 'bob')]).toEqual([path + query, []]);
      }
    expect(await listed('bob', '/v1/keys?q=of')).toHaveLength(1);
    const counted = (await made('bob', 'GET', `${PROJECT}/keys?count=true&ownerId=alice`)).body as object;
    expect(JSON.stringify(counted)).not.toContain(key.id);
    expect(counted).toMatchObject({ data: [], page: { hasMore: false } });
    const events = await listed('bob', '/v1/audit/events?limit=200');
    expect(events).not.toEqual([]);
    expect(JSON.stringify(events)).not.toContain(key.id);
  });

  it('changes nobody else’s keys by naming them among the own', async () => {
    const [alices, bobs] = [await world.create('alice'), await world.create('bob')];
    const ids = [alices.key.id, bobs.key.id];
    const answer = await made('bob', 'POST', '/v1/keys/bulk', { action: 'revoke', reason: 'other', ids });
    expect(answer.body).toMatchObject({ results: [{ status: 403 }, { status: 200 }] });
    expect(await world.verify(alices.secret)).toBe('VALID');
    const all = { action: 'revoke', reason: 'other', filter: { ownerId: 'alice' }, expectedCount: 0 };
    expect((await made('bob', 'POST', '/v1/keys/bulk', all)).body).toMatchObject({ results: [] });
    expect(await world.verify(alices.secret)).toBe('VALID');
  });

  it('moves no key by an edit: what a body may not name is refused, and nothing is changed (CVE-2026-90460)', async () => {
    const { key } = await world.create('bob');
    const path = `/v1/keys/${key.id}`;
    for (const field of [
      'projectId',
      'tenantId',
      'owner',
      'ownerId',
      'role',
      'canManageKeys',
      'createdBy',
      'status',
      'id',
    ])
      expect([field, await word('bob', 'PATCH', path, { name: 'moved', [field]: 'GOV2' })]).toEqual([
        field,
        '400 VALIDATION',
      ]);
    expect((await made('bob', 'GET', path)).body).toEqual(key);
  });

  it('hands no key to where it could not make one: both ends are authorized (CVE-2026-90460)', async () => {
    const { key } = await world.create('bob');
    const transfer = (who: string, owner: object) => word(who, 'POST', `/v1/keys/${key.id}/transfer`, { owner });
    expect(await transfer('bob', user('alice'))).toBe('403 FORBIDDEN');
    expect(await transfer('bob', { type: 'project', id: 'GOV1' })).toBe('403 FORBIDDEN');
    expect(await transfer('alice', { type: 'project', id: 'GOV2' })).toBe('422 OWNER_UNKNOWN');
    expect(await transfer('alice', user('eve'))).toBe('422 OWNER_UNKNOWN');
    expect(await transfer('eve', user('eve'))).toBe('404 NOT_FOUND');
    expect((await made('bob', 'GET', `/v1/keys/${key.id}`)).body).toEqual(key);
  });

  it('makes no key for another member by the body’s word (CVE-2025-61928)', async () => {
    expect(await word('bob', 'POST', `${PROJECT}/keys`, { owner: user('alice') })).toBe('403 FORBIDDEN');
    for (const field of ['userId', 'ownerId', 'createdBy', 'tenantId', 'projectId', 'principalId', 'memberId'])
      expect([field, await word('bob', 'POST', `${PROJECT}/keys`, { [field]: 'alice' })]).toEqual([
        field,
        '400 VALIDATION',
      ]);
  });
});

describe('what has ended', () => {
  /** Alone in a place of its own, with a key. */
  async function someone(
    id: string,
  ): Promise<{ readonly project: string; readonly tenant: string; readonly secret: string }> {
    const [tenant, project] = [`t-${id}`, `p-${id}`];
    await made('root', 'POST', '/v1/tenants', { id: tenant, name: tenant });
    await made('root', 'POST', `/v1/tenants/${tenant}/projects`, { id: project, name: project });
    await made('root', 'PUT', `/v1/projects/${project}/members/${id}`, { role: 'tenant_admin' });
    const { secret } = await world.create('root', { owner: user(id), canManageKeys: true }, project);
    return { project, tenant, secret };
  }

  it.each<[string, (id: string, at: { project: string; tenant: string }) => [string, string, unknown?], string]>([
    ['removed', (id, { project }) => ['DELETE', `/v1/projects/${project}/members/${id}`], '401 UNAUTHENTICATED'],
    [
      'suspended',
      (id, { project }) => ['POST', `/v1/projects/${project}/members/${id}/suspend`],
      '401 UNAUTHENTICATED',
    ],
    [
      'offboarded',
      (id, { tenant }) => ['POST', `/v1/tenants/${tenant}/users/${id}/offboard`, {}],
      '401 UNAUTHENTICATED',
    ],
    ['in a closed project', (_, { project }) => ['POST', `/v1/projects/${project}/close`], '401 UNAUTHENTICATED'],
    ['in a suspended tenant', (_, { tenant }) => ['POST', `/v1/tenants/${tenant}/suspend`], '401 UNAUTHENTICATED'],
    [
      'lowered',
      (id, { project }) => ['PUT', `/v1/projects/${project}/members/${id}`, { role: 'tenant_user' }],
      '403 FORBIDDEN',
    ],
  ])('opens nothing: the key of a member who was %s (CVE-2012-5571)', async (how, change, refusal) => {
    const id = how.replaceAll(' ', '-');
    const { secret, ...at } = await someone(id);
    const asked = (): Promise<string> => word(secret, 'GET', `/v1/projects/${at.project}/quotas`);
    expect(await asked()).toBe('200');
    await made('root', ...change(id, at));
    expect(await asked()).toBe(refusal);
  });

  it('opens nothing: the keys of a principal who was removed, or has another role now (CVE-2012-5571)', async () => {
    await made('root', 'PUT', '/v1/principals/olga', { type: 'user', role: 'tenant_owner', tenantId: 'acme' });
    const { secret } = (await made('root', 'POST', '/v1/principals/olga/keys', {})).body as Created;
    const asked = (): Promise<string> => word(secret, 'PUT', '/v1/tenants/acme/key-policy', { warnDays: [7] });
    expect(await asked()).toBe('200');
    await made('root', 'PUT', '/v1/principals/olga', { type: 'user', role: 'auditor', tenantId: 'acme' });
    expect(await asked()).toBe('403 FORBIDDEN');
    await made('root', 'DELETE', '/v1/principals/olga');
    expect(await asked()).toBe('401 UNAUTHENTICATED');
  });

  it('stays so however its token is written: no byte of a token is ignored (CVE-2015-7546)', async () => {
    const { key, secret } = await world.create('alice');
    const other = (character: string): string => (character === 'A' ? 'B' : 'A');
    const forms = [
      ...Array.from(secret, (character, at) => secret.slice(0, at) + other(character) + secret.slice(at + 1)),
      secret.toUpperCase(),
      secret.toLowerCase(),
      `${secret}=`,
      `${secret}A`,
      `A${secret}`,
      secret.slice(0, -1),
      secret.replaceAll('_', '-'),
      secret.replaceAll('_', '%5F'),
      encodeURIComponent(secret).replaceAll('s', '%73'),
    ];
    const batch = async (): Promise<string[]> => {
      const requests = forms.map((token) => ({ token }));
      const answer = await made('root', 'POST', '/v1/keys/verify-batch', { requests });
      return (answer.body as { results: { code: string }[] }).results.map(({ code }) => code);
    };
    const tells = new Set(['MALFORMED', 'NOT_FOUND']);
    expect((await batch()).filter((code) => !tells.has(code))).toEqual([]);
    await made('root', 'POST', `/v1/keys/${key.id}/revoke`, { reason: 'compromised' });
    expect(await world.verify(secret)).toBe('REVOKED');
    expect((await batch()).filter((code) => !tells.has(code))).toEqual([]);
    for (const form of forms.slice(-9))
      expect(await bare('GET', '/v1/whoami', undefined, { 'x-api-key': form })).toBe('401 UNAUTHENTICATED');
  });

  it('keeps its history: an expired, revoked or deleted key is forgotten by no verification', async () => {
    const { key, secret } = await world.create('alice');
    await made('root', 'POST', `/v1/keys/${key.id}/revoke`, { reason: 'compromised' });
    for (let n = 0; n < 3; n += 1) expect(await world.verify(secret)).toBe('REVOKED');
    await made('root', 'DELETE', `/v1/keys/${key.id}`);
    for (let n = 0; n < 3; n += 1) expect(await world.verify(secret)).toBe('NOT_FOUND');
    const types = (await listed('alice', `/v1/keys/${key.id}/history`)).map(({ type }) => type);
    expect(types).toEqual(['KeyCreated', 'KeyRevoked', 'KeyDeleted']);
  });
});

describe('a restricted credential', () => {
  it('mints no credential of any other kind (application credentials that made EC2 credentials)', async () => {
    const { secret } = await world.create('alice');
    const digest = '0'.repeat(64);
    const keyId = 'key_Abuse00000000001';
    const kinds: [string, unknown][] = [
      [`${PROJECT}/keys`, {}],
      [`${PROJECT}/keys`, { owner: { type: 'project', id: 'GOV1' } }],
      [`${PROJECT}/keys`, { keyId, secretDigest: digest }],
      ['/v1/keys/import', JSON.stringify({ projectId: 'GOV1', digest, owner: user('alice') })],
    ];
    for (const [path, body] of kinds) expect(await word(secret, 'POST', path, body)).toBe('403 KEY_CANNOT_MANAGE_KEYS');
    expect(await word(secret, 'POST', '/v1/principals/alice/keys', {})).toBe('404 NOT_FOUND');
    expect(await word(secret, 'PUT', '/v1/principals/alice', { type: 'user', role: 'platform_admin' })).toBe(
      '403 FORBIDDEN',
    );
  });
});

describe('things of another tenant', () => {
  /** As the caller sees an answer, less what is its own in each. */
  const shape = ({ status, body }: HttpAnswer): unknown => ({ status, body: { ...body, requestId: null } as object });

  it('answer as what does not exist, to the byte', async () => {
    const { key } = await world.create('eve', {}, 'X1');
    await made('root', 'PUT', '/v1/principals/far', { type: 'service', role: 'service', tenantId: 'other' });
    const pairs: [string, string, string, unknown?][] = [
      ['GET', '/v1/tenants/other', '/v1/tenants/none'],
      ['GET', '/v1/projects/X1', '/v1/projects/none'],
      ['GET', '/v1/projects/X1/members', '/v1/projects/none/members'],
      ['GET', '/v1/projects/X1/members/eve', '/v1/projects/X1/members/none'],
      ['PUT', '/v1/projects/X1/members/eve', '/v1/projects/none/members/eve', { role: 'tenant_user' }],
      ['GET', '/v1/projects/X1/quotas', '/v1/projects/none/quotas'],
      ['GET', `/v1/keys/${key.id}`, '/v1/keys/key_0000000000000000'],
      ['POST', `/v1/keys/${key.id}/revoke`, '/v1/keys/key_0000000000000000/revoke', { reason: 'other' }],
      ['GET', '/v1/principals/far', '/v1/principals/none'],
      ['POST', '/v1/projects/X1/keys', '/v1/projects/none/keys', { owner: user('eve') }],
    ];
    for (const [method, theirs, none, body] of pairs) {
      const [one, other] = [await call('alice', method, theirs, body), await call('alice', method, none, body)];
      expect([theirs, shape(one)]).toEqual([theirs, shape(other)]);
      expect(one.status).toBe(404);
    }
  });

  it('are judged for nobody who has no rights there: their tokens verify as unknown ones', async () => {
    const asked = async (token: string): Promise<unknown> => {
      const answer = await made('alice', 'POST', '/v1/keys/verify', { token });
      return { ...(answer.body as object), asOf: null };
    };
    expect(await asked(steward.tokens['eve'] ?? '')).toEqual(await asked(newToken('live', 'key_0000000000000000')));
  });

  it('are not reached through a request that names a place of one’s own', async () => {
    const theirs = await world.create('eve', {}, 'X1');
    const line = JSON.stringify({ projectId: 'X1', digest: '1'.repeat(64), owner: user('eve') });
    expect((await made('alice', 'POST', '/v1/keys/import', line)).body).toMatchObject({
      imported: 0,
      failed: [{ code: 'NOT_FOUND' }],
    });
    const many = await made('alice', 'POST', '/v1/keys/bulk', { action: 'disable', ids: [theirs.key.id] });
    expect(many.body).toMatchObject({ results: [{ status: 404, code: 'NOT_FOUND' }] });
    for (const path of [`${PROJECT}/members/..%2F..%2FX1%2Fmembers%2Feve`, `${PROJECT}/../X1`, `${PROJECT}%2F..%2FX1`])
      expect([400, 404]).toContain((await call('alice', 'GET', path)).status);
    expect(await word('alice', 'GET', `${PROJECT}/members?projectId=X1`)).toBe('400 VALIDATION');
    expect(await word('alice', 'GET', `${PROJECT}/members/eve`)).toBe('404 NOT_FOUND');
    expect(await world.verify(theirs.secret)).toBe('VALID');
  });
});

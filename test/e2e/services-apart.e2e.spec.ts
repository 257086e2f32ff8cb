import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { v7 as uuidV7 } from 'uuid';
import { ServicesApart, STALENESS_MS_MAX, until } from './services-apart.js';

const GPU = 'container-compute/gpu';
const wish = (amount = 1) => ({
  id: uuidV7(),
  userId: 'ada',
  items: [{ service: 'container-compute', resource: 'gpu', amount }],
  ttlSeconds: 600,
});

describe('services apart', () => {
  let apart: ServicesApart;
  let secret = '';
  let keyId = '';
  const verify = async (name: 'keys1' | 'keys2', token = secret) =>
    (await apart.call(name, 'POST', '/v1/keys/verify', { body: { token } })).body as { code: string };
  const newKey = async (name: 'keys1' | 'keys2', body: object = {}) =>
    (await apart.made(name, 'POST', '/v1/projects/P1/keys', { body: { owner: { type: 'user', id: 'ada' }, ...body } }))
      .body as { secret: string; key: { id: string } };

  beforeAll(async () => {
    apart = await ServicesApart.start();
    await apart.made('tenancy', 'POST', '/v1/tenants', { body: { id: 'acme', name: 'Acme' } });
    await apart.made('tenancy', 'POST', '/v1/tenants/acme/projects', { body: { id: 'P1', name: 'P1' } });
    await apart.made('tenancy', 'PUT', '/v1/projects/P1/members/ada', { body: { role: 'tenant_user' } });
    await apart.made('tenancy', 'PUT', '/v1/projects/P1/members/ada/services/container-compute', { body: {} });
    const made = await newKey('keys1');
    secret = made.secret;
    keyId = made.key.id;
  });
  afterAll(async () => {
    await apart.stop();
  });

  it('say which service is ready, and serve the routes of their own alone', async () => {
    for (const [name, service] of [
      ['keys1', 'keys'],
      ['tenancy', 'tenancy'],
      ['projector', 'projector'],
    ] as const)
      expect(apart.of(name).output.join('')).toContain(`"service":"${service}"`);
    expect((await apart.call('quotas', 'GET', `/v1/keys/${keyId}`)).status).toBe(404);
    expect((await apart.call('projector', 'GET', '/v1/whoami')).status).toBe(404);
    for (const name of apart.running.keys()) expect((await apart.call(name, 'GET', '/readyz')).status).toBe(200);
  });

  it('verify through one replica what another has just made, and know the caller’s key in each service', async () => {
    for (let n = 0; n < 20; n += 1) {
      const made = await newKey('keys1');
      expect(await verify('keys2', made.secret)).toMatchObject({ code: 'VALID' });
    }
    for (const name of ['keys2', 'quotas', 'tenancy', 'audit'] as const)
      expect((await apart.call(name, 'GET', '/v1/whoami', { token: secret })).body).toMatchObject({ id: 'ada' });
    expect((await apart.call('quotas', 'GET', '/v1/whoami', { token: 'stw_live_nonsense' })).status).toBe(401);
  });

  it('grant what the quotas have to a key of the project, and refuse over gRPC that its owner leaves', async () => {
    await apart.made('quotas', 'PUT', `/v1/projects/P1/quotas/${GPU}`, { body: { limit: 1_000 } });
    const granted = await apart.call('quotas', 'POST', '/v1/projects/P1/reservations', {
      token: secret,
      body: wish(10),
    });
    expect(granted.status).toBe(201);
    const left = await apart.call('tenancy', 'DELETE', '/v1/projects/P1/members/ada?disposition=block');
    expect([left.status, left.body]).toMatchObject([
      409,
      { code: 'MEMBER_HAS_USAGE', reservations: 1, allocations: 0, items: [{ resource: 'gpu', amount: 10 }] },
    ]);
  });

  it('list by position what the projector has folded', async () => {
    const made = await apart.made('tenancy', 'PUT', '/v1/projects/P1/members/ben', { body: { role: 'tenant_user' } });
    const headers = { 'steward-position': made.headers.get('steward-position') ?? '' };
    expect(headers['steward-position']).not.toBe('');
    const listed = await apart.made('tenancy', 'GET', '/v1/projects/P1/members', { headers });
    expect(JSON.stringify(listed.body)).toContain('"ben"');
    const key = await newKey('keys2', { name: 'listed' });
    const keys = await apart.made('keys2', 'GET', '/v1/projects/P1/keys');
    expect(JSON.stringify(keys.body)).toContain(key.key.id);
    const { checks } = (await apart.call('tenancy', 'GET', '/readyz')).body as {
      checks: { projections: { projections: { name: string; state: string }[] } };
    };
    expect(checks.projections.projections.find(({ name }) => name === 'tenancy')?.state).toBe('elsewhere');
  });

  it('go on with the read models where one projector is killed', async () => {
    await apart.kill('projector');
    const made = await apart.made('tenancy', 'PUT', '/v1/projects/P1/members/cyd', { body: { role: 'tenant_user' } });
    const headers = { 'steward-position': made.headers.get('steward-position') ?? '' };
    const list = () => apart.call('tenancy', 'GET', '/v1/projects/P1/members', { headers });
    const listed = await until('the other has taken over', list, ({ status }) => status === 200, 20_000);
    expect(JSON.stringify(listed.body)).toContain('"cyd"');
  });

  it('show the auditor the history of all of them, and a key’s owner the own part', async () => {
    const all = await apart.made('audit', 'GET', '/v1/audit/events?projectId=P1&limit=200');
    const types = (all.body as { data: { type: string }[] }).data.map(({ type }) => type);
    for (const type of ['MemberAdded', 'KeyCreated', 'QuotaReserved']) expect(types).toContain(type);
    const own = await apart.made('audit', 'GET', '/v1/audit/events?limit=200', { token: secret });
    expect(JSON.stringify(own.body)).toContain(keyId.slice('key_'.length));
  });

  it('refuse a key in every service once its revocation was acknowledged by one', async () => {
    const { key, secret: token } = await newKey('keys1');
    const ask = () => apart.call('quotas', 'GET', '/v1/whoami', { token });
    expect((await ask()).status).toBe(200);
    await apart.made('keys2', 'POST', `/v1/keys/${key.id}/revoke`, { body: { reason: 'compromised' } });
    await until('quotas refuse the key', ask, ({ status }) => status === 401, 2_000);
  });

  it('answer STALE from a replica that is cut off from the store for too long, while the other goes on', async () => {
    apart.network.set('stall');
    const cutMs = performance.now();
    expect((await verify('keys2')).code).toBe('VALID');
    await until(
      'it is stale',
      () => verify('keys2'),
      ({ code }) => code !== 'VALID',
      STALENESS_MS_MAX * 3,
    );
    const heldMs = performance.now() - cutMs;
    expect(heldMs).toBeGreaterThan(STALENESS_MS_MAX / 2);
    expect((await verify('keys2')).code).toBe('STALE');
    expect((await verify('keys1')).code).toBe('VALID');
    // Whoever asks the keys service is told by the replica that can tell.
    for (let n = 0; n < 4; n += 1)
      expect((await apart.call('quotas', 'GET', '/v1/whoami', { token: secret })).status).toBe(200);
    apart.network.set('pass');
    apart.network.cut();
    await until(
      'it is back',
      () => verify('keys2'),
      ({ code }) => code === 'VALID',
    );
  });

  it('answer 503 with Retry-After, and never 401, while no replica of the keys does', async () => {
    await apart.end('keys2');
    for (let n = 0; n < 4; n += 1)
      expect((await apart.call('quotas', 'GET', '/v1/whoami', { token: secret })).status).toBe(200);
    await apart.end('keys1');
    const refused = await apart.call('quotas', 'POST', '/v1/projects/P1/reservations', { token: secret, body: wish() });
    expect([refused.status, refused.body]).toMatchObject([503, { code: 'KEYS_UNAVAILABLE' }]);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    await apart.begin('keys1');
    await until(
      'the quotas find it again',
      () => apart.call('quotas', 'GET', '/v1/whoami', { token: secret }),
      ({ status }) => status === 200,
    );
  });

  it('count failed credentials where the request came in, and nowhere else', async () => {
    const wrong = async (name: 'quotas' | 'keys1') =>
      (await apart.call(name, 'GET', '/v1/whoami', { token: 'stw_live_nonsense' })).status;
    for (let n = 0; n < 30; n += 1) await wrong('quotas');
    expect([await wrong('quotas'), await wrong('keys1')]).toEqual([429, 401]);
    expect((await apart.call('quotas', 'GET', '/v1/whoami', { token: secret })).status).toBe(200);
  });

  it('change nothing where the quotas cannot tell what a member uses', async () => {
    await apart.end('quotas');
    const left = await apart.call('tenancy', 'DELETE', '/v1/projects/P1/members/ada?disposition=block');
    expect([left.status, left.body]).toMatchObject([503, { code: 'QUOTAS_UNAVAILABLE' }]);
    expect((await apart.call('tenancy', 'GET', '/v1/projects/P1/members/ada')).body).toMatchObject({ userId: 'ada' });
  });

  it('hold no pepper but in the keys service, and tell no secret', () => {
    expect(existsSync(join(apart.dataDir, 'no-pepper-here.json'))).toBe(false);
    const said = apart.said.flat().join('');
    expect(said).toContain('Steward is ready');
    for (const text of [secret, apart.adminToken]) expect(said).not.toContain(text);
  });
});

import { createHash } from 'node:crypto';
import { IdentityProvider } from '../../libs/platform/src/oidc/testing/identity-provider.js';
import { InProcessSteward } from '../../libs/testing/src/in-process-steward.js';
import { newToken } from '../../services/keys/src/key-secret.js';
import { aKeyWorld, type Created, type KeyWorld, user } from '../../services/keys/src/testing/key-world.js';

/** The power of a key is its scopes and its owner's role of now, and no key makes one beyond itself. */

let steward: InProcessSteward;
let world: KeyWorld;
let issuer: IdentityProvider;
const call: InProcessSteward['call'] = (...request) => steward.call(...request);
const made: InProcessSteward['made'] = (...request) => steward.made(...request);

const PROJECT = '/v1/projects/GOV1';
const OWN_PROJECT = { owner: { type: 'project', id: 'GOV1' } };
const day = (n: number): string => new Date(Date.now() + n * 86_400_000).toISOString();
const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

let keys = 0;
/** A key that `who` makes; its token answers to the name. */
async function keyOf(who: string, body: object, projectId = 'GOV1'): Promise<string> {
  keys += 1;
  const name = `${who}-${keys}`;
  const { secret, key } = await world.create(who, { ...body }, projectId);
  steward.tokens[name] = secret;
  ids.set(name, key.id);
  return name;
}
const ids = new Map<string, string>();
const pathOf = (name: string): string => `/v1/keys/${ids.get(name) ?? 'unknown'}`;

/** `done`, or the status and the code. */
async function refusal(who: string, method: string, path: string, body?: unknown): Promise<string> {
  const answer = await call(who, method, path, body);
  return answer.status < 300 ? 'done' : `${answer.status} ${(answer.body as { code: string }).code}`;
}

beforeAll(async () => {
  issuer = await IdentityProvider.start();
  steward = await InProcessSteward.start({
    STEWARD_AUTH_FAILURES_PER_MINUTE: '100000',
    STEWARD_OIDC_ISSUERS: JSON.stringify([issuer.configured()]),
  });
  world = await aKeyWorld(steward);
  await made('root', 'PUT', '/v1/principals/runner', { type: 'service', role: 'service' });
  await made('root', 'PUT', '/v1/principals/chief', { type: 'user', role: 'platform_admin' });
});
afterAll(async () => {
  await steward.stop();
  await issuer.stop();
});

describe('a key without canManageKeys', () => {
  const changes = (path: string): [string, string, unknown][] => [
    ['PATCH', path, { name: 'x' }],
    ['POST', `${path}/extend`, { days: 1 }],
    ['POST', `${path}/rotate`, {}],
    ['POST', `${path}/retire-secret`, { version: 1 }],
    ['POST', `${path}/disable`, {}],
    ['POST', `${path}/enable`, {}],
    ['POST', `${path}/transfer`, { owner: user('bob') }],
    ['DELETE', path, undefined],
  ];
  const makings: [string, string, unknown][] = [
    ['POST', `${PROJECT}/keys`, {}],
    ['POST', `${PROJECT}/keys`, { scopes: [] }],
    ['POST', `${PROJECT}/keys`, OWN_PROJECT],
    ['POST', '/v1/keys/import', JSON.stringify({ projectId: 'GOV1', digest: digest('x'), owner: user('alice') })],
    ['POST', '/v1/keys/bulk', { action: 'disable', ids: ['key_0000000000000000'] }],
  ];

  it.each<[string, object]>([
    ['without scopes', {}],
    ['with the very scope of it', { scopes: ['steward:keys:write'] }],
    ['with every scope', { scopes: ['*'] }],
  ])('%s changes no key, its own neither, and makes none', async (_name, body) => {
    const [plain, another] = [await keyOf('root', { owner: user('alice'), ...body }), await keyOf('alice', {})];
    for (const [method, path, sent] of [...changes(pathOf(plain)), ...changes(pathOf(another)), ...makings])
      expect([method, path, await refusal(plain, method, path, sent)]).toEqual([
        method,
        path,
        '403 KEY_CANNOT_MANAGE_KEYS',
      ]);
    expect(await refusal(plain, 'POST', `${pathOf(another)}/revoke`, { reason: 'other' })).toBe(
      '403 KEY_CANNOT_MANAGE_KEYS',
    );
  });

  it('makes none of a principal either, the platform administrator’s own neither', async () => {
    const { secret } = (await made('root', 'POST', '/v1/principals/chief/keys', {})).body as Created;
    expect(await refusal(secret, 'POST', '/v1/principals/chief/keys', {})).toBe('403 KEY_CANNOT_MANAGE_KEYS');
    expect(await refusal(secret, 'POST', '/v1/principals/runner/keys', {})).toBe('403 KEY_CANNOT_MANAGE_KEYS');
    expect(await refusal(secret, 'GET', '/v1/principals')).toBe('done');
  });

  it('verifies, lists and reads what its role may, and ends itself', async () => {
    const plain = await keyOf('alice', {});
    const path = pathOf(plain);
    for (const [method, asked, body] of [
      ['GET', '/v1/keys', undefined],
      ['GET', `${PROJECT}/keys`, undefined],
      ['GET', path, undefined],
      ['GET', `${path}/history`, undefined],
      ['POST', '/v1/keys/verify', { token: steward.tokens['bob'] }],
      ['GET', `${PROJECT}/quotas`, undefined],
      ['PUT', `${PROJECT}/members/bob`, { role: 'tenant_user' }],
      ['POST', `${path}/revoke`, { reason: 'unused' }],
    ] as const)
      expect([asked, await refusal(plain, method, asked, body)]).toEqual([asked, 'done']);
    expect(await refusal(plain, 'GET', '/v1/whoami')).toBe('401 UNAUTHENTICATED');
  });

  it('with no scope at all says who it is, ends itself and does nothing else', async () => {
    const nobody = await keyOf('alice', { scopes: [], canManageKeys: true });
    expect((await made(nobody, 'GET', '/v1/whoami')).body).toMatchObject({ id: 'alice' });
    for (const path of ['/v1/keys', PROJECT, `${PROJECT}/quotas/me`, '/v1/catalogue', '/v1/audit/events'])
      expect([path, await refusal(nobody, 'GET', path)]).toEqual([path, '403 FORBIDDEN']);
    expect(await refusal(nobody, 'POST', `${PROJECT}/keys`, { scopes: [] })).toBe('403 FORBIDDEN');
    expect(await refusal(nobody, 'POST', `${pathOf(nobody)}/revoke`, { reason: 'unused' })).toBe('done');
  });
});

describe('a key that manages keys', () => {
  const narrow = {
    canManageKeys: true,
    scopes: ['storage:*', 'steward:keys:*'],
    expiresAt: day(20),
    ipAllow: ['127.0.0.0/8', '2001:db8::/32'],
    ipDeny: ['127.9.0.0/16'],
    audiences: ['steward', 'storage'],
  };
  const within = { ...narrow, canManageKeys: false };
  const beyond: [string, object, string][] = [
    ['another scope', { scopes: ['compute:read'] }, 'SCOPE_EXCEEDS_OWNER'],
    ['a wider wildcard', { scopes: ['*'] }, 'SCOPE_EXCEEDS_OWNER'],
    ['another of Steward’s own scopes', { scopes: ['steward:members:write'] }, 'SCOPE_EXCEEDS_OWNER'],
    ['all scopes', { scopes: null }, 'SCOPE_EXCEEDS_OWNER'],
    ['a longer life', { expiresAt: day(21) }, 'FORBIDDEN'],
    ['a life without end', { expiresAt: null }, 'FORBIDDEN'],
    ['a larger network', { ipAllow: ['126.0.0.0/7'] }, 'FORBIDDEN'],
    ['another network', { ipAllow: ['127.0.0.0/8', '192.0.2.0/24'] }, 'FORBIDDEN'],
    ['every network', { ipAllow: [] }, 'FORBIDDEN'],
    ['a smaller ban', { ipDeny: ['127.9.1.0/24'] }, 'FORBIDDEN'],
    ['no ban', { ipDeny: [] }, 'FORBIDDEN'],
    ['another audience', { audiences: ['storage', 'compute'] }, 'FORBIDDEN'],
    ['every audience', { audiences: [] }, 'FORBIDDEN'],
  ];
  let manager: string;
  beforeAll(async () => {
    manager = await keyOf('alice', narrow);
  });

  it('makes one that is all of itself, a manager too', async () => {
    expect(await refusal(manager, 'POST', `${PROJECT}/keys`, narrow)).toBe('done');
    expect(await refusal(manager, 'POST', `${PROJECT}/keys`, { ...within, owner: user('bob') })).toBe('done');
  });

  it.each(beyond)('makes, imports or edits none with %s', async (_name, field, code) => {
    expect(await refusal(manager, 'POST', `${PROJECT}/keys`, { ...within, ...field })).toBe(`403 ${code}`);
    const bobs = { ...within, ...field, owner: user('bob') };
    expect(await refusal(manager, 'POST', `${PROJECT}/keys`, bobs)).toBe(`403 ${code}`);
    if (!('expiresAt' in field)) {
      const edited = await keyOf(manager, within);
      expect(await refusal(manager, 'PATCH', pathOf(edited), field)).toBe(`403 ${code}`);
      expect(await refusal(manager, 'PATCH', pathOf(manager), field)).toBe(`403 ${code}`);
    }
  });

  it('imports none beyond itself', async () => {
    const line = (fields: object): string =>
      JSON.stringify({
        projectId: 'GOV1',
        owner: user('alice'),
        digest: digest(`token ${JSON.stringify(fields)}`),
        ...fields,
      });
    const answer = await made(
      manager,
      'POST',
      '/v1/keys/import',
      [
        line({ scopes: ['compute:read'], expiresAt: day(9) }),
        line({ scopes: ['storage:read'] }),
        line({ expiresAt: day(9) }),
      ].join('\n'),
    );
    const { imported, failed } = answer.body as { imported: number; failed: { code: string }[] };
    expect(imported).toBe(0);
    expect(failed.map(({ code }) => code)).toEqual(['SCOPE_EXCEEDS_OWNER', 'FORBIDDEN', 'SCOPE_EXCEEDS_OWNER']);
  });

  it('takes no hold of a stronger one: it is not rotated, extended, enabled or handed on', async () => {
    const stronger = await keyOf('alice', { ttlDays: 5 });
    for (const [action, body] of [
      ['rotate', {}],
      ['extend', { days: 1 }],
      ['enable', {}],
      ['transfer', { owner: user('bob') }],
      ['transfer', OWN_PROJECT],
    ] as const)
      expect([action, await refusal(manager, 'POST', `${pathOf(stronger)}/${action}`, body)]).toEqual([
        action,
        '403 SCOPE_EXCEEDS_OWNER',
      ]);
    const bulk = { action: 'extend', ids: [ids.get(stronger)], days: 1 };
    expect((await made(manager, 'POST', '/v1/keys/bulk', bulk)).body).toMatchObject({
      results: [{ status: 403, code: 'SCOPE_EXCEEDS_OWNER' }],
    });
    expect(await world.verify(steward.tokens[stronger] ?? '')).toBe('VALID');
  });

  it('does not outlive itself by extension', async () => {
    expect(await refusal(manager, 'POST', `${pathOf(manager)}/extend`, { days: 1 })).toBe('403 FORBIDDEN');
    const child = await keyOf(manager, { ...within, expiresAt: day(19) });
    expect(await refusal(manager, 'POST', `${pathOf(child)}/extend`, { days: 5 })).toBe('403 FORBIDDEN');
    expect(await refusal(manager, 'POST', `${pathOf(child)}/extend`, { until: day(19.5) })).toBe('done');
  });

  it('passes on what it has, less at every link of a chain', async () => {
    const child = await keyOf(manager, { ...narrow, scopes: ['storage:read', 'steward:keys:*'], expiresAt: day(10) });
    const grandchild = { ...within, scopes: ['storage:read'], expiresAt: day(5) };
    expect(await refusal(child, 'POST', `${PROJECT}/keys`, grandchild)).toBe('done');
    expect(await refusal(child, 'POST', `${PROJECT}/keys`, { ...grandchild, scopes: ['storage:write'] })).toBe(
      '403 SCOPE_EXCEEDS_OWNER',
    );
    expect(await refusal(child, 'POST', `${PROJECT}/keys`, { ...grandchild, expiresAt: day(15) })).toBe(
      '403 FORBIDDEN',
    );
    expect(await refusal(child, 'POST', `${pathOf(manager)}/rotate`, {})).toBe('403 SCOPE_EXCEEDS_OWNER');
  });

  it('needs the scope of it as well', async () => {
    const reader = await keyOf('alice', { canManageKeys: true, scopes: ['steward:keys:read'] });
    expect(await refusal(reader, 'GET', `${PROJECT}/keys`)).toBe('done');
    expect(await refusal(reader, 'POST', `${PROJECT}/keys`, { scopes: [] })).toBe('403 FORBIDDEN');
    expect(await refusal(reader, 'PUT', `${PROJECT}/members/carol`, { role: 'tenant_user' })).toBe('403 FORBIDDEN');
  });

  it('makes keys for no other owner than its role may, in no other project, and of no principal', async () => {
    const bobs = await keyOf('root', { owner: user('bob'), canManageKeys: true });
    expect(await refusal(bobs, 'POST', `${PROJECT}/keys`, {})).toBe('done');
    for (const owner of [user('alice'), OWN_PROJECT.owner, { type: 'service', id: 'runner' }])
      expect(await refusal(bobs, 'POST', `${PROJECT}/keys`, { owner })).toBe('403 FORBIDDEN');
    expect(await refusal('alice', 'POST', '/v1/projects/GOV2/keys', { owner: user('alice') })).toBe('403 FORBIDDEN');
    expect(await refusal('alice', 'POST', '/v1/principals/runner/keys', {})).toBe('404 NOT_FOUND');
    expect(await refusal('alice', 'POST', '/v1/principals/bootstrap-admin/keys', {})).toBe('404 NOT_FOUND');
  });

  it('of a platform administrator is held to its own scopes with every principal', async () => {
    const body = { canManageKeys: true, scopes: ['steward:keys:*'], ttlDays: 30 };
    const { secret } = (await made('root', 'POST', '/v1/principals/chief/keys', body)).body as Created;
    const make = (more: object) => refusal(secret, 'POST', '/v1/principals/bootstrap-admin/keys', more);
    expect(await make({ ttlDays: 9 })).toBe('403 SCOPE_EXCEEDS_OWNER');
    expect(await make({ scopes: ['steward:tenants:write'], ttlDays: 9 })).toBe('403 SCOPE_EXCEEDS_OWNER');
    expect(await make({ scopes: ['steward:keys:read'], ttlDays: 40 })).toBe('403 FORBIDDEN');
    expect(await make({ scopes: ['steward:keys:read'], ttlDays: 9 })).toBe('done');
  });

  it('that the client made is held to the same', async () => {
    const keyId = 'key_ClientMade000009';
    const secretDigest = digest(newToken('live', keyId));
    const body = { ...within, scopes: ['compute:read'], keyId, secretDigest };
    expect(await refusal(manager, 'POST', `${PROJECT}/keys`, body)).toBe('403 SCOPE_EXCEEDS_OWNER');
  });
});

describe('a project-owned key', () => {
  it('acts in the role named at its creation, at most in its creator’s, and never in another', async () => {
    expect(await refusal('bob', 'POST', `${PROJECT}/keys`, { ...OWN_PROJECT, role: 'tenant_admin' })).toBe(
      '403 FORBIDDEN',
    );
    const low = await keyOf('alice', { ...OWN_PROJECT, canManageKeys: true });
    expect(await refusal(low, 'GET', `${PROJECT}/quotas`)).toBe('403 FORBIDDEN');
    expect(await refusal(low, 'POST', `${PROJECT}/keys`, { role: 'tenant_user', ...OWN_PROJECT })).toBe('done');
    expect(await refusal(low, 'POST', `${PROJECT}/keys`, { role: 'tenant_admin', ...OWN_PROJECT })).toBe(
      '403 FORBIDDEN',
    );
    const high = await keyOf('alice', { ...OWN_PROJECT, role: 'tenant_admin', canManageKeys: true });
    expect(await refusal(high, 'GET', `${PROJECT}/quotas`)).toBe('done');
    const handed = { ...OWN_PROJECT, role: 'tenant_admin' };
    expect(await refusal(low, 'POST', `${pathOf(low)}/transfer`, handed)).toBe('403 FORBIDDEN');
    for (const projectId of ['GOV2', 'X1']) {
      const owner = { type: 'project', id: projectId };
      expect(await refusal('alice', 'POST', `${PROJECT}/keys`, { owner })).toBe('422 OWNER_UNKNOWN');
    }
  });

  it('keeps its role when its creator loses the own', async () => {
    await made('root', 'PUT', `${PROJECT}/members/dora`, { role: 'tenant_admin' });
    const doras = await keyOf('root', { owner: user('dora'), canManageKeys: true });
    const projects = await keyOf(doras, { ...OWN_PROJECT, role: 'tenant_admin' });
    await made('root', 'DELETE', `${PROJECT}/members/dora`);
    expect(await refusal(doras, 'GET', '/v1/whoami')).toBe('401 UNAUTHENTICATED');
    expect(await refusal(projects, 'GET', `${PROJECT}/quotas`)).toBe('done');
  });
});

describe('the power of a key', () => {
  it('sinks and rises at once with the role of its owner', async () => {
    await made('root', 'PUT', `${PROJECT}/members/erin`, { role: 'tenant_admin' });
    const erins = await keyOf('root', { owner: user('erin'), canManageKeys: true });
    const scoped = await keyOf('root', { owner: user('erin'), scopes: ['steward:quotas:read'] });
    const powers = async (): Promise<string[]> => [
      await refusal(erins, 'GET', `${PROJECT}/quotas`),
      await refusal(scoped, 'GET', `${PROJECT}/quotas`),
      await refusal(erins, 'PUT', `${PROJECT}/members/bob`, { role: 'tenant_user' }),
      await refusal(erins, 'POST', `${PROJECT}/keys`, { owner: user('bob') }),
    ];
    expect(new Set(await powers())).toEqual(new Set(['done']));
    await made('root', 'PUT', `${PROJECT}/members/erin`, { role: 'tenant_user' });
    expect(new Set(await powers())).toEqual(new Set(['403 FORBIDDEN']));
    await made('root', 'PUT', `${PROJECT}/members/erin`, { role: 'tenant_admin' });
    expect(new Set(await powers())).toEqual(new Set(['done']));
  });

  it('is not raised by its owner’s membership elsewhere, nor by a principal of the owner’s id', async () => {
    await made('root', 'PUT', `${PROJECT}/members/fred`, { role: 'tenant_user' });
    await made('root', 'PUT', '/v1/projects/GOV2/members/fred', { role: 'tenant_admin' });
    await made('root', 'PUT', '/v1/principals/fred', { type: 'user', role: 'tenant_owner', tenantId: 'acme' });
    const inOne = await keyOf('root', { owner: user('fred'), canManageKeys: true });
    const inTwo = await keyOf('root', { owner: user('fred') }, 'GOV2');
    expect(await refusal(inOne, 'GET', `${PROJECT}/quotas`)).toBe('403 FORBIDDEN');
    expect(await refusal(inOne, 'GET', '/v1/projects/GOV2/quotas')).toBe('403 FORBIDDEN');
    expect(await refusal(inOne, 'GET', '/v1/tenants/acme')).toBe('403 FORBIDDEN');
    expect(await refusal(inTwo, 'GET', '/v1/projects/GOV2/quotas')).toBe('done');
    expect(await refusal(inTwo, 'GET', PROJECT)).toBe('403 FORBIDDEN');
    const { secret } = (await made('root', 'POST', '/v1/principals/fred/keys', {})).body as Created;
    expect(await refusal(secret, 'GET', '/v1/projects/GOV2/quotas')).toBe('done');
  });

  it('of a service in a project is a service’s there, whatever the principal is elsewhere', async () => {
    const { secret, key } = await world.create('root', { owner: { type: 'service', id: 'bootstrap-admin' } });
    expect(key.owner.role).toBe('service');
    expect(await refusal(secret, 'POST', '/v1/tenants', { id: 'mine', name: 'Mine' })).toBe('403 FORBIDDEN');
    expect(await refusal(secret, 'PUT', `${PROJECT}/members/bob`, { role: 'tenant_admin' })).toBe('403 FORBIDDEN');
    expect(await refusal(secret, 'GET', '/v1/projects/X1')).toBe('404 NOT_FOUND');
  });

  it('of another tenant’s service is none here: it may own no key', async () => {
    await made('root', 'PUT', '/v1/principals/theirs', { type: 'service', role: 'service', tenantId: 'other' });
    const owner = { type: 'service', id: 'theirs' };
    expect(await refusal('alice', 'POST', `${PROJECT}/keys`, { owner })).toBe('422 OWNER_UNKNOWN');
  });
});

describe('the rights of a person', () => {
  const signedIn = (sub: string): Promise<string> => issuer.sign({ ...issuer.claims(Date.now()), sub });

  it('are the union of the memberships and of the principal of the same id, and bound by no key', async () => {
    await made('root', 'PUT', `${PROJECT}/members/gina`, { role: 'tenant_user' });
    await made('root', 'PUT', '/v1/projects/GOV2/members/gina', { role: 'tenant_admin' });
    const gina = await signedIn('gina');
    expect(await refusal(gina, 'POST', `${PROJECT}/keys`, { canManageKeys: true })).toBe('done');
    expect(await refusal(gina, 'GET', `${PROJECT}/quotas`)).toBe('403 FORBIDDEN');
    expect(await refusal(gina, 'GET', '/v1/projects/GOV2/quotas')).toBe('done');
    expect(await refusal(gina, 'GET', '/v1/projects/X1/quotas')).toBe('404 NOT_FOUND');
    await made('root', 'PUT', '/v1/principals/gina', { type: 'user', role: 'auditor' });
    expect(await refusal(gina, 'GET', `${PROJECT}/quotas`)).toBe('done');
    expect(await refusal(gina, 'GET', '/v1/projects/X1/quotas')).toBe('done');
    expect(await refusal(gina, 'PUT', `${PROJECT}/members/bob`, { role: 'tenant_user' })).toBe('403 FORBIDDEN');
    await made('root', 'DELETE', '/v1/principals/gina');
    expect(await refusal(gina, 'GET', '/v1/projects/X1/quotas')).toBe('404 NOT_FOUND');
    expect(await refusal(gina, 'GET', `${PROJECT}/quotas`)).toBe('403 FORBIDDEN');
  });

  it('are never those of a service of the same id', async () => {
    await made('root', 'PUT', '/v1/principals/hal', { type: 'service', role: 'platform_admin' });
    const hal = await signedIn('hal');
    expect(await refusal(hal, 'GET', '/v1/whoami')).toBe('done');
    expect(await refusal(hal, 'GET', '/v1/tenants')).toBe('403 FORBIDDEN');
    expect(await refusal(hal, 'POST', '/v1/principals/hal/keys', {})).toBe('404 NOT_FOUND');
  });
});

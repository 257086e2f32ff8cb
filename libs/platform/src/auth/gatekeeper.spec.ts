import type { ErrorCode } from '#libs/contracts';
import { tokenOf } from './credentials.js';
import type { AdmissionRequest } from './gatekeeper.js';
import { inGov1, refusal, steward, user } from './testing/gate-world.js';

describe('a credential', () => {
  it('is a Bearer token or an X-API-Key and nothing else', () => {
    const of = (headers: Record<string, string>) => tokenOf((name) => headers[name]);
    expect(of({})).toBeNull();
    expect(of({ authorization: 'Bearer abc' })).toBe('abc');
    expect(of({ authorization: 'bearer abc' })).toBe('abc');
    expect(of({ 'x-api-key': 'abc' })).toBe('abc');
    expect(of({ authorization: 'Bearer abc', 'x-api-key': 'abc' })).toBe('abc');
    expect(of({ authorization: 'Bearer abc', 'x-api-key': 'def' })).toBeNull();
    expect(of({ authorization: 'Basic YTpi' })).toBeNull();
    expect(of({ authorization: 'Bearer a b' })).toBeNull();
    expect(of({ 'x-api-key': '' })).toBeNull();
  });

  it('that is missing is refused at once and not counted', async () => {
    const { admit, follower } = steward();
    for (let n = 0; n < 10; n += 1) expect(await refusal(admit(null))).toBe('UNAUTHENTICATED');
    expect(follower.headReads).toBe(0);
  });

  it('that is malformed is refused without a look at the store', async () => {
    const { admit, follower } = steward();
    expect(await refusal(admit('nonsense'))).toBe('UNAUTHENTICATED');
    expect(follower.headReads).toBe(0);
  });

  it('that the keys service has refused at the store’s head is not asked for again', async () => {
    const { admit, follower, keys } = steward();
    keys.byToken.set('stw_gone', { ok: false, code: 'REVOKED', isFinal: true });
    expect(await refusal(admit('stw_gone'))).toBe('UNAUTHENTICATED');
    expect([keys.asked, follower.headReads]).toEqual([[false], 0]);
  });

  it('that memory would refuse is asked for again as it stands at the store’s head', async () => {
    const { admit, keys } = steward();
    expect(await refusal(admit('stw_unknown'))).toBe('UNAUTHENTICATED');
    expect(keys.asked).toEqual([false, true]);
  });

  it('that memory permits passes without a look at the store', async () => {
    const { admit, follower } = steward();
    const { principal, target, access } = await admit('stw_alice');
    expect(principal).toMatchObject({ type: 'user', id: 'alice', via: 'key:key_stw_alice', tenantId: 'acme' });
    expect(principal.grants).toEqual([{ role: 'tenant_user', ...inGov1 }]);
    expect(target).toEqual(inGov1);
    expect(access.visible).toEqual([{ kind: 'project', projectId: 'GOV1' }]);
    expect(follower.headReads).toBe(0);
  });

  it('is held to the addresses of its key', async () => {
    const { admit, keys } = steward();
    keys.add('stw_home', user('alice'), inGov1, { ipAllow: ['198.51.100.0/24'] });
    keys.add('stw_ban', user('alice'), inGov1, { ipDeny: ['192.0.2.7/32'] });
    expect(await refusal(admit('stw_home'))).toBe('FORBIDDEN');
    expect(await refusal(admit('stw_home', { ip: null }))).toBe('FORBIDDEN');
    expect(await refusal(admit('stw_home', { ip: '198.51.100.1' }))).toBe('admitted');
    expect(await refusal(admit('stw_ban'))).toBe('FORBIDDEN');
    for (let n = 0; n < 10; n += 1) expect(await refusal(admit('stw_home'))).toBe('FORBIDDEN');
  });

  it('made for other services opens no door here', async () => {
    const { admit, keys } = steward();
    keys.add('stw_storage', user('alice'), inGov1, { audiences: ['storage'] });
    keys.add('stw_both', user('alice'), inGov1, { audiences: ['steward', 'storage'] });
    expect(await refusal(admit('stw_storage'))).toBe('FORBIDDEN');
    expect(await refusal(admit('stw_both'))).toBe('admitted');
  });

  it('stops with its owner, its project and its tenant', async () => {
    const { admit, follower } = steward();
    follower.write('project-GOV1', 'acme', { type: 'MemberSuspended', data: { userId: 'alice' } });
    expect(await refusal(admit('stw_alice'))).toBe('UNAUTHENTICATED');
    follower.write('project-GOV1', 'acme', { type: 'MemberResumed', data: { userId: 'alice' } });
    expect(await refusal(admit('stw_alice'))).toBe('admitted');
    follower.write('tenant-acme', 'acme', { type: 'TenantSuspended', data: {} });
    expect(await refusal(admit('stw_alice'))).toBe('UNAUTHENTICATED');
    expect(await refusal(admit('stw_root'))).toBe('admitted');
  });

  it('with no scope tells only who it is', async () => {
    const { admit, keys } = steward();
    keys.add('stw_nobody', user('alice'), inGov1, { scopes: [] });
    expect(await refusal(admit('stw_nobody'))).toBe('FORBIDDEN');
    const whoami = await admit('stw_nobody', { requires: { action: null, target: 'platform' }, params: {} });
    expect(whoami.principal.id).toBe('alice');
    expect(whoami.access.visible).toEqual([]);
  });
});

describe('a refusal', () => {
  const routes: [string, string, Partial<AdmissionRequest>, ErrorCode | 'admitted'][] = [
    ['a project of the own tenant that is not one’s own', 'stw_alice', { params: { projectId: 'GOV2' } }, 'FORBIDDEN'],
    ['another tenant’s project', 'stw_alice', { params: { projectId: 'X1' } }, 'NOT_FOUND'],
    ['a project that does not exist', 'stw_alice', { params: { projectId: 'nowhere' } }, 'NOT_FOUND'],
    ['a project called __proto__', 'stw_root', { params: { projectId: '__proto__' } }, 'NOT_FOUND'],
    [
      'another member’s key',
      'stw_alice',
      { requires: { action: 'keys:read', target: 'key' }, params: { keyId: 'key_stw_adam' } },
      'FORBIDDEN',
    ],
    [
      'one’s own key, to be read',
      'stw_alice',
      { requires: { action: 'keys:read', target: 'key' }, params: { keyId: 'key_stw_alice' } },
      'admitted',
    ],
    [
      'one’s own key, to be changed by a key that manages none',
      'stw_alice',
      { requires: { action: 'keys:update', target: 'key' }, params: { keyId: 'key_stw_alice' } },
      'KEY_CANNOT_MANAGE_KEYS',
    ],
    [
      'a member’s key, to be changed by an admin’s key that manages keys',
      'stw_adam',
      { requires: { action: 'keys:update', target: 'key' }, params: { keyId: 'key_stw_alice' } },
      'admitted',
    ],
    [
      'the platform’s key',
      'stw_adam',
      { requires: { action: 'keys:read', target: 'key' }, params: { keyId: 'key_stw_root' } },
      'NOT_FOUND',
    ],
    [
      'a key that does not exist',
      'stw_root',
      { requires: { action: 'keys:read', target: 'key' }, params: { keyId: 'key_x' } },
      'NOT_FOUND',
    ],
    [
      'the own row',
      'stw_alice',
      { requires: { action: 'members:read', target: 'member' }, params: { projectId: 'GOV1', userId: 'alice' } },
      'admitted',
    ],
    [
      'another’s row',
      'stw_alice',
      { requires: { action: 'members:read', target: 'member' }, params: { projectId: 'GOV1', userId: 'adam' } },
      'FORBIDDEN',
    ],
    ['the own quota', 'stw_alice', { requires: { action: 'quotas:read', target: 'self' } }, 'admitted'],
    ['everybody’s quota', 'stw_alice', { requires: { action: 'quotas:read', target: 'project' } }, 'FORBIDDEN'],
    ['the list of keys', 'stw_alice', { requires: { action: 'keys:read', target: 'list' }, params: {} }, 'admitted'],
    [
      'a tenant',
      'stw_root',
      { requires: { action: 'tenants:write', target: 'tenant' }, params: { tenantId: 'acme' } },
      'admitted',
    ],
    [
      'offboarding a user by a project’s admin',
      'stw_adam',
      { requires: { action: 'members:write', target: 'user' }, params: { tenantId: 'acme', userId: 'alice' } },
      'FORBIDDEN',
    ],
    [
      'making a tenant',
      'stw_adam',
      { requires: { action: 'tenants:write', target: 'platform' }, params: {} },
      'FORBIDDEN',
    ],
    [
      'a principal',
      'stw_root',
      { requires: { action: 'principals:read', target: 'principal' }, params: { principalId: 'root' } },
      'admitted',
    ],
    ['a bulk change', 'stw_adam', { requires: { action: 'keys:bulk', target: 'deferred' }, params: {} }, 'admitted'],
  ];

  it.each(routes)('of %s by %s', async (_, token, request, expected) => {
    const { admit, follower } = steward();
    follower.write('project-GOV2', 'acme', { type: 'ProjectCreated', data: { name: 'Sun' } });
    expect(await refusal(admit(token, request))).toBe(expected);
    expect(follower.headReads).toBe(expected === 'admitted' ? 0 : 1);
  });

  it('is never given for lag: of a member, a key or a project that another process made', async () => {
    const { admit, follower, keys } = steward();
    follower.elsewhere(() => {
      follower.write('project-GOV9', 'acme', { type: 'ProjectCreated', data: { name: 'New' } });
    });
    expect(await refusal(admit('stw_root', { params: { projectId: 'GOV9' } }))).toBe('admitted');

    follower.elsewhere(() => {
      follower.write('project-GOV9', 'acme', { type: 'MemberAdded', data: { userId: 'zoe', role: 'tenant_user' } });
      keys.add('stw_zoe', user('zoe'), { tenantId: 'acme', projectId: 'GOV9' });
    });
    expect(await refusal(admit('stw_zoe', { params: { projectId: 'GOV9' } }))).toBe('admitted');
    expect(follower.headReads).toBe(2);
  });

  it('is 503 where the head cannot be reached, but for whoever decides from memory', async () => {
    const { admit, follower } = steward();
    follower.unreachable = true;
    expect(await refusal(admit('stw_alice'))).toBe('admitted');
    expect(await refusal(admit('stw_unknown'))).toBe('STORE_UNAVAILABLE');
    expect(await refusal(admit('stw_alice', { params: { projectId: 'X1' } }))).toBe('STORE_UNAVAILABLE');
    const verify = { requires: { action: 'keys:verify', target: 'deferred', decidesFromMemory: true } } as const;
    expect(await refusal(admit('stw_alice', verify))).toBe('admitted');
    expect(await refusal(admit('stw_unknown', verify))).toBe('UNAUTHENTICATED');
  });

  it('is STALE for everybody past the bound, but for whoever decides from memory', async () => {
    const { admit, follower } = steward();
    follower.stale = 30_001;
    expect(await refusal(admit('stw_alice'))).toBe('STALE');
    expect(await refusal(admit(null))).toBe('UNAUTHENTICATED');
    const verify = { requires: { action: 'keys:verify', target: 'deferred', decidesFromMemory: true } } as const;
    expect(await refusal(admit('stw_alice', verify))).toBe('admitted');
    follower.stale = Number.POSITIVE_INFINITY;
    expect(await refusal(admit('stw_alice', verify))).toBe('STALE');
    follower.stale = 30_000;
    expect(await refusal(admit('stw_alice'))).toBe('admitted');
  });

  it('is 429 from the address that failed too often, and never for a valid credential from there', async () => {
    const { admit } = steward();
    for (let n = 0; n < 3; n += 1) expect(await refusal(admit('stw_wrong'))).toBe('UNAUTHENTICATED');
    await expect(admit('stw_wrong')).rejects.toMatchObject({
      code: 'TOO_MANY_REQUESTS',
      extra: { retryAfterSeconds: 20 },
    });
    expect(await refusal(admit('stw_alice'))).toBe('admitted');
    expect(await refusal(admit('stw_alice', { params: { projectId: 'X1' } }))).toBe('NOT_FOUND');
    expect(await refusal(admit('stw_wrong', { ip: '192.0.2.8' }))).toBe('UNAUTHENTICATED');
    expect(await refusal(admit(null))).toBe('UNAUTHENTICATED');
  });
});

describe('a request that bears a position', () => {
  it('is decided after the indexes have passed it', async () => {
    const { admit, follower } = steward();
    follower.elsewhere(() => {
      follower.write('project-GOV1', 'acme', {
        type: 'MemberRemoved',
        data: { userId: 'alice', disposition: 'block', to: null },
      });
    });
    expect(await refusal(admit('stw_alice'))).toBe('admitted');
    expect(await refusal(admit('stw_alice', { minPosition: () => Promise.resolve('1') }))).toBe('UNAUTHENTICATED');
  });

  it('has its key looked at where another process is at the head, which may lag behind the position otherwise', async () => {
    const { admit, keys } = steward();
    expect(await refusal(admit('stw_alice', { minPosition: () => Promise.resolve('1') }))).toBe('admitted');
    expect(keys.asked).toEqual([false, true]);
  });

  it('is 504 where they do not reach it, and is read only for those who were let in', async () => {
    const { admit } = steward();
    const never = { minPosition: () => Promise.resolve('never') };
    expect(await refusal(admit('stw_alice', never))).toBe('PROJECTION_LAG');
    expect(await refusal(admit('stw_wrong', never))).toBe('UNAUTHENTICATED');
  });
});

describe('targets that a body names', () => {
  it('are authorised one by one, at the head', async () => {
    const { admit, follower, gatekeeper, targets } = steward();
    const context = await admit('stw_adam', { requires: { action: 'keys:create', target: 'deferred' }, params: {} });
    const owned = (id: string) => () => targets.ownedBy('GOV1', { type: 'user', id });
    expect(await gatekeeper.authorize(context, 'keys:create', owned('alice'))).toMatchObject(inGov1);
    expect(follower.headReads).toBe(0);
    expect(await refusal(gatekeeper.authorize(context, 'keys:create', () => targets.project('X1')))).toBe('NOT_FOUND');
    expect(await refusal(gatekeeper.authorize(context, 'projects:write', () => targets.project('GOV1')))).toBe(
      'FORBIDDEN',
    );
    follower.elsewhere(() => {
      follower.write('principal-adam', 'acme', {
        type: 'PrincipalRegistered',
        data: { type: 'user', role: 'auditor' },
      });
      follower.write('project-GOV1', 'acme', {
        type: 'MemberRoleChanged',
        data: { userId: 'adam', from: 'tenant_admin', to: 'tenant_user' },
      });
    });
    const verdicts = await gatekeeper.verdicts(context, 'keys:delete', [
      () => targets.key('key_stw_alice'),
      () => targets.key('key_stw_root'),
      () => targets.key('key_none'),
    ]);
    expect(verdicts).toEqual(['permitted', 'not-found', 'not-found']);
    expect(await refusal(gatekeeper.authorize(context, 'keys:delete', () => targets.project('X1')))).toBe('NOT_FOUND');
  });

  it('are permitted by a role that another process gave a moment ago', async () => {
    const { admit, follower, gatekeeper, targets, keys } = steward();
    keys.add('stw_alice2', user('alice'), inGov1, { canManageKeys: true });
    const context = await admit('stw_alice2');
    follower.elsewhere(() => {
      follower.write('project-GOV1', 'acme', {
        type: 'MemberRoleChanged',
        data: { userId: 'alice', from: 'tenant_user', to: 'tenant_admin' },
      });
    });
    expect(await refusal(gatekeeper.authorize(context, 'keys:delete', () => targets.key('key_stw_adam')))).toBe(
      'admitted',
    );
  });
});

import type { Role } from '#libs/contracts';
import { type Action, actions, judge, memberRoleAtMost, permits, roleCanUse, visibleTo } from './policy.js';
import type { CallerKey, Grant, Principal } from './principal.js';
import type { Target } from './target.js';

/**
 * Written by hand from the rights that docs promise, apart from the policy table. A word is one role's answers to six
 * targets: what the caller owns in project P1 of tenant T1; another's in P1; in P2 of T1; T1 itself; in X1 of tenant T2;
 * the platform. Y = yes, F = forbidden, N = not found.
 */
const expected = `
action                  user   admin  owner  platf. serv.  ofT1   inP1   audit. auditT1
keys:read               YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF YYYYYY YYYYNF
keys:history            YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF YYYYYY YYYYNF
keys:create             YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
keys:update             YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
keys:revoke             YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
keys:transfer           YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
keys:delete             YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
keys:bulk               YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
keys:import             YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
keys:verify             YFFFNF YYFFNF YYYYNF YYYYYY YYYYYY YYYYNF YYFFNF FFFFFF FFFFNF
keys:lookup             YFFFNF YYFFNF YYYYNF YYYYYY YYYYYY YYYYNF YYFFNF FFFFFF FFFFNF
policies:read           YYFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF YYYYYY YYYYNF
policies:write          FFFFNF FFFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
tenants:read            FFFFNF FFFFNF YYYYNF YYYYYY YYYYYY YYYYNF YYFFNF YYYYYY YYYYNF
tenants:write           FFFFNF FFFFNF FFFFNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
projects:read           YYFFNF YYFFNF YYYYNF YYYYYY YYYYYY YYYYNF YYFFNF YYYYYY YYYYNF
projects:write          FFFFNF FFFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
members:read            YFFFNF YYFFNF YYYYNF YYYYYY YYYYYY YYYYNF YYFFNF YYYYYY YYYYNF
members:write           FFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
service-access:read     YFFFNF YYFFNF YYYYNF YYYYYY YYYYYY YYYYNF YYFFNF YYYYYY YYYYNF
service-access:write    FFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
principals:read         FFFFNF FFFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF YYYYYY YYYYNF
principals:write        FFFFNF FFFFNF FFFFNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
catalogue:read          YYFFNF YYFFNF YYYYNF YYYYYY YYYYYY YYYYNF YYFFNF YYYYYY YYYYNF
catalogue:write         FFFFNF FFFFNF FFFFNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
quotas:read             YFFFNF YYFFNF YYYYNF YYYYYY YYYYYY YYYYNF YYFFNF YYYYYY YYYYNF
quotas:history          YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF YYYYYY YYYYNF
quotas:write            FFFFNF FFFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
quotas:write-member     FFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF FFFFFF FFFFNF
reservations:read       YFFFNF YYFFNF YYYYNF YYYYYY YYYYYY YYYYNF YYFFNF YYYYYY YYYYNF
reservations:write      YFFFNF YYFFNF FFFFNF YYYYYY YYYYYY YYYYNF YYFFNF FFFFFF FFFFNF
reservations:reconcile  FFFFNF FFFFNF FFFFNF YYYYYY YYYYYY YYYYNF FFFFNF FFFFFF FFFFNF
audit:read              YFFFNF YYFFNF YYYYNF YYYYYY FFFFFF FFFFNF FFFFNF YYYYYY YYYYNF
`;

const anyKey: CallerKey = {
  keyId: 'key_0000000000000001',
  scopes: null,
  canManageKeys: true,
  expiresAt: null,
  ipAllow: [],
  ipDeny: [],
  audiences: [],
};

const principalWith = (type: Principal['type'], ...grants: Grant[]): Principal => ({
  type,
  id: 'me',
  via: 'oidc:test',
  tenantId: grants[0]?.tenantId ?? null,
  grants,
  key: null,
});
const at = (role: Role, tenantId: string | null = null, projectId: string | null = null): Grant => ({
  role,
  tenantId,
  projectId,
});

const actors = {
  user: principalWith('user', at('tenant_user', 'T1', 'P1')),
  admin: principalWith('user', at('tenant_admin', 'T1', 'P1')),
  owner: principalWith('user', at('tenant_owner', 'T1')),
  platform: principalWith('user', at('platform_admin')),
  service: principalWith('service', at('service')),
  serviceOfTenant: principalWith('service', at('service', 'T1')),
  serviceInProject: principalWith('service', at('service', 'T1', 'P1')),
  auditor: principalWith('user', at('auditor')),
  auditorOfTenant: principalWith('user', at('auditor', 'T1')),
};

const inP1 = { tenantId: 'T1', projectId: 'P1' };
const targetsFor = (area: string, me: Principal): readonly Target[] => {
  const of = (id: string, place: Pick<Target, 'tenantId' | 'projectId'>): Target =>
    area === 'keys' ? { ...place, owner: { type: me.type, id } } : { ...place, userId: id };
  return [
    of('me', inP1),
    of('other', inP1),
    of('other', { tenantId: 'T1', projectId: 'P2' }),
    { tenantId: 'T1', projectId: null },
    of('other', { tenantId: 'T2', projectId: 'X1' }),
    { tenantId: null, projectId: null },
  ];
};
const answers = { Y: 'permitted', F: 'forbidden', N: 'not-found' } as const;

describe('the policy table', () => {
  const rows = expected
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(/ +/));

  it('has an expectation for every action', () => {
    expect(rows.map(([action]) => action).sort()).toEqual([...actions].sort());
  });

  it.each(rows)('%s is permitted to nobody but whom the documentation names', (action = '', ...words) => {
    const area = action.slice(0, action.indexOf(':'));
    const found = Object.values(actors).map((actor) =>
      targetsFor(area, actor)
        .map((target) => judge(actor, action as Action, target))
        .map((verdict) => Object.entries(answers).find(([, answer]) => answer === verdict)?.[0])
        .join(''),
    );
    expect(found).toEqual(words);
  });

  it('answers not found for what does not exist, to everybody', () => {
    for (const actor of Object.values(actors))
      for (const action of actions) expect(judge(actor, action, undefined)).toBe('not-found');
  });

  it('hides the platform’s own principals from everybody whose rights end at a tenant', () => {
    const target = { tenantId: null, projectId: null, principalId: 'bootstrap-admin' };
    expect(judge(actors.owner, 'principals:read', target)).toBe('not-found');
    expect(judge(actors.user, 'keys:create', target)).toBe('not-found');
    expect(judge(actors.service, 'principals:read', target)).toBe('forbidden');
    expect(judge(actors.auditor, 'principals:read', target)).toBe('permitted');
  });

  it('tells owners of one name and two types apart', () => {
    const target: Target = { ...inP1, owner: { type: 'project', id: 'me' } };
    expect(judge(actors.user, 'keys:read', target)).toBe('forbidden');
    expect(judge(principalWith('project', at('tenant_user', 'T1', 'P1')), 'keys:read', target)).toBe('permitted');
  });

  it('gives a person the union of all memberships and the platform’s role', () => {
    const person = principalWith(
      'user',
      at('tenant_user', 'T1', 'P1'),
      at('tenant_admin', 'T2', 'X1'),
      at('auditor', 'T1'),
    );
    expect(permits(person, 'keys:delete', { tenantId: 'T2', projectId: 'X1' })).toBe(true);
    expect(permits(person, 'keys:delete', { ...inP1, owner: { type: 'user', id: 'other' } })).toBe(false);
    expect(permits(person, 'keys:read', { ...inP1, owner: { type: 'user', id: 'other' } })).toBe(true);
    expect(permits(person, 'keys:read', { tenantId: 'T1', projectId: 'P2' })).toBe(true);
    expect(judge(person, 'keys:read', { tenantId: 'T2', projectId: 'X2' })).toBe('forbidden');
  });
});

describe('a list', () => {
  const list = (tenantId: string | null, projectId: string | null): Target => ({ tenantId, projectId, listed: true });

  it('opens to whoever may see any of what it shows', () => {
    expect(judge(actors.user, 'keys:read', list(null, null))).toBe('permitted');
    expect(judge(actors.user, 'keys:read', list('T1', 'P1'))).toBe('permitted');
    expect(judge(actors.user, 'keys:read', list('T1', null))).toBe('permitted');
    expect(judge(actors.user, 'keys:read', list('T1', 'P2'))).toBe('forbidden');
    expect(judge(actors.user, 'keys:read', list('T2', 'X1'))).toBe('not-found');
    expect(judge(actors.user, 'keys:read', list('T2', null))).toBe('not-found');
    expect(judge(actors.service, 'keys:read', list(null, null))).toBe('forbidden');
    expect(judge(actors.user, 'tenants:read', list(null, null))).toBe('forbidden');
  });

  it('shows each caller what the role reaches and no more', () => {
    const own = { kind: 'own', projectId: 'P1', ownerType: 'user', ownerId: 'me' };
    expect(visibleTo(actors.user, 'keys:read')).toEqual([own]);
    expect(visibleTo(actors.user, 'projects:read')).toEqual([{ kind: 'project', projectId: 'P1' }]);
    expect(visibleTo(actors.user, 'tenants:read')).toEqual([]);
    expect(visibleTo(actors.admin, 'keys:read')).toEqual([{ kind: 'project', projectId: 'P1' }]);
    expect(visibleTo(actors.owner, 'keys:read')).toEqual([{ kind: 'tenant', tenantId: 'T1' }]);
    expect(visibleTo(actors.platform, 'keys:read')).toEqual([{ kind: 'all' }]);
    expect(visibleTo(actors.service, 'keys:read')).toEqual([]);
    expect(visibleTo(actors.service, 'keys:verify')).toEqual([{ kind: 'all' }]);
    expect(visibleTo(actors.auditorOfTenant, 'keys:read')).toEqual([{ kind: 'tenant', tenantId: 'T1' }]);
  });

  it('adds up what several roles reach', () => {
    const person = principalWith('user', at('tenant_user', 'T1', 'P1'), at('tenant_admin', 'T1', 'P2'));
    expect(visibleTo(person, 'keys:read')).toEqual([
      { kind: 'own', projectId: 'P1', ownerType: 'user', ownerId: 'me' },
      { kind: 'project', projectId: 'P2' },
    ]);
  });
});

describe('a key', () => {
  const holding = (actor: Principal, key: Partial<CallerKey>): Principal => ({ ...actor, key: { ...anyKey, ...key } });
  const mine: Target = { ...inP1, owner: { type: 'user', id: 'me' }, keyId: 'key_0000000000000002' };
  const itself: Target = { ...mine, keyId: anyKey.keyId };

  it('without scopes has all rights of its owner but managing keys', () => {
    const caller = holding(actors.admin, { canManageKeys: false });
    const managing: Action[] = ['create', 'update', 'revoke', 'transfer', 'delete', 'bulk', 'import'].map(
      (verb) => `keys:${verb}` as Action,
    );
    for (const action of actions) {
      const expectation = managing.includes(action) ? 'key-cannot-manage-keys' : judge(actors.admin, action, mine);
      expect([action, judge(caller, action, mine)]).toEqual([action, expectation]);
    }
  });

  it('with canManageKeys manages what its owner may and nothing else', () => {
    expect(judge(holding(actors.user, {}), 'keys:delete', mine)).toBe('permitted');
    const others: Target = { ...mine, owner: { type: 'user', id: 'other' } };
    expect(judge(holding(actors.user, {}), 'keys:delete', others)).toBe('forbidden');
    expect(judge(holding(actors.user, {}), 'keys:delete', { ...others, tenantId: 'T2', projectId: 'X1' })).toBe(
      'not-found',
    );
  });

  it('may always end itself, and no other without canManageKeys', () => {
    for (const scopes of [null, [], ['storage:read']]) {
      const caller = holding(actors.user, { canManageKeys: false, scopes });
      expect(judge(caller, 'keys:revoke', itself)).toBe('permitted');
      expect(judge(caller, 'keys:delete', itself)).toBe('key-cannot-manage-keys');
      expect(judge(caller, 'keys:revoke', mine)).toBe('key-cannot-manage-keys');
    }
    expect(judge(holding(actors.service, { canManageKeys: false }), 'keys:revoke', itself)).toBe('permitted');
  });

  it('with no scope may do nothing', () => {
    for (const action of actions) {
      expect(permits(holding(actors.platform, { scopes: [] }), action, mine)).toBe(false);
      expect(visibleTo(holding(actors.platform, { scopes: [] }), action)).toEqual([]);
    }
  });

  it.each<[string, Action[]]>([
    ['steward:keys:read', ['keys:read', 'keys:history']],
    ['steward:keys:history', ['keys:history']],
    ['steward:keys:verify', ['keys:verify']],
    ['steward:keys:create', ['keys:create']],
    [
      'steward:keys:write',
      ['keys:create', 'keys:update', 'keys:revoke', 'keys:transfer', 'keys:delete', 'keys:bulk', 'keys:import'],
    ],
    ['steward:quotas:write', ['quotas:write', 'quotas:write-member']],
    ['steward:reservations:write', ['reservations:write', 'reservations:reconcile']],
    ['steward:keys:*', actions.filter((action) => action.startsWith('keys:'))],
    ['steward:*', [...actions]],
    ['*', [...actions]],
    ['keys:read', []],
    ['storage:read', []],
    ['steward:keys', []],
    ['steward:*:read', []],
  ])('with the scope %s may do no more than that names', (scope, allowed) => {
    const caller = holding(actors.platform, { scopes: ['compute:use', scope] });
    expect(actions.filter((action) => permits(caller, action, mine))).toEqual(allowed);
  });

  it('never has more than its owner, whatever its scopes', () => {
    const wide = { scopes: ['*'] };
    for (const actor of Object.values(actors))
      for (const action of actions)
        for (const target of targetsFor(action.slice(0, action.indexOf(':')), actor))
          expect(judge(holding(actor, wide), action, target)).toBe(judge(actor, action, target));
  });
});

describe('what can be handed on', () => {
  it('is at most the maker’s own role for a project-owned key', () => {
    const roles = Object.fromEntries(
      Object.entries(actors).map(([name, actor]) => [name, memberRoleAtMost(actor, 'T1', 'P1')]),
    );
    expect(roles).toEqual({
      user: 'tenant_user',
      admin: 'tenant_admin',
      owner: 'tenant_admin',
      platform: 'tenant_admin',
      service: null,
      serviceOfTenant: null,
      serviceInProject: null,
      auditor: null,
      auditorOfTenant: null,
    });
    expect(memberRoleAtMost(actors.admin, 'T1', 'P2')).toBeNull();
    expect(memberRoleAtMost(actors.owner, 'T2', 'X1')).toBeNull();
  });

  it('leaves out Steward’s scopes that the owner’s role can never use', () => {
    expect(roleCanUse('tenant_user', 'steward:keys:read')).toBe(true);
    expect(roleCanUse('tenant_user', 'steward:members:write')).toBe(false);
    expect(roleCanUse('tenant_admin', 'steward:members:write')).toBe(true);
    expect(roleCanUse('tenant_admin', 'steward:tenants:write')).toBe(false);
    expect(roleCanUse('tenant_user', 'steward:*')).toBe(true);
    expect(roleCanUse('service', 'steward:policies:*')).toBe(false);
    expect(roleCanUse('tenant_user', 'steward:nonsense:read')).toBe(false);
    expect(roleCanUse('tenant_user', 'storage:write')).toBe(true);
  });
});

import { inGov1, refusal, steward, user } from './testing/gate-world.js';

describe('a person', () => {
  it('holds the union of the active memberships and of the principal of the same id and type', () => {
    const { follower, resolver } = steward();
    follower.write('project-X1', 'umbra', { type: 'MemberAdded', data: { userId: 'alice', role: 'tenant_admin' } });
    follower.write('principal-alice', 'umbra', {
      type: 'PrincipalRegistered',
      data: { type: 'user', role: 'auditor' },
    });
    const grants = () => resolver.ofPerson('alice', 'oidc:https://id.example').grants;
    expect(grants()).toEqual([
      { role: 'tenant_user', ...inGov1 },
      { role: 'tenant_admin', tenantId: 'umbra', projectId: 'X1' },
      { role: 'auditor', tenantId: 'umbra', projectId: null },
    ]);
    follower.write('tenant-umbra', 'umbra', { type: 'TenantSuspended', data: {} });
    expect(grants()).toEqual([{ role: 'tenant_user', ...inGov1 }]);
    expect(resolver.ofPerson('root', 'oidc:https://id.example').grants).toEqual([]);
  });

  it('holds nothing outside the tenants of the issuer, now and at every later look', () => {
    const { follower, resolver } = steward();
    follower.write('project-X1', 'umbra', { type: 'MemberAdded', data: { userId: 'alice', role: 'tenant_admin' } });
    follower.write('principal-alice', null, {
      type: 'PrincipalRegistered',
      data: { type: 'user', role: 'platform_admin' },
    });
    const by = (name: string) => resolver.ofPerson('alice', `oidc:https://${name}.example`);
    expect(by('id').grants).toHaveLength(3);
    expect(by('acme').grants).toEqual([{ role: 'tenant_user', ...inGov1 }]);
    expect(by('umbra').grants).toEqual([{ role: 'tenant_admin', tenantId: 'umbra', projectId: 'X1' }]);
    expect(by('unconfigured').grants).toEqual([]);
    expect(resolver.again(by('acme')).grants).toEqual(by('acme').grants);
    expect(by('acme')).toMatchObject({ type: 'user', id: 'alice', tenantId: null, key: null });
  });

  it('never is a service principal of the same id, nor one of another tenant', () => {
    const { follower, resolver } = steward();
    follower.write('principal-carol', 'umbra', {
      type: 'PrincipalRegistered',
      data: { type: 'user', role: 'tenant_owner' },
    });
    expect(resolver.ofPerson('root', 'oidc:https://id.example')).toMatchObject({ tenantId: null, grants: [] });
    expect(resolver.ofPerson('carol', 'oidc:https://acme.example')).toMatchObject({ tenantId: null, grants: [] });
    expect(resolver.ofPerson('carol', 'oidc:https://umbra.example').tenantId).toBe('umbra');
  });

  it('enters with a token of an issuer, manages keys as the table says, and is asked for no scope', async () => {
    const { admit } = steward();
    const { principal } = await admit('jwt.acme.adam');
    expect(principal).toMatchObject({ type: 'user', id: 'adam', via: 'oidc:https://acme.example', key: null });
    const update = { requires: { action: 'keys:update', target: 'key' }, params: { keyId: 'key_stw_alice' } } as const;
    expect(await refusal(admit('jwt.acme.adam', update))).toBe('admitted');
    expect(await refusal(admit('jwt.acme.alice', update))).toBe('admitted');
    expect(await refusal(admit('jwt.umbra.adam', update))).toBe('NOT_FOUND');
    expect(await refusal(admit('jwt.acme.adam', { params: { projectId: 'X1' } }))).toBe('NOT_FOUND');
  });

  it('without any right is told who that is, and no more', async () => {
    const { admit } = steward();
    const whoami = await admit('jwt.acme.zoe', { requires: { action: null, target: 'platform' }, params: {} });
    expect(whoami.principal).toMatchObject({ id: 'zoe', grants: [] });
    expect(await refusal(admit('jwt.acme.zoe'))).toBe('NOT_FOUND');
  });

  it('who is none may be an imported key of the form of a JWT', async () => {
    const { admit, keys } = steward();
    keys.add('legacy.key.token', user('alice'), inGov1);
    expect((await admit('legacy.key.token')).principal.via).toBe('key:key_legacy.key.token');
    expect(await refusal(admit('legacy.key.other'))).toBe('UNAUTHENTICATED');
  });
});

import type { PlatformRole, PrincipalEvent, PrincipalType } from '#libs/contracts';
import { given } from '#libs/testing';
import { type PrincipalCommand, principalDecider } from './principal.js';

const registered = (role: PlatformRole, type: PrincipalType = 'service'): PrincipalEvent => ({
  type: 'PrincipalRegistered',
  data: { type, role },
});
const roleChanged = (from: PlatformRole, to: PlatformRole): PrincipalEvent => ({
  type: 'PrincipalRoleChanged',
  data: { from, to },
});
const removed: PrincipalEvent = { type: 'PrincipalRemoved', data: {} };

const principal = (tenantId: string | null, ...events: PrincipalEvent[]) =>
  given(principalDecider, events, { meta: { tenantId } });
const put = (
  role: PlatformRole,
  rest: Partial<Extract<PrincipalCommand, { type: 'PutPrincipal' }>> = {},
): PrincipalCommand => ({
  type: 'PutPrincipal',
  principalType: 'service',
  role,
  tenantId: null,
  otherAdmins: 1,
  ...rest,
});
const remove = (otherAdmins: number, ifMatch?: number): PrincipalCommand => ({
  type: 'RemovePrincipal',
  otherAdmins,
  ifMatch,
});

describe('a principal', () => {
  it('is registered with its type, its role and its tenant', () => {
    expect(principal(null).when(put('auditor'))).toEqual([registered('auditor')]);
    expect(principal('acme').then(put('tenant_owner', { principalType: 'user', tenantId: 'acme' }))).toEqual({
      status: 'active',
      type: 'user',
      role: 'tenant_owner',
      tenantId: 'acme',
      createdAt: '2026-01-01T00:00:00.000Z',
      revision: 1,
    });
  });

  it('changes its role and nothing else', () => {
    const service = principal('acme', registered('service'));
    expect(service.when(put('auditor', { tenantId: 'acme' }))).toEqual([roleChanged('service', 'auditor')]);
    expect(service.then(put('auditor', { tenantId: 'acme' }))).toMatchObject({ role: 'auditor', revision: 2 });
    expect(service.when(put('service', { tenantId: 'acme' }))).toEqual([]);
    expect(() => service.when(put('auditor'))).toThrow('PRINCIPAL_EXISTS');
    expect(() => service.when(put('auditor', { tenantId: 'acme', principalType: 'user' }))).toThrow('PRINCIPAL_EXISTS');
  });

  it('is a platform_admin without a tenant only, and a tenant_owner with one only', () => {
    expect(() => principal(null).when(put('platform_admin', { tenantId: 'acme' }))).toThrow('belongs to no tenant');
    expect(() => principal(null).when(put('tenant_owner'))).toThrow('belongs to a tenant');
  });

  it('is removed for ever: its id is not used again', () => {
    const gone = principal(null, registered('service'), removed);
    expect(principal(null, registered('service')).when(remove(0))).toEqual([removed]);
    expect(gone.state).toMatchObject({ status: 'removed', revision: 2 });
    expect(gone.when(remove(0))).toEqual([]);
    expect(() => gone.when(put('service'))).toThrow('PRINCIPAL_REMOVED');
    expect(() => principal(null).when(remove(0))).toThrow('NOT_FOUND');
  });

  it('stays platform_admin while it is the last one', () => {
    const admin = principal(null, registered('platform_admin'));
    expect(() => admin.when(remove(0))).toThrow('LAST_ADMIN');
    expect(() => admin.when(put('service', { otherAdmins: 0 }))).toThrow('LAST_ADMIN');
    expect(admin.when(put('platform_admin', { otherAdmins: 0 }))).toEqual([]);
    expect(admin.when(remove(1))).toEqual([removed]);
    expect(admin.when(put('service'))).toEqual([roleChanged('platform_admin', 'service')]);
  });

  it('refuses a change that rests on an older version', () => {
    const changed = principal(null, registered('auditor'), roleChanged('auditor', 'service'));
    expect(() => changed.when(put('auditor', { ifMatch: 1 }))).toThrow('VERSION_CONFLICT');
    expect(() => changed.when(remove(1, 1))).toThrow('VERSION_CONFLICT');
    expect(() => principal(null).when(put('auditor', { ifMatch: 1 }))).toThrow('VERSION_CONFLICT');
    expect(changed.when(remove(1, 2))).toEqual([removed]);
  });

  it('does not fold a history that no rule allows', () => {
    expect(() => principal(null, removed)).toThrow('PrincipalRemoved before PrincipalRegistered');
  });
});

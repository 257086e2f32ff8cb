import { eventTypes, type KeyOwner, type TenancyEvent } from '#libs/contracts';
import type { OpenedEvent } from '#libs/eventsourcing';
import { AccessIndex } from './access-index.js';

type Written = Exclude<TenancyEvent, { type: 'SubjectErased' }>;

/** An index and the streams that feed it, each with its own revisions. */
class World {
  readonly index = new AccessIndex();
  readonly written = new Set<string>();
  private readonly revisions = new Map<string, number>();

  write(stream: string, event: Written, tenantId: string | null = 'acme'): this {
    const revision = (this.revisions.get(stream) ?? 0) + 1;
    this.revisions.set(stream, revision);
    this.written.add(event.type);
    expect(this.index.apply(opened(stream, revision, event, tenantId))).toBe('applied');
    return this;
  }

  project(event: Written): this {
    return this.write('project-GOV1', event);
  }
}

function opened(stream: string, revision: number, event: Written, tenantId: string | null = 'acme'): OpenedEvent {
  return { stream, revision, tenantId, projectId: null, type: event.type, data: event.data, opened: {} } as OpenedEvent;
}

const owner = (type: KeyOwner['type'], id: string, role: KeyOwner['role'] = 'tenant_user'): KeyOwner => ({
  type,
  id,
  role,
});
const tenantCreated: Written = { type: 'TenantCreated', data: { name: 'Acme' } };
const projectCreated: Written = { type: 'ProjectCreated', data: { name: 'Rain' } };
const added = (userId: string, role: 'tenant_admin' | 'tenant_user' = 'tenant_user'): Written => ({
  type: 'MemberAdded',
  data: { userId, role },
});

const world = (): World => new World().write('tenant-acme', tenantCreated).project(projectCreated);

describe('AccessIndex', () => {
  it('knows nothing that no event told', () => {
    const { index } = new World();
    expect(index.tenant('acme')).toBeUndefined();
    expect(index.project('GOV1')).toBeUndefined();
    expect(index.member('GOV1', 'alice')).toBeUndefined();
    expect(index.principal('alice')).toBeUndefined();
    expect(index.membershipsOf('alice')).toEqual([]);
    expect(index.keyPoliciesOf('GOV1')).toEqual({ tenant: null, project: null });
    expect(index.roleInProject(owner('user', 'alice'), 'GOV1')).toBeNull();
    expect(index.ownerState(owner('user', 'alice'), 'GOV1', 'acme')).toEqual({ active: false, why: 'unknown' });
  });

  it('folds every event of a tenant, a project, a member and a principal', () => {
    const one = world();
    const { index } = one;
    expect(index.tenant('acme')).toEqual({ state: 'active', policy: null });
    one.write('tenant-acme', { type: 'TenantSuspended', data: {} });
    expect(index.tenant('acme')?.state).toBe('suspended');
    one.write('tenant-acme', { type: 'TenantResumed', data: {} });
    expect(index.tenant('acme')?.state).toBe('active');
    one.write('tenant-acme', { type: 'KeyPolicySet', data: { policy: { maxLifetimeDays: 90 } } });
    one.project({ type: 'KeyPolicySet', data: { policy: { requireExpiry: true } } });
    expect(index.keyPoliciesOf('GOV1')).toEqual({ tenant: { maxLifetimeDays: 90 }, project: { requireExpiry: true } });
    one.project({ type: 'KeyPolicyRemoved', data: {} });
    expect(index.keyPoliciesOf('GOV1')).toEqual({ tenant: { maxLifetimeDays: 90 }, project: null });
    one.write('tenant-acme', { type: 'KeyPolicyRemoved', data: {} });
    expect(index.tenant('acme')).toEqual({ state: 'active', policy: null });

    one.project(added('alice'));
    expect(index.member('GOV1', 'alice')).toEqual({
      role: 'tenant_user',
      suspended: false,
      removed: false,
      services: [],
    });
    one.project({ type: 'MemberRoleChanged', data: { userId: 'alice', from: 'tenant_user', to: 'tenant_admin' } });
    one.project({ type: 'MemberProfileChanged', data: { userId: 'alice' } });
    expect(index.member('GOV1', 'alice')?.role).toBe('tenant_admin');
    one.project({ type: 'ServiceAccessGranted', data: { userId: 'alice', service: 'virtual-compute' } });
    one.project({ type: 'ServiceAccessGranted', data: { userId: 'alice', service: 'container-compute' } });
    expect(index.member('GOV1', 'alice')?.services).toEqual(['container-compute', 'virtual-compute']);
    one.project({ type: 'ServiceAccessRevoked', data: { userId: 'alice', service: 'virtual-compute' } });
    expect(index.member('GOV1', 'alice')?.services).toEqual(['container-compute']);
    one.project({ type: 'MemberSuspended', data: { userId: 'alice' } });
    expect(index.member('GOV1', 'alice')?.suspended).toBe(true);
    one.project({ type: 'MemberResumed', data: { userId: 'alice' } });
    expect(index.member('GOV1', 'alice')?.suspended).toBe(false);
    one.project({ type: 'MemberRemoved', data: { userId: 'alice', disposition: 'orphan', to: null } });
    expect(index.member('GOV1', 'alice')).toEqual({
      role: 'tenant_admin',
      suspended: false,
      removed: true,
      services: [],
    });
    one.project(added('alice'));
    expect(index.member('GOV1', 'alice')?.removed).toBe(false);
    one.project({ type: 'ProjectClosed', data: {} });
    expect(index.project('GOV1')).toEqual({ tenantId: 'acme', name: 'Rain', closed: true, policy: null });

    one.write('principal-gate', { type: 'PrincipalRegistered', data: { type: 'service', role: 'service' } }, null);
    expect(index.principal('gate')).toEqual({ type: 'service', role: 'service', tenantId: null, removed: false });
    one.write('principal-gate', { type: 'PrincipalRoleChanged', data: { from: 'service', to: 'auditor' } }, null);
    expect(index.principal('gate')?.role).toBe('auditor');
    one.write('principal-gate', { type: 'PrincipalRemoved', data: {} }, null);
    expect(index.principal('gate')?.removed).toBe(true);

    const ofTenancy = Object.entries(eventTypes).filter(([, { context }]) => context === 'tenancy');
    expect([...one.written, 'SubjectErased'].sort()).toEqual(ofTenancy.map(([type]) => type).sort());
  });

  it('applies a stream by revision: what it has seen it skips, a gap it leaves alone', () => {
    const one = world().project(added('alice'));
    expect(one.index.apply(opened('project-GOV1', 2, added('alice', 'tenant_admin')))).toBe('seen');
    expect(one.index.apply(opened('project-GOV1', 1, projectCreated))).toBe('seen');
    expect(one.index.apply(opened('project-GOV1', 4, { type: 'ProjectClosed', data: {} }))).toBe('gap');
    expect(one.index.apply(opened('project-GOV2', 2, added('alice')))).toBe('gap');
    expect(one.index.apply(opened('tenant-acme', 3, { type: 'TenantSuspended', data: {} }))).toBe('gap');
    expect(one.index.apply(opened('principal-gate', 2, { type: 'PrincipalRemoved', data: {} }))).toBe('gap');
    expect(one.index.member('GOV1', 'alice')?.role).toBe('tenant_user');
    expect(one.index.project('GOV1')?.closed).toBe(false);
    expect(one.index.apply(opened('project-GOV1', 3, { type: 'ProjectClosed', data: {} }))).toBe('applied');
  });

  it('stops at a stream that does not begin with its first event', () => {
    const { index } = new World();
    expect(() => index.apply(opened('tenant-acme', 1, { type: 'TenantSuspended', data: {} }))).toThrow(/first event/);
    expect(() => index.apply(opened('key-0000000000000001', 1, tenantCreated))).toThrow(/does not follow/);
  });

  it('lists the memberships of a user over projects and tenants', () => {
    const one = world()
      .project(added('alice', 'tenant_admin'))
      .write('tenant-umbra', tenantCreated, 'umbra')
      .write('project-X1', projectCreated, 'umbra')
      .write('project-X1', added('alice'), 'umbra')
      .write(
        'project-X1',
        { type: 'MemberRemoved', data: { userId: 'alice', disposition: 'block', to: null } },
        'umbra',
      )
      .write('project-X1', added('alice'), 'umbra');
    expect(
      one.index.membershipsOf('alice').map(({ projectId, tenantId, role }) => [projectId, tenantId, role]),
    ).toEqual([
      ['GOV1', 'acme', 'tenant_admin'],
      ['X1', 'umbra', 'tenant_user'],
    ]);
  });
});

describe('the owner of a key', () => {
  it('that is a member acts in the role held now, while member, project and tenant stand', () => {
    const one = world().project(added('alice'));
    const state = () => one.index.ownerState(owner('user', 'alice'), 'GOV1', 'acme');
    expect(state()).toEqual({ active: true, role: 'tenant_user' });
    one.project({ type: 'MemberRoleChanged', data: { userId: 'alice', from: 'tenant_user', to: 'tenant_admin' } });
    expect(state()).toEqual({ active: true, role: 'tenant_admin' });
    expect(one.index.roleInProject(owner('user', 'alice'), 'GOV1')).toBe('tenant_admin');
    one.project({ type: 'MemberSuspended', data: { userId: 'alice' } });
    expect(state()).toEqual({ active: false, why: 'suspended' });
    expect(one.index.roleInProject(owner('user', 'alice'), 'GOV1')).toBeNull();
    one.project({ type: 'MemberResumed', data: { userId: 'alice' } });
    one.write('tenant-acme', { type: 'TenantSuspended', data: {} });
    expect(state()).toEqual({ active: false, why: 'tenant-suspended' });
    one.write('tenant-acme', { type: 'TenantResumed', data: {} });
    expect(state()).toEqual({ active: true, role: 'tenant_admin' });
    one.project({ type: 'MemberRemoved', data: { userId: 'alice', disposition: 'block', to: null } });
    expect(state()).toEqual({ active: false, why: 'removed' });
    one.project(added('alice')).project({ type: 'ProjectClosed', data: {} });
    expect(state()).toEqual({ active: false, why: 'project-closed' });
  });

  it('that is a service acts as a service in a project, whatever it is elsewhere, and only of no or of this tenant', () => {
    const register = (id: string, role: 'service' | 'platform_admin', tenantId: string | null) =>
      [`principal-${id}`, { type: 'PrincipalRegistered', data: { type: 'service', role } }, tenantId] as const;
    const one = world()
      .write(...register('everywhere', 'platform_admin', null))
      .write(...register('ours', 'service', 'acme'))
      .write(...register('theirs', 'service', 'umbra'))
      .write('principal-person', { type: 'PrincipalRegistered', data: { type: 'user', role: 'auditor' } }, null);
    const state = (id: string) => one.index.ownerState(owner('service', id), 'GOV1', 'acme');
    expect(state('everywhere')).toEqual({ active: true, role: 'service' });
    expect(state('ours')).toEqual({ active: true, role: 'service' });
    expect(state('theirs')).toEqual({ active: false, why: 'unknown' });
    expect(state('person')).toEqual({ active: false, why: 'unknown' });
    one.write('principal-ours', { type: 'PrincipalRemoved', data: {} }, 'acme');
    expect(state('ours')).toEqual({ active: false, why: 'removed' });
  });

  it('that is the project acts in the role that the key was made with', () => {
    const { index } = world();
    const state = (id: string) => index.ownerState(owner('project', id, 'tenant_admin'), 'GOV1', 'acme');
    expect(state('GOV1')).toEqual({ active: true, role: 'tenant_admin' });
    expect(state('GOV2')).toEqual({ active: false, why: 'unknown' });
  });

  it('that is a principal acts in its role now, under its own tenant and type', () => {
    const one = world()
      .write('principal-root', { type: 'PrincipalRegistered', data: { type: 'service', role: 'platform_admin' } }, null)
      .write('principal-boss', { type: 'PrincipalRegistered', data: { type: 'user', role: 'tenant_owner' } });
    const { index } = one;
    expect(index.ownerState(owner('service', 'root'), null, null)).toEqual({ active: true, role: 'platform_admin' });
    expect(index.ownerState(owner('user', 'root'), null, null)).toEqual({ active: false, why: 'unknown' });
    expect(index.ownerState(owner('user', 'boss'), null, 'acme')).toEqual({ active: true, role: 'tenant_owner' });
    expect(index.ownerState(owner('user', 'boss'), null, null)).toEqual({ active: false, why: 'unknown' });
    one.write('tenant-acme', { type: 'TenantSuspended', data: {} });
    expect(index.ownerState(owner('user', 'boss'), null, 'acme')).toEqual({ active: false, why: 'tenant-suspended' });
    one.write(
      'principal-root',
      { type: 'PrincipalRoleChanged', data: { from: 'platform_admin', to: 'auditor' } },
      null,
    );
    expect(index.ownerState(owner('service', 'root'), null, null)).toEqual({ active: true, role: 'auditor' });
    one.write('principal-root', { type: 'PrincipalRemoved', data: {} }, null);
    expect(index.ownerState(owner('service', 'root'), null, null)).toEqual({ active: false, why: 'removed' });
  });

  it('of another tenant’s project is nobody here', () => {
    const one = world().project(added('alice')).write('tenant-umbra', tenantCreated, 'umbra');
    expect(one.index.ownerState(owner('user', 'alice'), 'GOV1', 'umbra')).toEqual({ active: false, why: 'unknown' });
    expect(one.index.ownerState(owner('user', 'alice'), 'GOV1', null)).toEqual({ active: false, why: 'unknown' });
  });
});

import type { Disposition, MemberRole, PersonPart, ProjectEvent } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import { given } from '#libs/testing';
import { projectDecider, type PutMember, type RemoveMember, SERVICES_MAX } from './project.js';

const meta = { tenantId: 'acme', projectId: 'GOV112345' };
const created: ProjectEvent = { type: 'ProjectCreated', data: { name: 'Weather' } };
const closed: ProjectEvent = { type: 'ProjectClosed', data: {} };
const added = (userId: string, role: MemberRole = 'tenant_user', person?: PersonPart): ProjectEvent => ({
  type: 'MemberAdded',
  data: { userId, role },
  ...(person === undefined ? {} : { private: { person } }),
});
const profile = (userId: string, person?: PersonPart): ProjectEvent => ({
  type: 'MemberProfileChanged',
  data: { userId },
  ...(person === undefined ? {} : { private: { person } }),
});
const roleChanged = (userId: string, from: MemberRole, to: MemberRole): ProjectEvent => ({
  type: 'MemberRoleChanged',
  data: { userId, from, to },
});
const suspended = (userId: string): ProjectEvent => ({ type: 'MemberSuspended', data: { userId } });
const resumed = (userId: string): ProjectEvent => ({ type: 'MemberResumed', data: { userId } });

const project = (...events: ProjectEvent[]) => given(projectDecider(), events, { meta });
const put = (userId: string, rest: Partial<PutMember> = {}): PutMember => ({
  type: 'PutMember',
  userId,
  role: 'tenant_user',
  profile: {},
  known: null,
  tenantSuspended: false,
  ...rest,
});
const memberOf = (state: ReturnType<typeof project>['state'], userId: string) =>
  state.status === 'absent' ? undefined : state.members.get(userId);

describe('a project', () => {
  it('is created once, under a tenant that is not suspended', () => {
    expect(project().when({ type: 'CreateProject', name: 'Weather', tenantSuspended: false })).toEqual([created]);
    expect(() => project(created).when({ type: 'CreateProject', name: 'Other', tenantSuspended: false })).toThrow(
      'PROJECT_EXISTS',
    );
    expect(() => project().when({ type: 'CreateProject', name: 'Weather', tenantSuspended: true })).toThrow(
      'TENANT_IS_SUSPENDED',
    );
    expect(project(created).state).toEqual({
      status: 'active',
      tenantId: 'acme',
      name: 'Weather',
      createdAt: '2026-01-01T00:00:00.000Z',
      revision: 1,
      keyPolicy: null,
      members: new Map(),
    });
  });

  it('is closed once and then changed no more', () => {
    expect(project(created).when({ type: 'CloseProject' })).toEqual([closed]);
    expect(project(created, closed).when({ type: 'CloseProject' })).toEqual([]);
    expect(project(created, closed).state).toMatchObject({ status: 'closed', revision: 2 });
    const after = project(created, added('alice'), closed);
    for (const command of [
      put('alice', { role: 'tenant_admin' }),
      { type: 'SuspendMember', userId: 'alice' },
      { type: 'ResumeMember', userId: 'alice' },
      { type: 'SetKeyPolicy', policy: {} },
      { type: 'RemoveKeyPolicy' },
    ] as const)
      expect(() => after.when(command)).toThrow('PROJECT_CLOSED');
  });

  it('refuses every change before it exists', () => {
    expect(() => project().when({ type: 'CloseProject' })).toThrow('NOT_FOUND');
    expect(() => project().when(put('alice'))).toThrow('NOT_FOUND');
  });

  it('has a version that its members do not change', () => {
    const busy = project(created, added('alice'), added('bob'));
    expect(busy.when({ type: 'CloseProject', ifMatch: 1 })).toEqual([closed]);
    expect(() => busy.when({ type: 'CloseProject', ifMatch: 3 })).toThrow('VERSION_CONFLICT');
  });

  it('sets and removes its key policy', () => {
    const set = project(created).when({ type: 'SetKeyPolicy', policy: { requireExpiry: true } });
    expect(set).toEqual([{ type: 'KeyPolicySet', data: { policy: { requireExpiry: true } } }]);
    expect(project(created, ...set).state).toMatchObject({ keyPolicy: { revision: 2 } });
    const removedPolicy = project(created, ...set).when({ type: 'RemoveKeyPolicy' });
    expect(project(created, ...set, ...removedPolicy).state).toMatchObject({ keyPolicy: null });
  });

  it('does not fold a history that no rule allows', () => {
    expect(() => project(closed)).toThrow('ProjectClosed before ProjectCreated');
    expect(() => project(created, suspended('alice'))).toThrow('MemberSuspended before MemberAdded');
    expect(() => given(projectDecider(), [created])).toThrow('a project without a tenant');
  });
});

describe('putting a member', () => {
  it('adds it, with a private part only if a name or an e-mail was given', () => {
    expect(project(created).when(put('alice', { role: 'tenant_admin' }))).toEqual([added('alice', 'tenant_admin')]);
    expect(project(created).when(put('alice', { profile: { displayName: null, email: null } }))).toEqual([
      added('alice'),
    ]);
    expect(project(created).when(put('alice', { profile: { displayName: 'Alice' } }))).toEqual([
      added('alice', 'tenant_user', { displayName: 'Alice', email: null }),
    ]);
  });

  it('is refused under a suspended tenant for a new member, and allowed for a standing one', () => {
    expect(() => project(created).when(put('alice', { tenantSuspended: true }))).toThrow('TENANT_IS_SUSPENDED');
    expect(
      project(created, added('alice')).when(put('alice', { role: 'tenant_admin', tenantSuspended: true })),
    ).toHaveLength(1);
  });

  it('writes the role first and then the whole profile', () => {
    const person = { displayName: 'Alice', email: 'alice@example.org' };
    expect(
      project(created, added('alice', 'tenant_user', person)).when(
        put('alice', { role: 'tenant_admin', profile: { displayName: 'Al' }, known: { revision: 2, person } }),
      ),
    ).toEqual([
      roleChanged('alice', 'tenant_user', 'tenant_admin'),
      profile('alice', { displayName: 'Al', email: 'alice@example.org' }),
    ]);
  });

  it('writes nothing when nothing changes', () => {
    const person = { displayName: 'Alice', email: null };
    const standing = project(created, added('alice', 'tenant_user', person));
    expect(standing.when(put('alice'))).toEqual([]);
    expect(standing.when(put('alice', { profile: person, known: { revision: 2, person } }))).toEqual([]);
    expect(project(created, added('bob')).when(put('bob', { profile: { email: null } }))).toEqual([]);
  });

  it('clears a profile without leaving an empty private part', () => {
    const person = { displayName: 'Alice', email: null };
    const standing = project(created, added('alice', 'tenant_user', person));
    const cleared = standing.when(put('alice', { profile: { displayName: null }, known: { revision: 2, person } }));
    expect(cleared).toEqual([profile('alice')]);
    const after = project(created, added('alice', 'tenant_user', person), ...cleared);
    expect(memberOf(after.state, 'alice')).toMatchObject({ revision: 3, profileRevision: null });
    expect(after.when(put('alice', { profile: { email: 'a@example.org' } }))).toEqual([
      profile('alice', { displayName: null, email: 'a@example.org' }),
    ]);
  });

  it('never merges with a profile that another change has replaced', () => {
    const old = { displayName: 'Alice', email: null };
    const raced = project(created, added('alice', 'tenant_user', old), profile('alice', { ...old, email: 'a@x.org' }));
    const known = { revision: 2, person: old };
    expect(() => raced.when(put('alice', { profile: { displayName: 'Al' }, known }))).toThrow('OVERLOADED');
    expect(() => raced.when(put('alice', { profile: { displayName: 'Al' } }))).toThrow('OVERLOADED');
    expect(raced.when(put('alice', { profile: { displayName: 'Al', email: 'b@x.org' }, known }))).toEqual([
      profile('alice', { displayName: 'Al', email: 'b@x.org' }),
    ]);
  });

  it('refuses a change that rests on an older version of this member', () => {
    const busy = project(created, added('alice'), added('bob'));
    expect(busy.when(put('alice', { role: 'tenant_admin', ifMatch: 2 }))).toHaveLength(1);
    expect(() => busy.when(put('alice', { role: 'tenant_admin', ifMatch: 3 }))).toThrow('VERSION_CONFLICT');
    expect(() => busy.when(put('carol', { ifMatch: 3 }))).toThrow('VERSION_CONFLICT');
  });
});

describe('a member', () => {
  it('is suspended and resumed, each written once', () => {
    const member = project(created, added('alice'));
    expect(member.when({ type: 'SuspendMember', userId: 'alice' })).toEqual([suspended('alice')]);
    expect(member.when({ type: 'ResumeMember', userId: 'alice' })).toEqual([]);
    const away = project(created, added('alice'), suspended('alice'));
    expect(away.when({ type: 'SuspendMember', userId: 'alice' })).toEqual([]);
    expect(away.when({ type: 'ResumeMember', userId: 'alice', ifMatch: 3 })).toEqual([resumed('alice')]);
    expect(() => away.when({ type: 'ResumeMember', userId: 'alice', ifMatch: 2 })).toThrow('VERSION_CONFLICT');
    expect(() => member.when({ type: 'SuspendMember', userId: 'bob' })).toThrow('NOT_FOUND');
  });

  it('stays suspended through a change of its role', () => {
    const away = project(created, added('alice'), suspended('alice'));
    expect(memberOf(away.then(put('alice', { role: 'tenant_admin' })), 'alice')).toMatchObject({
      status: 'suspended',
      role: 'tenant_admin',
      revision: 4,
    });
  });

  it('is folded from every event about it, and may be added again after its removal', () => {
    const access: ProjectEvent[] = [
      { type: 'ServiceAccessGranted', data: { userId: 'alice', service: 'container-compute' } },
      { type: 'ServiceAccessRevoked', data: { userId: 'alice', service: 'container-compute' } },
    ];
    const removed: ProjectEvent = { type: 'MemberRemoved', data: { userId: 'alice', disposition: 'block', to: null } };
    const history = [created, added('alice'), suspended('alice'), resumed('alice'), ...access];
    expect(memberOf(project(...history).state, 'alice')).toEqual({
      role: 'tenant_user',
      status: 'active',
      services: [],
      addedAt: '2026-01-01T00:00:00.000Z',
      revision: 6,
      profileRevision: null,
    });
    expect(memberOf(project(...history, removed).state, 'alice')).toBeUndefined();
    expect(project(...history, removed).when(put('alice'))).toEqual([added('alice')]);
  });

  it('is the only one kept where the fold is about it alone', () => {
    const history = [created, added('alice'), added('bob')];
    const { state } = given(projectDecider(['bob']), history, { meta });
    expect(state).toMatchObject({ members: new Map([['bob', expect.objectContaining({ revision: 3 })]]) });
  });
});

const granted = (service: string): ProjectEvent => ({
  type: 'ServiceAccessGranted',
  data: { userId: 'alice', service },
});
const withdrawn = (service: string): ProjectEvent => ({
  type: 'ServiceAccessRevoked',
  data: { userId: 'alice', service },
});

describe('service access', () => {
  const grant = (service: string, rest: { ifMatch?: number } = {}) =>
    ({ type: 'GrantService', userId: 'alice', service, ...rest }) as const;
  const revoke = (service: string) => ({ type: 'RevokeService', userId: 'alice', service }) as const;

  it('is granted and revoked, each written once, and moves the version of the member', () => {
    const member = project(created, added('alice'));
    expect(member.when(grant('virtual-compute'))).toEqual([granted('virtual-compute')]);
    expect(member.when(revoke('virtual-compute'))).toEqual([]);
    const able = project(created, added('alice'), granted('virtual-compute'), granted('container-compute'));
    expect(able.when(grant('virtual-compute'))).toEqual([]);
    expect(able.when(revoke('virtual-compute'))).toEqual([withdrawn('virtual-compute')]);
    expect(memberOf(able.state, 'alice')).toMatchObject({
      services: ['container-compute', 'virtual-compute'],
      revision: 4,
    });
    expect(memberOf(able.then(revoke('virtual-compute')), 'alice')).toMatchObject({
      services: ['container-compute'],
      revision: 5,
    });
    expect(() => able.when(grant('storage', { ifMatch: 2 }))).toThrow('VERSION_CONFLICT');
  });

  it('belongs to a member of an open project, and ends with the membership', () => {
    expect(() => project(created).when(grant('storage'))).toThrow('NOT_FOUND');
    expect(() => project(created, added('alice'), closed).when(grant('storage'))).toThrow('PROJECT_CLOSED');
    const again = project(created, added('alice'), granted('storage'), removedBy('orphan'), added('alice'));
    expect(memberOf(again.state, 'alice')).toMatchObject({ services: [] });
  });

  it('is bounded in number', () => {
    const services = Array.from({ length: SERVICES_MAX }, (_, n) => granted(`service-${n}`));
    expect(() => project(created, added('alice'), ...services).when(grant('one-more'))).toThrow('TOO_MANY_ITEMS');
  });
});

function removedBy(disposition: Disposition, to: string | null = null): ProjectEvent {
  return { type: 'MemberRemoved', data: { userId: 'alice', disposition, to } };
}

describe('removing a member', () => {
  const objection = new Refusal('MEMBER_HAS_USAGE', 'The member still holds something.');
  const remove = (disposition: Disposition, rest: Partial<RemoveMember> = {}): RemoveMember => ({
    type: 'RemoveMember',
    userId: 'alice',
    disposition,
    to: null,
    objection: null,
    ...rest,
  });
  const both = project(created, added('alice'), added('bob'));

  it('is written with what becomes of the usage', () => {
    expect(both.when(remove('block'))).toEqual([removedBy('block')]);
    expect(both.when(remove('orphan'))).toEqual([removedBy('orphan')]);
    expect(both.when(remove('transfer', { to: 'bob' }))).toEqual([removedBy('transfer', 'bob')]);
  });

  it('is refused with the words of the quotas', () => {
    for (const disposition of ['block', 'transfer'] as const)
      expect(() => both.when(remove(disposition, { to: 'bob', objection }))).toThrow(objection);
  });

  it('gives what is used to another member only', () => {
    for (const to of ['alice', 'carol', null])
      expect(() => both.when(remove('transfer', { to }))).toThrow('MEMBER_UNKNOWN');
    const suspended: ProjectEvent = { type: 'MemberSuspended', data: { userId: 'bob' } };
    const withSuspended = project(created, added('alice'), added('bob'), suspended);
    expect(() => withSuspended.when(remove('transfer', { to: 'bob' }))).toThrow('MEMBER_SUSPENDED');
  });

  it('is refused for whoever is no member, an older version, and a closed project', () => {
    expect(() => both.when(remove('block', { userId: 'carol', objection }))).toThrow('NOT_FOUND');
    expect(() => both.when(remove('block', { ifMatch: 1 }))).toThrow('VERSION_CONFLICT');
    expect(() => project(created, added('alice'), closed).when(remove('block'))).toThrow('PROJECT_CLOSED');
    expect(() => project(created, added('alice'), removedBy('block')).when(remove('block'))).toThrow('NOT_FOUND');
  });
});

import type { KeyPolicy, TenantEvent } from '#libs/contracts';
import { given } from '#libs/testing';
import { tenantDecider } from './tenant.js';

const created: TenantEvent = { type: 'TenantCreated', data: { name: 'Acme' } };
const suspended: TenantEvent = { type: 'TenantSuspended', data: {} };
const resumed: TenantEvent = { type: 'TenantResumed', data: {} };
const policySet = (policy: KeyPolicy): TenantEvent => ({ type: 'KeyPolicySet', data: { policy } });
const removed: TenantEvent = { type: 'KeyPolicyRemoved', data: {} };
const tenant = (...events: TenantEvent[]) => given(tenantDecider, events);

describe('a tenant', () => {
  it('is created once', () => {
    expect(tenant().when({ type: 'CreateTenant', name: 'Acme' })).toEqual([created]);
    expect(() => tenant(created).when({ type: 'CreateTenant', name: 'Acme' })).toThrow('TENANT_EXISTS');
  });

  it('refuses every change before it exists', () => {
    for (const type of ['SuspendTenant', 'ResumeTenant', 'RemoveKeyPolicy'] as const)
      expect(() => tenant().when({ type })).toThrow('NOT_FOUND');
    expect(() => tenant().when({ type: 'SetKeyPolicy', policy: {} })).toThrow('NOT_FOUND');
  });

  it('is suspended and resumed, each written once', () => {
    expect(tenant(created).when({ type: 'SuspendTenant' })).toEqual([suspended]);
    expect(tenant(created, suspended).when({ type: 'SuspendTenant' })).toEqual([]);
    expect(tenant(created, suspended).when({ type: 'ResumeTenant' })).toEqual([resumed]);
    expect(tenant(created).when({ type: 'ResumeTenant' })).toEqual([]);
    expect(tenant(created, suspended, resumed).state).toEqual({
      status: 'active',
      name: 'Acme',
      createdAt: '2026-01-01T00:00:00.000Z',
      revision: 3,
      keyPolicy: null,
    });
  });

  it('refuses a change that rests on an older version', () => {
    expect(tenant(created).when({ type: 'SuspendTenant', ifMatch: 1 })).toEqual([suspended]);
    expect(() => tenant(created, suspended).when({ type: 'ResumeTenant', ifMatch: 1 })).toThrow('VERSION_CONFLICT');
    expect(() => tenant(created, suspended).when({ type: 'SuspendTenant', ifMatch: 1 })).toThrow('VERSION_CONFLICT');
  });

  it('does not fold a history that no rule allows', () => {
    expect(() => tenant(suspended)).toThrow('TenantSuspended before TenantCreated');
  });
});

describe('a key policy', () => {
  const set = (policy: KeyPolicy, ifMatch?: number) => ({ type: 'SetKeyPolicy' as const, policy, ifMatch });

  it('holds only the rules that were given', () => {
    expect(tenant(created).when(set({ maxLifetimeDays: 90 }))).toEqual([policySet({ maxLifetimeDays: 90 })]);
    expect(tenant(created).when(set({}))).toEqual([policySet({})]);
  });

  it('replaces the whole policy that stood before', () => {
    const before = tenant(created, policySet({ maxLifetimeDays: 90, requireExpiry: true }));
    expect(before.then(set({ maxKeysPerOwner: 5 }))).toMatchObject({
      keyPolicy: { policy: { maxKeysPerOwner: 5 }, revision: 3 },
    });
  });

  it('writes its lists sorted and without duplicates', () => {
    expect(
      tenant(created).when(set({ allowedScopes: ['b:write', 'a:read', 'b:write'], warnDays: [1, 30, 7, 30] })),
    ).toEqual([policySet({ allowedScopes: ['a:read', 'b:write'], warnDays: [30, 7, 1] })]);
  });

  it('writes nothing when it says what stands already, in any order', () => {
    const standing = tenant(created, policySet({ allowedScopes: ['a:read', 'b:write'], warnDays: [30, 7] }));
    expect(standing.when(set({ warnDays: [7, 30], allowedScopes: ['b:write', 'a:read'] }))).toEqual([]);
    expect(standing.when(set({ warnDays: [7, 30] }))).toHaveLength(1);
    expect(standing.when(set({ warnDays: [7, 30], maxLifetimeDays: 1 }))).toHaveLength(1);
  });

  it('refuses a default lifetime that its own limits forbid', () => {
    expect(() => tenant(created).when(set({ defaultLifetimeDays: 91, maxLifetimeDays: 90 }))).toThrow('VALIDATION');
    expect(() => tenant(created).when(set({ defaultLifetimeDays: 91, maxTotalLifetimeDays: 90 }))).toThrow(
      'VALIDATION',
    );
    expect(tenant(created).when(set({ defaultLifetimeDays: 90, maxLifetimeDays: 90 }))).toHaveLength(1);
    expect(tenant(created).when(set({ defaultLifetimeDays: 90 }))).toHaveLength(1);
  });

  it('is removed once', () => {
    expect(tenant(created, policySet({})).when({ type: 'RemoveKeyPolicy' })).toEqual([removed]);
    expect(tenant(created).when({ type: 'RemoveKeyPolicy' })).toEqual([]);
    expect(tenant(created, policySet({}), removed).state).toMatchObject({ keyPolicy: null });
  });

  it('has a version of its own, which a suspension does not change', () => {
    const standing = tenant(created, policySet({}), suspended);
    expect(standing.when(set({ maxLifetimeDays: 1 }, 2))).toHaveLength(1);
    expect(() => standing.when(set({ maxLifetimeDays: 1 }, 3))).toThrow('VERSION_CONFLICT');
    expect(() => tenant(created).when({ type: 'RemoveKeyPolicy', ifMatch: 1 })).toThrow('VERSION_CONFLICT');
  });
});

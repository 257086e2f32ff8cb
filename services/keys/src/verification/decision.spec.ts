import type { KeyAttributes, KeyEvent, TenancyEvent, VerifyCode } from '#libs/contracts';
import { DAY_MS, type MadeKey, START, VerificationWorld } from './testing/verification-world.js';

const SERVICE = 'container-compute';
const access = (type: 'ServiceAccessGranted' | 'ServiceAccessRevoked', service = SERVICE): TenancyEvent => ({
  type,
  data: { userId: 'alice', service },
});

const later = (days: number): string => new Date(Date.parse(START) + days * DAY_MS).toISOString();

/** One reason to refuse: how the key is made, what happens to it, how it is asked about. */
interface Reason {
  readonly code: VerifyCode;
  readonly made?: Partial<KeyAttributes>;
  readonly key?: KeyEvent;
  readonly tenant?: TenancyEvent;
  readonly project?: TenancyEvent;
  readonly ask?: object;
  /** The clock moves on by as many days before the question. */
  readonly days?: number;
}

/** In the documented order, so each wins over all that stand below it. */
const reasons: readonly Reason[] = [
  { code: 'TENANT_SUSPENDED', tenant: { type: 'TenantSuspended', data: {} } },
  { code: 'REVOKED', key: { type: 'KeyRevoked', data: { reason: 'compromised' } } },
  { code: 'DISABLED', key: { type: 'KeyDisabled', data: {} } },
  { code: 'NOT_YET_VALID', made: { notBefore: later(100) } },
  { code: 'EXPIRED', made: { expiresAt: later(10) }, days: 10 },
  { code: 'OWNER_INACTIVE', project: { type: 'MemberSuspended', data: { userId: 'alice' } } },
  { code: 'WRONG_ENVIRONMENT', ask: { environment: 'test' } },
  { code: 'WRONG_AUDIENCE', made: { audiences: ['storage'] }, ask: { audience: 'compute' } },
  { code: 'IP_NOT_ALLOWED', made: { ipAllow: ['192.0.2.0/24'] }, ask: { clientIp: '198.51.100.1' } },
  { code: 'INSUFFICIENT_SCOPE', made: { scopes: ['compute:read'] }, ask: { scopes: ['compute:write'] } },
  { code: 'POLICY_VIOLATION', project: { type: 'KeyPolicySet', data: { policy: { maxLifetimeDays: 1 } } } },
];

describe('the decision', () => {
  let world: VerificationWorld;
  beforeEach(async () => {
    world = await VerificationWorld.start();
  });
  afterEach(async () => {
    await world.close();
  });

  async function codeOf(...these: readonly Reason[]): Promise<string> {
    const made = Object.assign({}, ...these.map((reason) => reason.made)) as Partial<KeyAttributes>;
    const key: MadeKey = await world.key(made);
    for (const reason of these) {
      if (reason.key !== undefined) await world.change(key.keyId, reason.key);
      if (reason.project !== undefined) await world.projectEvent(reason.project);
    }
    for (const { tenant } of these) if (tenant !== undefined) await world.tenantEvent(tenant);
    world.clock.advance(Math.max(0, ...these.map(({ days }) => days ?? 0)) * DAY_MS);
    const ask = Object.assign({}, ...these.map((reason) => reason.ask)) as object;
    return (await world.verify(key.token, ask)).code;
  }

  it('is VALID where nothing speaks against it', async () => {
    expect(await codeOf()).toBe('VALID');
  });

  it.each(reasons.map((reason) => [reason.code, reason] as const))('is %s', async (code, reason) => {
    expect(await codeOf(reason)).toBe(code);
  });

  const pairs = reasons.flatMap((first, n) => reasons.slice(n + 1).map((second) => [first, second] as const));
  it.each(pairs.map((pair) => [pair[0].code, pair[1].code, pair] as const))(
    'is %s rather than %s',
    async (code, _, pair) => {
      expect(await codeOf(...pair)).toBe(code);
    },
  );

  it('is EXPIRED from the very millisecond of the expiry on', async () => {
    const { token } = await world.key({ expiresAt: later(1) });
    world.clock.set(Date.parse(later(1)) - 1);
    expect((await world.verify(token)).code).toBe('VALID');
    world.clock.advance(1);
    expect((await world.verify(token)).code).toBe('EXPIRED');
  });

  it('is NOT_YET_VALID until the very millisecond of notBefore', async () => {
    const { token } = await world.key({ notBefore: later(1) });
    world.clock.set(Date.parse(later(1)) - 1);
    expect((await world.verify(token)).code).toBe('NOT_YET_VALID');
    world.clock.advance(1);
    expect((await world.verify(token)).code).toBe('VALID');
  });

  it('is OWNER_INACTIVE for a removed member and a closed project', async () => {
    const { token } = await world.key({ owner: { type: 'user', id: 'bob', role: 'tenant_user' } });
    const project = await world.key({ owner: { type: 'project', id: 'GOV1', role: 'tenant_user' } });
    await world.projectEvent({ type: 'MemberRemoved', data: { userId: 'bob', disposition: 'block', to: null } });
    expect((await world.verify(token)).code).toBe('OWNER_INACTIVE');
    expect((await world.verify(project.token)).code).toBe('VALID');
    await world.projectEvent({ type: 'ProjectClosed', data: {} });
    expect((await world.verify(project.token)).code).toBe('OWNER_INACTIVE');
  });

  it('refuses a key with audiences to a service that does not say its name', async () => {
    const { token } = await world.key({ audiences: ['compute', 'storage'] });
    expect((await world.verify(token)).code).toBe('WRONG_AUDIENCE');
    expect((await world.verify(token, { audience: 'storage' })).code).toBe('VALID');
  });

  it('refuses a key with a list of addresses where the address is not known, and lets deny win', async () => {
    const { token } = await world.key({ ipAllow: ['192.0.2.0/24'], ipDeny: ['192.0.2.7/32'] });
    expect((await world.verify(token)).code).toBe('IP_NOT_ALLOWED');
    expect((await world.verify(token, { clientIp: '192.0.2.7' })).code).toBe('IP_NOT_ALLOWED');
    expect((await world.verify(token, { clientIp: '::ffff:192.0.2.8' })).code).toBe('VALID');
  });
});

describe('the power of a key', () => {
  let world: VerificationWorld;
  beforeEach(async () => {
    world = await VerificationWorld.start();
  });
  afterEach(async () => {
    await world.close();
  });

  it('is its scopes, with trailing wildcards, and the answer names what is missing', async () => {
    const { token } = await world.key({ scopes: ['compute:*', 'storage:read'] });
    const ask = async (...scopes: string[]): Promise<unknown> =>
      (await world.verify(token, { scopes }))['missing'] ?? 'all';
    expect(await ask('compute:read', 'compute:vm:start', 'storage:read')).toBe('all');
    expect(await ask('compute:*')).toBe('all');
    expect(await ask('storage:*', 'storage:write', 'storage:read', '*')).toEqual(['storage:*', 'storage:write', '*']);
    expect(await ask()).toBe('all');
  });

  it('is all of the owner’s without scopes and none with an empty list', async () => {
    const all = await world.key({ scopes: null });
    const none = await world.key({ scopes: [] });
    expect(await world.verify(all.token, { scopes: ['anything:at:all'] })).toMatchObject({
      code: 'VALID',
      scopes: null,
    });
    expect(await world.verify(none.token, { scopes: ['a'] })).toMatchObject({ missing: ['a'], scopes: [] });
    expect((await world.verify(none.token)).code).toBe('VALID');
  });

  it('is cut by the policy of today, and the answer shows what is left', async () => {
    const { token } = await world.key({ scopes: ['compute:*', 'storage:read'] });
    await world.projectPolicy({ allowedScopes: ['compute:read', 'network:*'] });
    expect(await world.verify(token, { scopes: ['compute:read'] })).toMatchObject({
      code: 'VALID',
      scopes: ['compute:read'],
    });
    expect(await world.verify(token, { scopes: ['storage:read'] })).toMatchObject({ missing: ['storage:read'] });
    const all = await world.key({ scopes: null });
    expect(await world.verify(all.token, { scopes: ['storage:read'] })).toMatchObject({ missing: ['storage:read'] });
    await world.projectEvent({ type: 'KeyPolicyRemoved', data: {} });
    expect((await world.verify(token, { scopes: ['storage:read'] })).code).toBe('VALID');
  });

  it('follows the owner’s role of today in what is Steward’s own', async () => {
    const { token } = await world.key({ scopes: ['steward:members:write', 'steward:quotas:read'] });
    expect(await world.verify(token, { scopes: ['steward:members:write'] })).toMatchObject({
      missing: ['steward:members:write'],
      scopes: ['steward:quotas:read'],
      owner: { role: 'tenant_user' },
    });
    await world.projectEvent({
      type: 'MemberRoleChanged',
      data: { userId: 'alice', from: 'tenant_user', to: 'tenant_admin' },
    });
    expect(await world.verify(token, { scopes: ['steward:members:write'] })).toMatchObject({
      code: 'VALID',
      scopes: ['steward:members:write', 'steward:quotas:read'],
      owner: { role: 'tenant_admin' },
    });
  });

  it('holds a service’s scopes only while its owner has access to the service', async () => {
    const scopes = [`${SERVICE}:pods:read`, 'storage:read'];
    const listed = await world.key({ scopes });
    const all = await world.key({ scopes: null });
    const wide = await world.key({ scopes: ['*'] });
    const ask = { scopes: [`${SERVICE}:pods:read`] };
    expect(await world.verify(listed.token, ask)).toMatchObject({ missing: ask.scopes, scopes: ['storage:read'] });
    for (const { token } of [all, wide]) expect(await world.verify(token, ask)).toMatchObject({ missing: ask.scopes });
    expect((await world.verify(listed.token)).code).toBe('VALID');
    await world.projectEvent(access('ServiceAccessGranted'));
    expect(await world.verify(listed.token, ask)).toMatchObject({ code: 'VALID', scopes });
    for (const { token } of [all, wide]) expect((await world.verify(token, ask)).code).toBe('VALID');
    expect(await world.verify(wide.token, { scopes: ['*'] })).toMatchObject({ missing: ['*'] });
    await world.projectEvent(access('ServiceAccessRevoked'));
    for (const { token } of [listed, all, wide])
      expect(await world.verify(token, ask)).toMatchObject({ code: 'INSUFFICIENT_SCOPE', missing: ask.scopes });
  });

  it('needs no service access where its owner is no member', async () => {
    const ask = { scopes: [`${SERVICE}:pods:read`] };
    const owner = { type: 'project', id: 'GOV1', role: 'tenant_user' } as const;
    const { token } = await world.key({ owner, scopes: ask.scopes });
    expect(await world.verify(token, ask)).toMatchObject({ code: 'VALID', scopes: ask.scopes });
  });

  it('never holds the management of keys without canManageKeys', async () => {
    const plain = await world.key({ scopes: null });
    const manager = await world.key({ scopes: null, canManageKeys: true });
    const wanted = { scopes: ['steward:keys:create', 'steward:keys:write', 'steward:keys:read', 'steward:*'] };
    expect(await world.verify(plain.token, wanted)).toMatchObject({
      missing: ['steward:keys:create', 'steward:keys:write', 'steward:*'],
    });
    expect((await world.verify(manager.token, wanted)).code).toBe('VALID');
  });
});

describe('today’s policy', () => {
  let world: VerificationWorld;
  beforeEach(async () => {
    world = await VerificationWorld.start();
  });
  afterEach(async () => {
    await world.close();
  });

  it.each([
    ['requireExpiry', { requireExpiry: true }, { expiresAt: null }, { expiresAt: later(1) }],
    [
      'maxLifetimeDays',
      { maxLifetimeDays: 30 },
      { expiresAt: new Date(Date.parse(later(30)) + 1).toISOString() },
      { expiresAt: later(30) },
    ],
    [
      'maxTotalLifetimeDays',
      { maxTotalLifetimeDays: 30 },
      { expiresAt: new Date(Date.parse(later(30)) + 1).toISOString() },
      { expiresAt: later(30) },
    ],
    ['requireIpAllow', { requireIpAllow: true }, { ipAllow: [] }, { ipAllow: ['192.0.2.0/24'] }],
  ])('blocks by %s, to the millisecond', async (_, policy, broken, held) => {
    const bad = await world.key(broken);
    const good = await world.key(held);
    await world.projectPolicy(policy);
    const ask = { clientIp: '192.0.2.1' };
    expect((await world.verify(bad.token, ask)).code).toBe('POLICY_VIOLATION');
    expect((await world.verify(good.token, ask)).code).toBe('VALID');
  });

  it('counts the lifetime from the event that last set the expiry, and the total from the creation', async () => {
    const { keyId, token } = await world.key({ expiresAt: later(20) });
    world.clock.advance(10 * DAY_MS);
    await world.change(keyId, { type: 'KeyExtended', data: { from: later(20), to: later(40), days: 20 } });
    await world.projectPolicy({ maxLifetimeDays: 30, maxTotalLifetimeDays: 40 });
    expect((await world.verify(token)).code).toBe('VALID');
    await world.projectPolicy({ maxLifetimeDays: 29 });
    expect((await world.verify(token)).code).toBe('POLICY_VIOLATION');
    await world.projectPolicy({ maxTotalLifetimeDays: 39 });
    expect((await world.verify(token)).code).toBe('POLICY_VIOLATION');
  });

  it('is the strictest of the tenant’s and the project’s', async () => {
    const { token } = await world.key({ expiresAt: later(20) });
    await world.tenantEvent({ type: 'KeyPolicySet', data: { policy: { maxLifetimeDays: 10 } } });
    await world.projectPolicy({ maxLifetimeDays: 30 });
    expect((await world.verify(token)).code).toBe('POLICY_VIOLATION');
    await world.tenantEvent({ type: 'KeyPolicyRemoved', data: {} });
    expect((await world.verify(token)).code).toBe('VALID');
  });
});

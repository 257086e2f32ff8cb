import { keyStream } from '#libs/contracts';
import { newToken } from '../key-secret.js';
import { DAY_MS, START, VerificationWorld } from './testing/verification-world.js';
import { verifyAnswerJson } from './verify-answer.js';
import { readVerifyRequest } from './verify-request.js';

const HOUR_MS = 3_600_000;
const unknownToken = newToken('live', 'key_zzzzzzzzzzzzzzzz');

describe('verification', () => {
  let world: VerificationWorld;
  beforeEach(async () => {
    world = await VerificationWorld.start();
  });
  afterEach(async () => {
    await world.close();
  });

  it('answers everything that is known of a valid key', async () => {
    const { keyId, token } = await world.key({
      scopes: ['a:b'],
      labels: { team: 'ingest ☕' },
      metadata: { '2': [1, null], nested: { b: '"' } },
      expiresAt: '2026-06-01T00:00:00.000Z',
    });
    const position = await world.store.head();
    expect(await world.verify(token)).toEqual({
      valid: true,
      code: 'VALID',
      keyId,
      tenantId: 'acme',
      projectId: 'GOV1',
      owner: { type: 'user', id: 'alice', role: 'tenant_user' },
      environment: 'live',
      scopes: ['a:b'],
      labels: { team: 'ingest ☕' },
      metadata: { '2': [1, null], nested: { b: '"' } },
      expiresAt: '2026-06-01T00:00:00.000Z',
      secretVersion: 1,
      rotation: { superseded: false, retiresAt: null },
      asOf: { position: expect.any(String) as string, stalenessMs: expect.any(Number) as number },
    });
    expect(position).toMatch(/^\d{20}$/);
  });

  it('tells nothing but the code to whoever lacks the secret', async () => {
    const { keyId, token } = await world.key();
    await world.change(keyId, { type: 'KeyRevoked', data: { reason: 'compromised' } });
    const typo = token.slice(0, -1) + (token.endsWith('0') ? '1' : '0');
    const wrongSecret = newToken('live', keyId);
    const asOf = { position: expect.any(String) as string, stalenessMs: expect.any(Number) as number };
    expect(await world.verify(typo)).toEqual({ valid: false, code: 'MALFORMED', asOf });
    for (const wrong of [wrongSecret, unknownToken, 'another-systems-token'])
      expect(await world.verify(wrong)).toEqual({ valid: false, code: 'NOT_FOUND', asOf });
    expect(await world.verify(token)).toMatchObject({ valid: false, code: 'REVOKED', keyId });
  });

  it('does the same work for a wrong secret, an unknown key, a deleted key and one seen for the first time', async () => {
    const valid = await world.key();
    const deleted = await world.key();
    await world.change(deleted.keyId, { type: 'KeyDeleted', data: { dataKeys: [] } });
    const hashes = (token: string): number => {
      const before = world.peppers.hashes;
      world.verifier.authenticate(token);
      return world.peppers.hashes - before;
    };
    const wrong = [newToken('live', valid.keyId), unknownToken, deleted.token];
    expect([...wrong, valid.token].map(hashes)).toEqual([1, 1, 1, 1]);
    // While two peppers are in use, a key may need both; then every token gets both.
    await world.key({}, { pepper: '2' });
    expect([...wrong, (await world.key()).token].map(hashes)).toEqual([2, 2, 2, 2]);
    const rotated = await world.key();
    const newer = await world.rotate(rotated.keyId, HOUR_MS);
    expect([rotated.token, newer, newToken('live', rotated.keyId)].map(hashes)).toEqual([2, 2, 2]);
  });

  it('counts every decision once for its caller, with the key only where the bearer proved it', async () => {
    const [valid, disabled] = [await world.key(), await world.key()];
    await world.change(disabled.keyId, { type: 'KeyDisabled', data: {} });
    const wrongSecret = newToken('live', valid.keyId);
    const asks = [valid.token, disabled.token, wrongSecret, unknownToken, `${valid.token}0`, valid.token];
    const requests = asks.map((token) => readVerifyRequest({ token }));
    await world.verifier.verifyBatch(requests, world.gateway, verifyAnswerJson);
    await world.verify(valid.token, {}, world.serviceOf('acme'));
    const [NOBODY, GATEWAY] = [null, 'gateway'];
    expect(world.decisions.map((decision) => decision.join()).sort()).toEqual(
      [
        [valid.keyId, 'VALID', GATEWAY],
        [valid.keyId, 'VALID', GATEWAY],
        [valid.keyId, 'VALID', 'gateway-of-acme'],
        [disabled.keyId, 'DISABLED', GATEWAY],
        [NOBODY, 'NOT_FOUND', GATEWAY],
        [NOBODY, 'NOT_FOUND', GATEWAY],
        [NOBODY, 'MALFORMED', GATEWAY],
      ]
        .map((decision) => decision.join())
        .sort(),
    );
    world.verifier.authenticate(valid.token);
    expect([world.decisions.length, world.uses.length]).toEqual([7, 4]);
  });

  it('never lets a deleted key back: NOT_FOUND with its own secret', async () => {
    const { keyId, token } = await world.key();
    await world.change(keyId, { type: 'KeyDeleted', data: { dataKeys: [] } });
    expect((await world.verify(token)).code).toBe('NOT_FOUND');
    expect(world.index.find(keyId)).toMatchObject({ deleted: true, projectId: 'GOV1' });
  });

  it('finds another system’s token by its digest once it was imported', async () => {
    const token = 'sk_live_0123456789';
    expect((await world.verify(token)).code).toBe('NOT_FOUND');
    const keyId = await world.imported(token);
    expect(await world.verify(token)).toMatchObject({ code: 'VALID', keyId });
    expect((await world.verify(`${token}0`)).code).toBe('NOT_FOUND');
  });

  it('answers NOT_FOUND and alarms for a verifier that is missing, and NOT_FOUND in silence for an erased one', async () => {
    const missing = await world.key({}, { elsewhere: true });
    world.dataKeys.obtain = () => Promise.reject(new Error('Not needed.'));
    const stored = await world.store.readStream(keyStream(missing.keyId));
    const name = stored[0]?.privateParts['verifier']?.key ?? '';
    world.dataKeys.open = () => Promise.resolve(new Map());
    await world.follower.applyAppended(stored);
    expect((await world.verify(missing.token)).code).toBe('NOT_FOUND');
    expect(world.missingVerifiers).toEqual([missing.keyId]);
    expect(name).toContain(missing.keyId);
  });
});

describe('a rotation', () => {
  let world: VerificationWorld;
  beforeEach(async () => {
    world = await VerificationWorld.start();
  });
  afterEach(async () => {
    await world.close();
  });

  it('keeps both secrets valid until the older one retires, and says which was shown', async () => {
    const { keyId, token } = await world.key();
    const newer = await world.rotate(keyId, HOUR_MS);
    const retiresAt = new Date(Date.parse(START) + HOUR_MS).toISOString();
    expect(await world.verify(token)).toMatchObject({
      code: 'VALID',
      secretVersion: 1,
      rotation: { superseded: true, retiresAt },
    });
    expect(await world.verify(newer)).toMatchObject({
      code: 'VALID',
      secretVersion: 2,
      rotation: { superseded: false, retiresAt: null },
    });
    world.clock.advance(HOUR_MS - 1);
    expect((await world.verify(token)).code).toBe('VALID');
    world.clock.advance(1);
    expect((await world.verify(token)).code).toBe('NOT_FOUND');
    expect((await world.verify(newer)).code).toBe('VALID');
  });

  it('ends at once for the secret that is retired, the newer one too', async () => {
    const { keyId, token } = await world.key();
    const newer = await world.rotate(keyId, HOUR_MS);
    await world.change(keyId, { type: 'KeySecretRetired', data: { version: 2 } });
    expect((await world.verify(newer)).code).toBe('NOT_FOUND');
    expect((await world.verify(token)).code).toBe('VALID');
    const other = await world.key();
    const itsNewer = await world.rotate(other.keyId, HOUR_MS);
    await world.change(other.keyId, { type: 'KeySecretRetired', data: { version: 1 } });
    expect((await world.verify(other.token)).code).toBe('NOT_FOUND');
    expect((await world.verify(itsNewer)).code).toBe('VALID');
  });

  it('notes uses by version, and only those that were valid', async () => {
    const { keyId, token } = await world.key();
    const newer = await world.rotate(keyId, HOUR_MS);
    await world.verify(token);
    await world.verify(newer);
    await world.verify(newToken('live', keyId));
    await world.change(keyId, { type: 'KeyDisabled', data: {} });
    await world.verify(newer);
    const atMs = Date.parse(START);
    expect(world.uses).toEqual([
      [keyId, 1, atMs],
      [keyId, 2, atMs],
    ]);
  });

  it('offers a secret under an older pepper for a new verifier when it was used', async () => {
    await world.close();
    world = await VerificationWorld.start({ pepper: '2' });
    const old = await world.key({}, { pepper: '1' });
    const current = await world.key({}, { pepper: '2' });
    expect((await world.verify(old.token)).code).toBe('VALID');
    expect((await world.verify(current.token)).code).toBe('VALID');
    await world.verify(newToken('live', old.keyId));
    expect(world.upgrades.map(({ keyId, version, fromPepper }) => [keyId, version, fromPepper])).toEqual([
      [old.keyId, 1, '1'],
    ]);
    await world.change(old.keyId, {
      type: 'KeyVerifierUpgraded',
      data: { version: 1, from: '1', to: '2' },
      private: world.verifierOf(old.token, '2'),
    });
    expect((await world.verify(old.token)).code).toBe('VALID');
    expect(world.upgrades).toHaveLength(1);
  });
});

describe('a caller', () => {
  let world: VerificationWorld;
  beforeEach(async () => {
    world = await VerificationWorld.start();
  });
  afterEach(async () => {
    await world.close();
  });

  it('of another tenant learns nothing: NOT_FOUND for a valid token', async () => {
    const { token } = await world.key();
    expect((await world.verify(token, {}, world.serviceOf('acme'))).code).toBe('VALID');
    const answer = await world.verify(token, {}, world.serviceOf('umbra'));
    expect(Object.keys(answer)).toEqual(['valid', 'code', 'asOf']);
    expect(answer.code).toBe('NOT_FOUND');
    expect(world.uses).toHaveLength(1);
  });

  it('whose rights have just grown elsewhere is not refused for lag', async () => {
    const { token } = await world.key();
    const bob = (role: 'tenant_user' | 'tenant_admin') => ({
      ...world.serviceOf('acme'),
      type: 'user' as const,
      id: 'bob',
      grants: [{ role, tenantId: 'acme', projectId: 'GOV1' }],
    });
    expect((await world.verify(token, {}, bob('tenant_user'))).code).toBe('NOT_FOUND');
    await world.elsewhere('project-GOV1', 'acme', 'GOV1', {
      type: 'MemberRoleChanged',
      data: { userId: 'bob', from: 'tenant_user', to: 'tenant_admin' },
    });
    expect((await world.verify(token, {}, bob('tenant_user'))).code).toBe('VALID');
  });
});

describe('the token of a caller', () => {
  let world: VerificationWorld;
  beforeEach(async () => {
    world = await VerificationWorld.start();
  });
  afterEach(async () => {
    await world.close();
  });

  it('is told with all that the guard needs, the scopes as the policy leaves them', async () => {
    const { keyId, token } = await world.key({
      scopes: ['compute:*', 'storage:read'],
      audiences: ['steward'],
      ipAllow: ['192.0.2.0/24'],
      expiresAt: '2026-02-01T00:00:00.000Z',
      canManageKeys: true,
    });
    await world.projectPolicy({ allowedScopes: ['compute:read'] });
    expect(world.verifier.authenticate(token)).toEqual({
      ok: true,
      keyId,
      tenantId: 'acme',
      projectId: 'GOV1',
      owner: { type: 'user', id: 'alice', role: 'tenant_user' },
      scopes: ['compute:read'],
      canManageKeys: true,
      expiresAt: '2026-02-01T00:00:00.000Z',
      ipAllow: ['192.0.2.0/24'],
      ipDeny: [],
      audiences: ['steward'],
    });
    expect(world.uses).toEqual([[keyId, 1, Date.parse(START)]]);
  });

  it('is refused with the reason, which the guard keeps to itself', async () => {
    const { keyId, token } = await world.key({ expiresAt: '2026-01-02T00:00:00.000Z' });
    const code = (shown: string): unknown => {
      const found = world.verifier.authenticate(shown);
      return found.ok ? 'VALID' : found.code;
    };
    expect([code('stw_x'), code(unknownToken), code(newToken('live', keyId)), code(token)]).toEqual([
      'MALFORMED',
      'NOT_FOUND',
      'NOT_FOUND',
      'VALID',
    ]);
    await world.projectPolicy({ requireIpAllow: true });
    expect(code(token)).toBe('POLICY_VIOLATION');
    world.clock.advance(DAY_MS);
    expect(code(token)).toBe('EXPIRED');
    await world.change(keyId, { type: 'KeyRevoked', data: { reason: 'other' } });
    expect(code(token)).toBe('REVOKED');
  });
});

it('counts decisions by code', async () => {
  const world = await VerificationWorld.start();
  try {
    const { token } = await world.key();
    for (const shown of [token, token, 'stw_x', unknownToken])
      await world.verifier.verify(readVerifyRequest({ token: shown }), world.gateway, verifyAnswerJson);
    const text = await world.metrics.registry.metrics();
    expect(text).toContain('steward_verifications_total{code="VALID"} 2');
    expect(text).toContain('steward_verifications_total{code="MALFORMED"} 1');
    expect(text).toContain('steward_verifications_total{code="NOT_FOUND"} 1');
    expect(text).toContain('steward_verification_duration_seconds_count 4');
    expect(text).not.toContain(token);
  } finally {
    await world.close();
  }
});

import type { KeyEvent } from '#libs/contracts';
import { VERIFIER_BYTES } from './key-rows.js';
import { attributes, created, hmacOf, keyIdOf, opened, START_MS, timeOf } from './testing/opened-events.js';
import { VerificationIndex } from './verification-index.js';

describe('the verification index', () => {
  it('skips what it has seen and leaves a gap to the follower', () => {
    const index = new VerificationIndex();
    expect(index.apply(opened({ type: 'KeyDisabled', data: {} }, 2))).toBe('gap');
    expect(index.apply(opened(created(), 1))).toBe('applied');
    expect(index.apply(opened(created(), 1))).toBe('seen');
    expect(index.apply(opened({ type: 'KeyEnabled', data: {} }, 3))).toBe('gap');
    expect(index.key(attributes.keyId)?.row.disabled).toBe(false);
    expect(index.apply(opened({ type: 'KeyDisabled', data: {} }, 2))).toBe('applied');
    expect(index.apply(opened({ type: 'KeyEnabled', data: {} }, 3))).toBe('applied');
  });

  it('stops at a stream that does not begin with its first event', () => {
    const index = new VerificationIndex();
    expect(() => index.apply(opened({ type: 'KeyDisabled', data: {} }, 1))).toThrow('before the creation');
  });

  it('keeps a key whose verifier is erased in silence and one whose verifier is missing with an alarm', () => {
    const alarms: string[] = [];
    const index = new VerificationIndex((keyId) => alarms.push(keyId));
    index.apply(opened(created({ keyId: keyIdOf(1) }), 1, { keyId: keyIdOf(1), part: { erased: true } }));
    expect(index.key(keyIdOf(1))?.row.hasVerifier).toBe(false);
    expect(alarms).toEqual([]);
    index.apply(opened(created({ keyId: keyIdOf(2) }), 1, { keyId: keyIdOf(2), part: { missing: true } }));
    expect(index.key(keyIdOf(2))?.row.hasVerifier).toBe(false);
    expect(alarms).toEqual([keyIdOf(2)]);
    expect(index.apply(opened({ type: 'KeyDisabled', data: {} }, 2, { keyId: keyIdOf(2) }))).toBe('applied');
  });

  it('keeps of a deleted key only whose it was', () => {
    const index = new VerificationIndex();
    index.apply(opened(created({ labels: { team: 'x' }, scopes: ['a:b'] }), 1));
    index.apply(opened({ type: 'KeyDeleted', data: { dataKeys: [] } }, 2));
    expect(index.find(attributes.keyId)).toEqual({
      tenantId: 'acme',
      projectId: 'GOV112345',
      owner: attributes.owner,
      deleted: true,
    });
    const key = index.key(attributes.keyId);
    expect(key?.row.hasVerifier).toBe(false);
    expect(Buffer.from(key?.row.verifier() ?? []).every((byte) => byte === 0)).toBe(true);
    expect(key?.extras.labels).toBe('{}');
    expect(key?.profile.scopes).toEqual([]);
  });

  it('finds each of 50,000 keys and none that is not there', () => {
    const index = new VerificationIndex();
    for (let n = 0; n < 50_000; n += 1)
      index.put({
        attributes: {
          ...attributes,
          keyId: keyIdOf(n),
          owner: { type: 'user', id: `user-${n % 100}`, role: 'tenant_user' },
        },
        tenantId: 'acme',
        projectId: `project-${n % 7}`,
        imported: false,
        createdAtMs: START_MS + n,
        pepperVersion: '1',
        verifier: Buffer.alloc(VERIFIER_BYTES, n),
        revision: 1,
      });
    for (let n = 0; n < 50_000; n += 1) {
      const key = index.key(keyIdOf(n));
      const found = key?.row.createdAtMs === START_MS + n && key.ownerId === `user-${n % 100}`;
      if (!found) throw new Error(`Key ${n} was not found.`);
    }
    for (const absent of [
      keyIdOf(50_000),
      'key_',
      'key_9DC9pg4cMivLPKB',
      'key_9DC9pg4cMivLPKB-',
      'kex_9DC9pg4cMivLPKBD',
      '',
    ])
      expect(index.key(absent)).toBeUndefined();
    expect([index.ownerIds.size, index.places.size, index.profiles.size]).toEqual([100, 7, 1]);
  });

  it('gives back what nobody holds any more: a thousand edits leave one profile', () => {
    const index = new VerificationIndex();
    index.apply(opened(created(), 1));
    for (let n = 0; n < 1_000; n += 1)
      index.apply(
        opened({ type: 'KeyUpdated', data: { changes: [{ field: 'scopes', from: null, to: [`scope-${n}`] }] } }, n + 2),
      );
    expect(index.profiles.size).toBe(1);
    expect(index.key(attributes.keyId)?.profile.scopes).toEqual(['scope-999']);
  });

  it('drops older secrets that are over, as others are rotated', () => {
    const index = new VerificationIndex();
    const rotated = (atMs: number): KeyEvent => ({
      type: 'KeyRotated',
      data: {
        version: 2,
        pepperVersion: '1',
        madeBy: 'steward',
        previousVersion: 1,
        previousRetiresAt: timeOf(atMs + 1_000),
      },
      private: { verifier: { hmac: hmacOf(2) } },
    });
    const keys = 200;
    for (let n = 0; n < keys; n += 1) index.apply(opened(created({ keyId: keyIdOf(n) }), 1, { keyId: keyIdOf(n) }));
    for (let n = 0; n < keys; n += 1) {
      const atMs = START_MS + n * 60_000;
      index.apply(opened(rotated(atMs), 2, { keyId: keyIdOf(n), atMs }));
    }
    const left = Array.from({ length: keys }, (_, n) => index.key(keyIdOf(n))?.extras.older).filter(
      (one) => one !== null,
    );
    expect(left.length).toBeLessThanOrEqual(2);
  });
});

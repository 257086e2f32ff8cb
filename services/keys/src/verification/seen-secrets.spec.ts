import { newToken } from '../key-secret.js';
import { VerificationWorld } from './testing/verification-world.js';

describe('a secret that was right a moment ago', () => {
  let world: VerificationWorld;
  beforeEach(async () => {
    world = await VerificationWorld.start();
  });
  afterEach(async () => {
    await world.close();
  });

  const hashes = (token: string): number => {
    const before = world.peppers.hashes;
    world.verifier.authenticate(token);
    return world.peppers.hashes - before;
  };

  it('costs no HMAC again, a wrong one costs it every time', async () => {
    const { keyId, token } = await world.key();
    const wrong = newToken('live', keyId);
    expect([token, token, token].map(hashes)).toEqual([1, 0, 0]);
    expect([wrong, wrong, wrong].map(hashes)).toEqual([1, 1, 1]);
  });

  it('is looked at anew after any change of its key', async () => {
    const { keyId, token } = await world.key();
    hashes(token);
    await world.change(keyId, { type: 'KeyDisabled', data: {} });
    expect((await world.verify(token)).code).toBe('DISABLED');
    await world.change(keyId, { type: 'KeyEnabled', data: {} });
    expect([token, token].map(hashes)).toEqual([1, 0]);
  });

  it('is forgotten with its retirement, and an overlap ends on time for it too', async () => {
    const { keyId, token } = await world.key();
    const newer = await world.rotate(keyId, 1_000);
    expect((await world.verify(token)).code).toBe('VALID');
    expect((await world.verify(newer)).code).toBe('VALID');
    expect([token, newer].map(hashes)).toEqual([0, 0]);
    world.clock.advance(1_000);
    expect((await world.verify(token)).code).toBe('NOT_FOUND');
    await world.change(keyId, { type: 'KeySecretRetired', data: { version: 2 } });
    expect((await world.verify(newer)).code).toBe('NOT_FOUND');
  });

  it('does not outlive its key', async () => {
    const { keyId, token } = await world.key();
    hashes(token);
    await world.change(keyId, { type: 'KeyDeleted', data: { dataKeys: [] } });
    expect((await world.verify(token)).code).toBe('NOT_FOUND');
    expect(hashes(token)).toBe(1);
  });
});

import { newToken } from '../key-secret.js';
import { VerificationWorld } from './testing/verification-world.js';
import { readVerifyRequest } from './verify-request.js';

const unknownToken = newToken('live', 'key_zzzzzzzzzzzzzzzz');

describe('a refusal', () => {
  let world: VerificationWorld;
  beforeEach(async () => {
    world = await VerificationWorld.start();
  });
  afterEach(async () => {
    await world.close();
  });

  it('is given only at the head: a key that another process has just made is VALID', async () => {
    const { token } = await world.key({}, { elsewhere: true });
    expect((await world.verify(token)).code).toBe('VALID');
  });

  it('costs a read of the head, an acceptance and a malformed token cost none', async () => {
    const { token } = await world.key();
    const reads = (): number => world.follower.counters.headReads;
    let before = reads();
    for (let n = 0; n < 20; n += 1) await world.verify(token);
    await world.verify('stw_live_nothing');
    expect(reads()).toBe(before);
    before = reads();
    await world.verify(unknownToken);
    expect(reads()).toBe(before + 1);
  });

  it('makes only the refused of a batch wait, together, and keeps the order', async () => {
    const here = await world.key();
    const there = await world.key({}, { elsewhere: true });
    const before = world.follower.counters.headReads;
    const tokens = [unknownToken, here.token, there.token, 'stw_broken', here.token, unknownToken];
    const codes = await world.verifier.verifyBatch(
      tokens.map((token) => readVerifyRequest({ token })),
      world.gateway,
      ({ code }) => code,
    );
    expect(codes).toEqual(['NOT_FOUND', 'VALID', 'VALID', 'MALFORMED', 'VALID', 'NOT_FOUND']);
    expect(world.follower.counters.headReads).toBe(before + 1);
  });

  it('is told from memory while the store is away', async () => {
    const { keyId, token } = await world.key();
    await world.change(keyId, { type: 'KeyDisabled', data: {} });
    world.store.down = true;
    expect((await world.verify(token)).code).toBe('DISABLED');
  });
});

describe('the view of a node', () => {
  let world: VerificationWorld;
  beforeEach(async () => {
    world = await VerificationWorld.start();
  });
  afterEach(async () => {
    await world.close();
  });

  it('that is older than the bound answers STALE to all, but a malformed token stays malformed', async () => {
    const { keyId, token } = await world.key();
    world.store.down = true;
    world.leapMs = 29_000;
    expect((await world.verify(token)).code).toBe('VALID');
    world.leapMs = 31_000;
    const answer = await world.verify(token);
    expect(answer).toEqual({ valid: false, code: 'STALE', asOf: expect.any(Object) as object });
    expect((await world.verify(newToken('live', keyId))).code).toBe('STALE');
    expect((await world.verify('stw_x')).code).toBe('MALFORMED');
    world.store.down = false;
    expect((await world.verify(token)).code).toBe('VALID');
  });

  it('can be asked to be newer than the bound, and is brought up to date before it gives up', async () => {
    const { token } = await world.key();
    world.store.down = true;
    world.leapMs = 2_000;
    expect((await world.verify(token, { maxStalenessMs: 1_000 })).code).toBe('STALE');
    expect((await world.verify(token, { maxStalenessMs: 10_000 })).code).toBe('VALID');
    world.store.down = false;
    expect((await world.verify(token, { maxStalenessMs: 1_000 })).code).toBe('VALID');
  });

  it('reaches the position that the request bears before it decides', async () => {
    const { keyId, token } = await world.key();
    const stored = await world.changeElsewhere(keyId, { type: 'KeyDisabled', data: {} });
    const minPosition = stored[0]?.position ?? '';
    expect(await world.verify(token, { minPosition })).toMatchObject({ code: 'DISABLED' });
    await expect(world.verify(token, { minPosition: 'nonsense' })).rejects.toMatchObject({ code: 'POSITION_UNKNOWN' });
  });
});

import { AUTHENTICATE, KEYS_SERVICE, type ReceivedCall } from '#libs/platform';
import { newToken } from '../key-secret.js';
import { CredentialsGrpc } from './credentials.grpc.js';
import { VerificationWorld } from './testing/verification-world.js';

describe('a caller’s key that another service asks for', () => {
  let world: VerificationWorld;
  let ask: (token: string, atHead?: boolean) => Promise<unknown>;
  beforeEach(async () => {
    world = await VerificationWorld.start();
    let handle: (call: ReceivedCall) => Promise<unknown> = () => Promise.resolve(undefined);
    const door = {
      serve: (method: unknown, to: string, served: typeof handle) => {
        expect([method, to]).toEqual([AUTHENTICATE, KEYS_SERVICE]);
        handle = served;
      },
    };
    new CredentialsGrpc(door, world.verifier, world.follower, world.config).onModuleInit();
    ask = (token, atHead = false) => {
      const payload = Buffer.from(JSON.stringify({ token, atHead }));
      return handle({ payload, principal: null, deadlineMs: undefined });
    };
  });
  afterEach(async () => {
    await world.close();
  });
  const headReads = () => world.follower.counters.headReads;

  it('is told as this process itself would know it', async () => {
    const { token } = await world.key({ ipAllow: ['192.0.2.0/24'], audiences: ['steward'] });
    expect(await ask(token)).toEqual(world.verifier.authenticate(token));
    expect(await ask(token)).toMatchObject({ ok: true, tenantId: 'acme', owner: { id: 'alice' } });
  });

  it('is refused at the store’s head and for good, and a malformed one at once', async () => {
    const before = headReads();
    expect(await ask('stw_nonsense')).toEqual({ ok: false, code: 'MALFORMED' });
    expect(headReads()).toBe(before);
    const unknown = newToken('live', 'key_zzzzzzzzzzzzzzzz');
    expect(await ask(unknown)).toEqual({ ok: false, code: 'NOT_FOUND', isFinal: true });
    expect(headReads()).toBeGreaterThan(before);
    const { token } = await world.key();
    const reads = headReads();
    await ask(token, true);
    expect(headReads()).toBeGreaterThan(reads);
  });

  it('is not told at all from a view that is too old', async () => {
    const { token } = await world.key();
    world.leapMs = world.config.verifyStalenessMaxMs * 2;
    await expect(ask(token)).rejects.toMatchObject({ code: 'STALE', extra: { retryAfterSeconds: 1 } });
  });
});

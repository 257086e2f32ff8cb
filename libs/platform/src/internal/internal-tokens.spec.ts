import { SignJWT } from 'jose';
import { FixedClock } from '#libs/eventsourcing';
import type { Principal } from '../auth/principal.js';
import { InternalTokenInvalid, InternalTokens, TOKEN_LIFE_SECONDS } from './internal-tokens.js';

const key = Buffer.alloc(32, 'k');
const call = { to: 'b:1', method: 'a.B/C', payload: Buffer.from('{"a":1}') };
const ada: Principal = { type: 'user', id: 'ada', via: 'oidc:x', tenantId: null, grants: [], key: null };

const world = () => {
  const clock = new FixedClock();
  return { clock, tokens: new InternalTokens(key, clock) };
};

describe('an internal token', () => {
  it.each([ada, null])('says for whom it was made', async (principal) => {
    const { tokens } = world();
    expect(await tokens.verify(await tokens.sign(call, principal), call)).toEqual(principal);
  });

  it('is for one process, one method, one payload and a few seconds', async () => {
    const { tokens, clock } = world();
    const token = await tokens.sign(call, ada);
    await expect(tokens.verify(token, { ...call, to: 'c:1' })).rejects.toThrow(InternalTokenInvalid);
    await expect(tokens.verify(token, { ...call, payload: Buffer.from('{"a":2}') })).rejects.toThrow(
      InternalTokenInvalid,
    );
    await expect(tokens.verify(token, { ...call, method: 'a.B/D' })).rejects.toThrow(InternalTokenInvalid);
    clock.advance((TOKEN_LIFE_SECONDS + 3) * 1_000);
    await expect(tokens.verify(token, call)).rejects.toThrow(InternalTokenInvalid);
  });

  it('is of this installation alone', async () => {
    const { tokens, clock } = world();
    const forged = await new InternalTokens(Buffer.alloc(32, 'x'), clock).sign(call, ada);
    await expect(tokens.verify(forged, call)).rejects.toThrow(InternalTokenInvalid);
    const unsigned = `${Buffer.from('{"alg":"none","typ":"steward-internal+jwt"}').toString('base64url')}.${forged.split('.')[1]}.`;
    await expect(tokens.verify(unsigned, call)).rejects.toThrow(InternalTokenInvalid);
    const ofAnotherKind = await new SignJWT({ principal: ada })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setAudience('b:1')
      .setIssuedAt(clock.nowMs() / 1_000)
      .setExpirationTime(clock.nowMs() / 1_000 + 5)
      .sign(key);
    await expect(tokens.verify(ofAnotherKind, call)).rejects.toThrow(InternalTokenInvalid);
    await expect(tokens.verify('', call)).rejects.toThrow(InternalTokenInvalid);
  });
});

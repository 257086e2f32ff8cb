import { SignJWT } from 'jose';
import { FixedClock } from '#libs/eventsourcing';
import type { Principal } from '#libs/platform';
import { InternalTokenInvalid, InternalTokens, TOKEN_LIFE_SECONDS } from './internal-token.js';

const key = Buffer.alloc(32, 'k');
const payload = Buffer.from('{"a":1}');
const ada: Principal = { type: 'user', id: 'ada', via: 'oidc:x', tenantId: null, grants: [], key: null };

const world = () => {
  const clock = new FixedClock();
  return { clock, tokens: new InternalTokens(key, clock) };
};

describe('an internal token', () => {
  it.each([ada, null])('says for whom it was made', async (principal) => {
    const { tokens } = world();
    expect(await tokens.verify(await tokens.sign('b:1', principal, payload), 'b:1', payload)).toEqual(principal);
  });

  it('is for one process, one payload and a few seconds', async () => {
    const { tokens, clock } = world();
    const token = await tokens.sign('b:1', ada, payload);
    await expect(tokens.verify(token, 'c:1', payload)).rejects.toThrow(InternalTokenInvalid);
    await expect(tokens.verify(token, 'b:1', Buffer.from('{"a":2}'))).rejects.toThrow(InternalTokenInvalid);
    clock.advance((TOKEN_LIFE_SECONDS + 3) * 1_000);
    await expect(tokens.verify(token, 'b:1', payload)).rejects.toThrow(InternalTokenInvalid);
  });

  it('is of this installation alone', async () => {
    const { tokens, clock } = world();
    const forged = await new InternalTokens(Buffer.alloc(32, 'x'), clock).sign('b:1', ada, payload);
    await expect(tokens.verify(forged, 'b:1', payload)).rejects.toThrow(InternalTokenInvalid);
    const unsigned = `${Buffer.from('{"alg":"none","typ":"steward-internal+jwt"}').toString('base64url')}.${forged.split('.')[1]}.`;
    await expect(tokens.verify(unsigned, 'b:1', payload)).rejects.toThrow(InternalTokenInvalid);
    const ofAnotherKind = await new SignJWT({ principal: ada })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setAudience('b:1')
      .setIssuedAt(clock.nowMs() / 1_000)
      .setExpirationTime(clock.nowMs() / 1_000 + 5)
      .sign(key);
    await expect(tokens.verify(ofAnotherKind, 'b:1', payload)).rejects.toThrow(InternalTokenInvalid);
    await expect(tokens.verify('', 'b:1', payload)).rejects.toThrow(InternalTokenInvalid);
  });
});

import { createHash } from 'node:crypto';
import { jwtVerify, SignJWT } from 'jose';
import type { Clock } from '#libs/eventsourcing';
import type { Principal } from '#libs/platform';

/** A command is on its way for as long as its caller waits, and no longer. */
export const TOKEN_LIFE_SECONDS = 10;
/** Both ends read the clock of one store, but not at the same moment. */
const SKEW_SECONDS = 2;
const TYPE = 'steward-internal+jwt';

/** The token is not of this installation, not for this process or payload, or too old. */
export class InternalTokenInvalid extends Error {
  constructor(options?: ErrorOptions) {
    super('The internal token is not valid.', options);
    this.name = 'InternalTokenInvalid';
  }
}

const digestOf = (payload: Uint8Array): string => createHash('sha256').update(payload).digest('hex');

/** Says for whom a process hands on a command; null is a part of the program itself. */
export class InternalTokens {
  readonly #key: Uint8Array;

  constructor(
    key: Uint8Array,
    private readonly clock: Clock,
  ) {
    this.#key = key;
  }

  /** `to` is the address of the process that it is for. */
  sign(to: string, principal: Principal | null, payload: Uint8Array): Promise<string> {
    const nowSeconds = Math.floor(this.clock.nowMs() / 1_000);
    return new SignJWT({ principal, sha256: digestOf(payload) })
      .setProtectedHeader({ alg: 'HS256', typ: TYPE })
      .setAudience(to)
      .setIssuedAt(nowSeconds)
      .setExpirationTime(nowSeconds + TOKEN_LIFE_SECONDS)
      .sign(this.#key);
  }

  /** Throws InternalTokenInvalid. */
  async verify(token: string, own: string, payload: Uint8Array): Promise<Principal | null> {
    try {
      const { payload: claims } = await jwtVerify(token, this.#key, {
        algorithms: ['HS256'],
        typ: TYPE,
        audience: own,
        requiredClaims: ['aud', 'exp', 'iat', 'principal', 'sha256'],
        currentDate: new Date(this.clock.nowMs()),
        maxTokenAge: TOKEN_LIFE_SECONDS,
        clockTolerance: SKEW_SECONDS,
      });
      if (claims['sha256'] !== digestOf(payload)) throw new Error('It was signed for another payload.');
      return claims['principal'] as Principal | null;
    } catch (cause) {
      throw new InternalTokenInvalid({ cause });
    }
  }
}

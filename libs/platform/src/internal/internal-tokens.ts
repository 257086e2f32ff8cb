import { createHash } from 'node:crypto';
import { jwtVerify, SignJWT } from 'jose';
import type { Clock } from '#libs/eventsourcing';
import type { Principal } from '../auth/principal.js';

/** A call is on its way for as long as its caller waits, and no longer. */
export const TOKEN_LIFE_SECONDS = 10;
/** Both ends read the clock of one store, but not at the same moment. */
const SKEW_SECONDS = 2;
const TYPE = 'steward-internal+jwt';

/** The token is not of this installation, not for this call or whoever got it, or too old. */
export class InternalTokenInvalid extends Error {
  constructor(options?: ErrorOptions) {
    super('The internal token is not valid.', options);
    this.name = 'InternalTokenInvalid';
  }
}

/** What a token is for, and for nothing else. */
export interface SignedCall {
  /** The address of one process, or the name of a service where any replica may answer. */
  readonly to: string;
  /** `<package>.<Service>/<Method>` */
  readonly method: string;
  readonly payload: Uint8Array;
}

const digestOf = ({ method, payload }: SignedCall): string =>
  createHash('sha256').update(`${method}\n`).update(payload).digest('hex');

/** Says that a call comes from this installation, and for whom it is made; null is a part of the program itself. */
export class InternalTokens {
  readonly #key: Uint8Array;

  constructor(
    key: Uint8Array,
    private readonly clock: Clock,
  ) {
    this.#key = key;
  }

  sign(call: SignedCall, principal: Principal | null): Promise<string> {
    const nowSeconds = Math.floor(this.clock.nowMs() / 1_000);
    return new SignJWT({ principal, sha256: digestOf(call) })
      .setProtectedHeader({ alg: 'HS256', typ: TYPE })
      .setAudience(call.to)
      .setIssuedAt(nowSeconds)
      .setExpirationTime(nowSeconds + TOKEN_LIFE_SECONDS)
      .sign(this.#key);
  }

  /** Throws InternalTokenInvalid. */
  async verify(token: string, call: SignedCall): Promise<Principal | null> {
    try {
      const { payload: claims } = await jwtVerify(token, this.#key, {
        algorithms: ['HS256'],
        typ: TYPE,
        audience: call.to,
        requiredClaims: ['aud', 'exp', 'iat', 'principal', 'sha256'],
        currentDate: new Date(this.clock.nowMs()),
        maxTokenAge: TOKEN_LIFE_SECONDS,
        clockTolerance: SKEW_SECONDS,
      });
      if (claims['sha256'] !== digestOf(call)) throw new Error('It was signed for another call.');
      return claims['principal'] as Principal | null;
    } catch (cause) {
      throw new InternalTokenInvalid({ cause });
    }
  }
}

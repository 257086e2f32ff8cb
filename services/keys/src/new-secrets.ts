import { Inject, Injectable } from '@nestjs/common';
import type { Peppers } from '#libs/postgres';
import { PEPPERS } from '#libs/platform';
import type { NewSecret } from './domain/commands.js';
import { digestOf, newToken } from './key-secret.js';

export interface MadeSecret {
  /** The whole token; null if the client has it and told only its digest. */
  readonly token: string | null;
  /** What is kept of it. */
  readonly kept: NewSecret;
}

/** Makes secrets, once per request and before its first attempt, so that a repeated append bears the same one. */
@Injectable()
export class NewSecrets {
  constructor(@Inject(PEPPERS) private readonly peppers: Peppers) {}

  /** `digest` is the SHA-256 of a client's own token; without it Steward makes the token. */
  make(environment: string, keyId: string, digest: Buffer | null): MadeSecret {
    if (digest !== null) return { token: null, kept: this.keep(digest, 'client') };
    const token = newToken(environment, keyId);
    return { token, kept: this.keep(digestOf(token), 'steward') };
  }

  keep(digest: Buffer, madeBy: NewSecret['madeBy']): NewSecret {
    const pepperVersion = this.peppers.current;
    const hmac = this.peppers.hmac(pepperVersion, digest);
    if (hmac === undefined) throw new Error(`The pepper of version ${pepperVersion} is not there.`);
    return { pepperVersion, madeBy, hmac: hmac.toString('hex') };
  }
}

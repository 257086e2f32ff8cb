/** A secret that was shown and is kept under a pepper that is no longer the current one. */
export interface VerifierUpgrade {
  readonly keyId: string;
  readonly version: number;
  readonly fromPepper: string;
  /** SHA-256 of the token, from which alone a new verifier can be made. */
  readonly digest: Buffer;
}

/** Takes up what is to be peppered anew, off the path of verification. */
export abstract class VerifierUpgrades {
  /** Never throws and never waits; it may drop what it has no room for, since the next use offers it again. */
  abstract offer(upgrade: VerifierUpgrade): void;
}

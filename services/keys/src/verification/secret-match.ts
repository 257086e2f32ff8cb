import { timingSafeEqual } from 'node:crypto';
import type { Peppers } from '#libs/postgres';
import { type KeyRow, VERIFIER_BYTES } from './key-rows.js';
import { SeenSecrets } from './seen-secrets.js';
import type { IndexedKey, OlderSecret, VerificationIndex } from './verification-index.js';

/** Which of a key's secrets a token bears. */
export interface MatchedSecret {
  readonly version: number;
  readonly pepperVersion: string;
  /** True for the older one of a rotation. */
  readonly superseded: boolean;
  /** Of the older one; null for the newest. */
  readonly retiresAtMs: number | null;
}

/**
 * Compares a token's digest with the verifiers of its key. A key that is not there, one without a secret and one with
 * another secret cost the same hashes and the same comparisons, so an answer's time tells nothing to whoever lacks the
 * secret.
 */
export class SecretMatcher {
  private readonly seen = new SeenSecrets();
  private readonly newest = new Uint32Array(VERIFIER_BYTES / 4);
  private readonly newestBytes = new Uint8Array(this.newest.buffer);
  private readonly older = new Uint8Array(VERIFIER_BYTES);

  constructor(
    private readonly index: VerificationIndex,
    private readonly peppers: Peppers,
  ) {}

  match(key: IndexedKey | undefined, digest: Buffer, nowMs: number): MatchedSecret | undefined {
    const newest = key?.row.hasVerifier === true ? key.row : undefined;
    const superseded = key?.extras.older ?? undefined;
    const older = superseded !== undefined && superseded.retiresAtMs > nowMs ? superseded : undefined;
    const seen = key === undefined ? 0 : this.seen.versionOf(digest, key.row);
    const version = seen === 0 ? this.compare(newest, older, digest) : seen;
    if (key === undefined || version === 0) return undefined;
    if (seen === 0) this.seen.remember(digest, key.row, version);
    if (newest !== undefined && version === newest.secretVersion)
      return { version, pepperVersion: this.index.pepperVersion(newest.pepper), superseded: false, retiresAtMs: null };
    if (older?.version !== version) return undefined;
    const { pepper, retiresAtMs } = older;
    return { version, pepperVersion: this.index.pepperVersion(pepper), superseded: true, retiresAtMs };
  }

  /** The version of the secret that the digest belongs to; 0 if to none. */
  private compare(newest: KeyRow | undefined, older: OlderSecret | undefined, digest: Buffer): number {
    const newestPepper = newest === undefined ? this.peppers.current : this.index.pepperVersion(newest.pepper);
    const olderPepper = older === undefined ? newestPepper : this.index.pepperVersion(older.pepper);
    const newestMac = this.mac(newestPepper, digest);
    // While two peppers are in use some keys need both hashes, so every token gets both.
    const bothPeppers = this.index.pepperVersionsSeen > 1 || olderPepper !== newestPepper;
    const olderMac = bothPeppers ? this.mac(olderPepper, digest) : newestMac;

    if (newest === undefined) this.newest.fill(0);
    else newest.copyVerifier(this.newest);
    if (older === undefined) this.older.fill(0);
    else this.older.set(older.verifier);
    const isNewest = timingSafeEqual(newestMac, this.newestBytes);
    const isOlder = timingSafeEqual(olderMac, this.older);
    if (newest !== undefined && isNewest) return newest.secretVersion;
    return older !== undefined && isOlder ? older.version : 0;
  }

  private mac(pepperVersion: string, digest: Buffer): Buffer {
    // A start without a pepper that keys still need is refused, so the fallback only keeps the work alike.
    const mac = this.peppers.hmac(pepperVersion, digest) ?? this.peppers.hmac(this.peppers.current, digest);
    if (mac === undefined) throw new Error('There is no current pepper.');
    return mac.subarray(0, VERIFIER_BYTES);
  }
}

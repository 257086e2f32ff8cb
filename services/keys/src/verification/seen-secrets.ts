import type { KeyRow } from './key-rows.js';

/**
 * Secrets that were right a moment ago, so that a key in use pays for its HMAC once and not at every request. An entry
 * counts only while its key's row is the very one that it was made from. Whoever lacks the secret never meets one, so
 * wrong secrets go on costing all the same. What it keeps is half a SHA-256 of 190 random bits: nothing to go back from.
 */
const ENTRIES = 1 << 14;
const DIGEST_WORDS = 4;
const ROW = 4;
const REVISION = 5;
const VERSION = 6;
const ENTRY_WORDS = 8;

export class SeenSecrets {
  private readonly entries = new Int32Array(ENTRIES * ENTRY_WORDS);

  /** The version of the secret with this SHA-256, or 0 if it is not remembered. */
  versionOf(digest: Buffer, row: KeyRow): number {
    const { entries } = this;
    const from = placeOf(digest);
    // Without a branch per word, so that the time tells nothing of how much of a digest was right.
    let difference = (entries[from + ROW] ?? 0) ^ row.number;
    difference |= (entries[from + REVISION] ?? 0) ^ row.revision;
    for (let word = 0; word < DIGEST_WORDS; word += 1)
      difference |= (entries[from + word] ?? 0) ^ digest.readInt32LE(word * 4);
    return difference === 0 ? (entries[from + VERSION] ?? 0) : 0;
  }

  remember(digest: Buffer, row: KeyRow, version: number): void {
    const from = placeOf(digest);
    for (let word = 0; word < DIGEST_WORDS; word += 1) this.entries[from + word] = digest.readInt32LE(word * 4);
    this.entries[from + ROW] = row.number;
    this.entries[from + REVISION] = row.revision;
    this.entries[from + VERSION] = version;
  }
}

/** The place comes from the half of the digest that is not kept. */
const placeOf = (digest: Buffer): number => (digest.readUInt32LE(28) & (ENTRIES - 1)) * ENTRY_WORDS;

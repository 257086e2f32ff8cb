import { randomInt } from 'node:crypto';

/** A key ID as three 32-bit words: five of its base62 digits in the low 30 bits of each, the sixteenth over the top. */
export interface KeyName {
  a: number;
  b: number;
  c: number;
}

const NO_DIGIT = 255;
const digitOf = new Uint8Array(128).fill(NO_DIGIT);
Array.from('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz').forEach((digit, value) => {
  digitOf[digit.charCodeAt(0)] = value;
});

const PREFIX_LENGTH = 'key_'.length;
const KEY_ID_LENGTH = PREFIX_LENGTH + 16;

const WRONG = -1;

/** Five digits as 30 bits, or WRONG. */
function fiveDigits(text: string, from: number): number {
  let bits = 0;
  let seen = 0;
  for (let at = from; at < from + 5; at += 1) {
    const digit = digitOf[text.charCodeAt(at)] ?? NO_DIGIT;
    seen |= digit;
    bits = (bits << 6) | (digit & 63);
  }
  return seen === (seen & 63) ? bits : WRONG;
}

/** Reads the ID into `name`; false if the text is no key ID. */
export function readKeyName(keyId: string, name: KeyName): boolean {
  if (keyId.length !== KEY_ID_LENGTH || !keyId.startsWith('key_')) return false;
  const first = fiveDigits(keyId, PREFIX_LENGTH);
  const second = fiveDigits(keyId, PREFIX_LENGTH + 5);
  const third = fiveDigits(keyId, PREFIX_LENGTH + 10);
  const last = digitOf[keyId.charCodeAt(KEY_ID_LENGTH - 1)] ?? NO_DIGIT;
  if (first === WRONG || second === WRONG || third === WRONG || last === NO_DIGIT) return false;
  name.a = (first | ((last >>> 4) << 30)) >>> 0;
  name.b = (second | ((last >>> 2) << 30)) >>> 0;
  name.c = (third | (last << 30)) >>> 0;
  return true;
}

// Clients may choose key IDs, so where an ID falls in the table must not be theirs to foresee.
const seedA = randomInt(2 ** 32) | 1;
const seedB = randomInt(2 ** 32) | 1;
const seedC = randomInt(2 ** 32) | 1;

/** 32 bits that fall evenly whatever the IDs are, and differently in every process. */
export function hashOf({ a, b, c }: KeyName): number {
  let mixed = Math.imul(a ^ (a >>> 15), seedA);
  mixed = Math.imul(mixed ^ (mixed >>> 13) ^ b, seedB);
  mixed = Math.imul(mixed ^ (mixed >>> 16) ^ c, seedC);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 14)) >>> 0;
}

const SHARDS = 256;
const SHARD_SLOTS_FIRST = 16;
const LOAD_MAX = 0.8;
const GROWTH = 1.25;

/** A slot is the row's number plus one, 0 being free, under eight more bits of the hash that spare most looks at rows. */
const ROW_BITS = 24;
const ROW_MASK = 2 ** ROW_BITS - 1;
export const ROWS_MAX = ROW_MASK;

/**
 * From key IDs to row numbers by open addressing. It is cut in shards, each of which grows by itself, so that no
 * insertion ever waits for a table of ten million to be laid out anew.
 */
export class KeyNameTable {
  private readonly shards: Uint32Array[] = Array.from({ length: SHARDS }, () => new Uint32Array(SHARD_SLOTS_FIRST));
  private readonly filled = new Uint32Array(SHARDS);

  /** Names stand in the rows and are not kept twice. */
  constructor(
    private readonly isRow: (row: number, name: KeyName) => boolean,
    private readonly nameOf: (row: number) => KeyName,
  ) {}

  /** The row, or -1. */
  find(name: KeyName): number {
    const hash = hashOf(name);
    const slots = this.shardOf(hash);
    const tag = tagOf(hash);
    for (let at = placeOf(hash, slots.length); ; at = at + 1 === slots.length ? 0 : at + 1) {
      const slot = slots[at] ?? 0;
      if (slot === 0) return -1;
      if (slot >>> ROW_BITS !== tag) continue;
      const row = (slot & ROW_MASK) - 1;
      if (this.isRow(row, name)) return row;
    }
  }

  /** For a name that is not there yet. */
  insert(name: KeyName, row: number): void {
    if (row >= ROWS_MAX) throw new RangeError(`The index holds no more than ${ROWS_MAX} keys.`);
    const hash = hashOf(name);
    const shard = hash >>> 24;
    const filled = (this.filled[shard] ?? 0) + 1;
    this.filled[shard] = filled;
    if (filled > this.shardOf(hash).length * LOAD_MAX) this.grow(shard);
    put(this.shardOf(hash), hash, row);
  }

  private shardOf(hash: number): Uint32Array {
    return this.shards[hash >>> 24] as Uint32Array;
  }

  private grow(shard: number): void {
    const before = this.shards[shard] as Uint32Array;
    const after = new Uint32Array(Math.ceil(before.length * GROWTH));
    for (const slot of before) {
      if (slot === 0) continue;
      const row = (slot & ROW_MASK) - 1;
      put(after, hashOf(this.nameOf(row)), row);
    }
    this.shards[shard] = after;
  }
}

/** The shard took the top eight bits, so the place comes from the rest, and the tag from all of them. */
const placeOf = (hash: number, slotCount: number): number => (hash & 0xffffff) % slotCount;
const tagOf = (hash: number): number => Math.imul(hash, 0x9e3779b1) >>> ROW_BITS;

function put(slots: Uint32Array, hash: number, row: number): void {
  let at = placeOf(hash, slots.length);
  while (slots[at] !== 0) at = at + 1 === slots.length ? 0 : at + 1;
  slots[at] = (tagOf(hash) << ROW_BITS) | (row + 1);
}

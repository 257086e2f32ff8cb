import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * The shape of a token: `stw_<env>_<keyId 16>_<secret 32><crc 6>`, base62 with `_` between, which a double click selects
 * whole and base64 never yields. The key ID stands inside, so a lookup needs no search and a log line can name the key;
 * the checksum refuses a typo before any work is done.
 */
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const KEY_ID_PREFIX = 'key_';
const KEY_ID_DIGITS = 16;
const SECRET_DIGITS = 32;
const CHECKSUM_DIGITS = 6;

/** Tokens that do not begin so are another system's, imported by their digest. */
export const TOKEN_PREFIX = 'stw_';
export const TOKEN_BYTES_MAX = 512;
export const ENVIRONMENT_PATTERN = /^[a-z0-9]{1,8}$/;
export const KEY_ID_PATTERN = /^key_[0-9A-Za-z]{16}$/;

/** For secret scanners; published at /.well-known/steward-keys. */
export const TOKEN_PATTERN = '^stw_[a-z0-9]{1,8}_[0-9A-Za-z]{16}_[0-9A-Za-z]{32}[0-9A-Za-z]{6}$';
const tokenPattern = new RegExp(TOKEN_PATTERN);

export interface ParsedToken {
  readonly environment: string;
  /** With its `key_`. */
  readonly keyId: string;
}

/** Rejects bytes of 248 and above, so every digit is equally likely: 62 goes four times into 248. */
const FAIR_BYTES = 248;

function randomDigits(count: number, random: (sizeBytes: number) => Buffer): string {
  let digits = '';
  while (digits.length < count) {
    for (const byte of random(count)) {
      if (byte < FAIR_BYTES && digits.length < count) digits += ALPHABET.charAt(byte % 62);
    }
  }
  return digits;
}

function checksumDigits(checksum: number): string {
  let digits = '';
  for (let rest = checksum; digits.length < CHECKSUM_DIGITS; rest = Math.floor(rest / 62))
    digits = ALPHABET.charAt(rest % 62) + digits;
  return digits;
}

/** CRC-32 of everything before the last six characters, as six base62 digits. */
export function checksumOf(body: string): string {
  return checksumDigits(crc32(body));
}

/** A new secret for the key; `random` is the system's but in tests of the shape. */
export function newToken(
  environment: string,
  keyId: string,
  random: (sizeBytes: number) => Buffer = randomBytes,
): string {
  if (!ENVIRONMENT_PATTERN.test(environment) || !KEY_ID_PATTERN.test(keyId))
    throw new TypeError('A token is made of an environment and a key ID of the documented form.');
  const body = `${TOKEN_PREFIX}${environment}_${keyId.slice(KEY_ID_PREFIX.length)}_${randomDigits(SECRET_DIGITS, random)}`;
  return body + checksumOf(body);
}

/** What the token says of itself, or undefined if its form or checksum is wrong. Says nothing about the secret. */
export function parseToken(token: string): ParsedToken | undefined {
  if (!tokenPattern.test(token)) return undefined;
  const bodyLength = token.length - CHECKSUM_DIGITS;
  if (checksumOf(token.slice(0, bodyLength)) !== token.slice(bodyLength)) return undefined;
  const keyIdStart = bodyLength - SECRET_DIGITS - 1 - KEY_ID_DIGITS;
  return {
    environment: token.slice(TOKEN_PREFIX.length, keyIdStart - 1),
    keyId: KEY_ID_PREFIX + token.slice(keyIdStart, keyIdStart + KEY_ID_DIGITS),
  };
}

/** The 32 bytes of SHA-256 of the token's UTF-8. */
export function digestOf(token: string): Buffer {
  // By way of a string: one-shot hashing into a Buffer costs Node twice as much.
  return Buffer.from(hash('sha256', token, 'binary'), 'latin1');
}

import { createHash } from 'node:crypto';
import { ID_PATTERN } from '../fields/fields.js';

/** How ids of issuers with a prefix begin, so that two prefixes never meet: the first underscore ends one. */
const PREFIXED = /^[a-z0-9]{1,12}_/;
const HASHED = /^[a-z2-7]{32}$/;
const HASH_BYTES = 20;
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** RFC 4648 in lower case; 20 bytes are 32 characters without padding. */
function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return bits.replaceAll(/[01]{5}/g, (five) => BASE32.charAt(parseInt(five, 2)));
}

/**
 * The one user id of an issuer's `sub`: the prefix and the sub itself where that is an id which no other issuer and no
 * other sub could have; else the prefix and the lower-case base32 of the first 20 bytes of the sub's SHA-256.
 *
 * @example userIdOf('corp_', 'alice') // 'corp_alice'
 * @example userIdOf(null, 'corp_alice') // 'hjc5l7…', 32 characters: it looks like another issuer's
 */
export function userIdOf(idPrefix: string | null, sub: string): string {
  const prefix = idPrefix ?? '';
  const isAmbiguous = HASHED.test(sub) || (idPrefix === null && PREFIXED.test(sub));
  if (!isAmbiguous && ID_PATTERN.test(prefix + sub)) return prefix + sub;
  return prefix + base32(createHash('sha256').update(sub, 'utf8').digest().subarray(0, HASH_BYTES));
}

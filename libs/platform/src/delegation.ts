import { cidrWithin } from './addresses.js';
import type { CallerKey } from './principal.js';
import { scopesWithin } from './scopes.js';

/** What a key carries that another key may not exceed. */
export type KeyPowers = Omit<CallerKey, 'keyId'>;

/**
 * The first field in which a key made, changed or shown anew by the holder of `own` would go beyond `own`; undefined if
 * in none. A key that manages keys never makes one stronger than itself, nor takes hold of one by rotating it.
 */
export function beyond(own: KeyPowers, wanted: KeyPowers): keyof KeyPowers | undefined {
  if (!scopesWithin(wanted.scopes, own.scopes)) return 'scopes';
  if (wanted.canManageKeys && !own.canManageKeys) return 'canManageKeys';
  if (own.expiresAt !== null && (wanted.expiresAt === null || wanted.expiresAt > own.expiresAt)) return 'expiresAt';
  const within = (inner: string, outer: readonly string[]): boolean => outer.some((cidr) => cidrWithin(inner, cidr));
  if (own.ipAllow.length > 0) {
    if (wanted.ipAllow.length === 0 || !wanted.ipAllow.every((cidr) => within(cidr, own.ipAllow))) return 'ipAllow';
  }
  if (!own.ipDeny.every((cidr) => within(cidr, wanted.ipDeny))) return 'ipDeny';
  if (own.audiences.length > 0) {
    if (wanted.audiences.length === 0 || !wanted.audiences.every((one) => own.audiences.includes(one)))
      return 'audiences';
  }
  return undefined;
}

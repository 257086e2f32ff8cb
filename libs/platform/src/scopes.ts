/**
 * Scopes of keys. Those below `steward:` are Steward's own actions (`steward:keys:read`); all others belong to the
 * platform's services and are only carried.
 */

export const OWN_SCOPES = 'steward:';

/**
 * True if who holds `granted` holds `wanted`. A trailing `*` stands for any rest; a wanted wildcard is held only by a
 * wildcard that is at least as wide.
 *
 * @example scopeCovers('storage:*', 'storage:read') // true
 * @example scopeCovers('storage:read', 'storage:*') // false
 */
export function scopeCovers(granted: string, wanted: string): boolean {
  return granted === wanted || (granted.endsWith('*') && wanted.startsWith(granted.slice(0, -1)));
}

/** True if every wanted scope is held; null is all, so only null holds null. */
export function scopesWithin(wanted: readonly string[] | null, granted: readonly string[] | null): boolean {
  if (granted === null) return true;
  if (wanted === null) return false;
  return wanted.every((scope) => granted.some((own) => scopeCovers(own, scope)));
}

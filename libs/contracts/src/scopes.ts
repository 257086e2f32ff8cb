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

/** True if the list holds the scope; null is all. */
export const scopesCover = (granted: readonly string[] | null, wanted: string): boolean =>
  granted === null || granted.some((own) => scopeCovers(own, wanted));

/** True if every wanted scope is held; null is all, so only null holds null. */
export const scopesWithin = (wanted: readonly string[] | null, granted: readonly string[] | null): boolean =>
  granted === null || (wanted !== null && wanted.every((scope) => scopesCover(granted, scope)));

/**
 * True if the scope is one of the service's own: its first segment is the service's name.
 *
 * @example namesService('container-compute:pods:read', 'container-compute') // true
 */
export const namesService = (scope: string, service: string): boolean =>
  scope.startsWith(service) && (scope.length === service.length || scope[service.length] === ':');

/** True if the scope is one of the service's own, or a wildcard that takes some of them in. */
export const reachesService = (scope: string, service: string): boolean =>
  namesService(scope, service) || (scope.endsWith('*') && service.startsWith(scope.slice(0, -1)));

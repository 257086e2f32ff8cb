/** Scopes such as `compute:read`. A trailing `*` stands for any rest; a null list is all of the owner's, an empty one none. */

export function scopeCovers(granted: string, wanted: string): boolean {
  return granted.endsWith('*') ? wanted.startsWith(granted.slice(0, -1)) : granted === wanted;
}

export function scopesCover(granted: readonly string[] | null, wanted: string): boolean {
  return granted === null || granted.some((scope) => scopeCovers(scope, wanted));
}

export function scopesWithin(inner: readonly string[] | null, outer: readonly string[] | null): boolean {
  return outer === null || (inner !== null && inner.every((scope) => scopesCover(outer, scope)));
}

/** What both lists grant. Of two scopes that meet, one covers the other, so the narrower one is what they share. */
export function intersectScopes(a: readonly string[] | null, b: readonly string[] | null): string[] | null {
  if (a === null) return b === null ? null : [...b];
  if (b === null) return [...a];
  const shared = [...a.filter((scope) => scopesCover(b, scope)), ...b.filter((scope) => scopesCover(a, scope))];
  return sortedSet(shared);
}

const byUtf8Bytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'));

/** Without duplicates, sorted by UTF-8 bytes: the form of every list of texts in an event. */
export function sortedSet(values: readonly string[]): string[] {
  return [...new Set(values)].sort(byUtf8Bytes);
}

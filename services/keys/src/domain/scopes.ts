import { scopesCover } from '#libs/contracts';

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

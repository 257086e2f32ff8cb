import { createHash } from 'node:crypto';
import { jcs, Refusal } from '#libs/eventsourcing';
import { IntegerField, TextField } from '../fields/fields.js';
import { isStorable } from '../fields/storable-text.js';

export const PAGE_LIMIT_DEFAULT = 50;
export const PAGE_LIMIT_MAX = 200;

/** What every list takes; a list with filters extends it and declares its own `sort`. */
export class PageQuery {
  @IntegerField({ min: 1, max: PAGE_LIMIT_MAX, optional: true, description: 'How many items a page has.' })
  limit: number = PAGE_LIMIT_DEFAULT;

  @TextField({ max: 2048, optional: true, description: '`page.nextCursor` of the page before.' })
  cursor?: string;
}

export interface Page<Item> {
  readonly data: readonly Item[];
  readonly page: { readonly nextCursor: string | null; readonly hasMore: boolean };
}

/** The sort values of a page's last item and its id: where the next page begins. */
export interface CursorPlace {
  readonly values: readonly (string | number | boolean | null)[];
  readonly id: string;
}

const hashOf = (list: unknown, place: CursorPlace): string =>
  createHash('sha256')
    .update(jcs({ list, values: place.values, id: place.id }))
    .digest('base64url')
    .slice(0, 22);

/**
 * An opaque cursor. `list` is what the page is a page of: the list's name, filters, sort and whose view it is. A cursor
 * with another one is CURSOR_INVALID. It hides nothing and grants nothing: every page is filtered anew.
 */
export function cursorOf(list: unknown, place: CursorPlace): string {
  return Buffer.from(JSON.stringify([place.values, place.id, hashOf(list, place)])).toString('base64url');
}

export function placeOfCursor(list: unknown, cursor: string | undefined): CursorPlace | undefined {
  if (cursor === undefined) return undefined;
  const place = parse(cursor);
  if (place === undefined || cursorOf(list, place) !== cursor)
    throw new Refusal('CURSOR_INVALID', 'Begin again without the cursor, or with the filters it was given under.', {
      errors: [{ location: 'query.cursor', message: 'does not belong to this list' }],
    });
  return place;
}

function parse(cursor: string): CursorPlace | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (!Array.isArray(parsed) || !Array.isArray(parsed[0]) || typeof parsed[1] !== 'string') return undefined;
    // Whoever makes a cursor up may put anything into it, and the database refuses what it cannot store.
    if (!isStorable(parsed[1])) return undefined;
    const [values, id] = parsed as [unknown[], string];
    return values.every(isValue) ? { values, id } : undefined;
  } catch {
    return undefined;
  }
}

const isValue = (value: unknown): value is string | number | boolean | null =>
  value === null ||
  (typeof value === 'string' && isStorable(value)) ||
  typeof value === 'boolean' ||
  Number.isFinite(value);

/**
 * A page from rows that were read one beyond the limit.
 *
 *     const place = placeOfCursor(list, query.cursor);
 *     const rows = await ...; // where (sort value, id) > place ... limit query.limit + 1
 *     return pageOf(rows, query.limit, list, (row) => ({ values: [row.createdAt], id: row.id }));
 */
export function pageOf<Item>(
  rows: readonly Item[],
  limit: number,
  list: unknown,
  placeOf: (last: Item) => CursorPlace,
): Page<Item> {
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  const hasMore = rows.length > limit && last !== undefined;
  return { data, page: { nextCursor: hasMore ? cursorOf(list, placeOf(last)) : null, hasMore } };
}

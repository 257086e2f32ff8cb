import { Refusal } from '#libs/eventsourcing';
import { cursorOf, pageOf, PageQuery, placeOfCursor } from './paging.js';
import { readFields } from '../fields/read-fields.js';

const list = { list: 'keys', sort: 'createdAt', filter: { status: 'active' } };
const place = { values: ['2026-01-01T00:00:00.000Z', null], id: 'key_1' };

describe('paging', () => {
  it('gives back the place that a cursor was made for', () => {
    expect(placeOfCursor(list, cursorOf(list, place))).toEqual(place);
    expect(placeOfCursor(list, undefined)).toBeUndefined();
  });

  it('refuses a cursor of another list, filter or sort, a changed one and what is none', () => {
    const cursor = cursorOf(list, place);
    const faked = Buffer.from(JSON.stringify([['x'], 'key_2', 'y'])).toString('base64url');
    const attempts: [unknown, string][] = [
      [{ ...list, filter: { status: 'revoked' } }, cursor],
      [{ ...list, sort: 'name' }, cursor],
      [list, `${cursor}A`],
      [list, `${cursor}=`],
      [list, cursor.slice(1)],
      [list, faked],
      [list, ''],
      [list, 'null'],
      [list, Buffer.from('null').toString('base64url')],
      [list, cursorOf(list, { values: [], id: 'no\0where' })],
      [list, cursorOf(list, { values: ['\ud800'], id: 'b' })],
    ];
    for (const [of, text] of attempts) {
      expect(() => placeOfCursor(of, text)).toThrow(Refusal);
      expect(() => placeOfCursor(of, text)).toThrow('CURSOR_INVALID');
    }
  });

  it('tells whether there is more by the one row beyond the page', () => {
    const rows = ['a', 'b', 'c'];
    const placeOf = (id: string): { values: []; id: string } => ({ values: [], id });
    expect(pageOf(rows, 3, list, placeOf)).toEqual({ data: rows, page: { nextCursor: null, hasMore: false } });
    const { data, page } = pageOf(rows, 2, list, placeOf);
    expect(data).toEqual(['a', 'b']);
    expect(placeOfCursor(list, page.nextCursor ?? '')).toEqual({ values: [], id: 'b' });
    expect(pageOf([], 2, list, placeOf)).toEqual({ data: [], page: { nextCursor: null, hasMore: false } });
  });

  it('has pages of 50, and of 1 to 200 on demand', () => {
    expect(readFields(PageQuery, {}, 'query').limit).toBe(50);
    expect(readFields(PageQuery, { limit: '200' }, 'query').limit).toBe(200);
    for (const limit of ['0', '201', '-1', 'x'])
      expect(() => readFields(PageQuery, { limit }, 'query')).toThrow('limit');
  });
});

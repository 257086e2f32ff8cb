import { firstById } from './quota.queries.js';

const things = (ids: readonly string[]) => ids.map((id) => ({ id }));

it.each([1, 2, 3, 7, 100])('the first %i by id are those of the whole list in order', (size) => {
  const ids = Array.from({ length: 60 }, (_, n) => String((n * 37) % 60).padStart(2, '0'));
  const sorted = [...ids].sort();
  for (const order of [ids, sorted, [...sorted].reverse()])
    expect(firstById(things(order), size)).toEqual(things(sorted.slice(0, size)));
  expect(firstById([], size)).toEqual([]);
});

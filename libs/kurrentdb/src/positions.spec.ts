import { FARTHEST, isPosition, logPositionOf, ORIGIN, positionOf } from './positions.js';

describe('a position', () => {
  it('sorts as text as the places in the log do, and comes back exactly', () => {
    const places = [0n, 9n, 10n, 167n, 2n ** 53n + 1n, 2n ** 63n - 1n].map((at) => ({ commit: at, prepare: at }));
    const texts = places.map(positionOf);
    expect([...texts].sort()).toEqual(texts);
    expect(texts.map(logPositionOf)).toEqual(places);
    expect(texts[0]).toBe(ORIGIN);
    expect(texts.at(-1)).toBe(FARTHEST);
    expect(positionOf({ commit: 5n, prepare: 4n }) < positionOf({ commit: 5n, prepare: 5n })).toBe(true);
  });

  it('is told from what is none', () => {
    for (const text of [ORIGIN, FARTHEST, positionOf({ commit: 7n, prepare: 7n })]) expect(isPosition(text)).toBe(true);
    const beyond = '9'.repeat(20);
    for (const text of [
      '',
      '0'.repeat(20),
      `${ORIGIN}0`,
      `${beyond}-${beyond}`,
      ORIGIN.replace('-', '/'),
      ` ${ORIGIN}`,
    ])
      expect(isPosition(text)).toBe(false);
  });
});

import { positionOf } from './positions.js';
import { type Moment, TimeIndex } from './time-index.js';

const at = (n: number): string => positionOf({ commit: BigInt(n), prepare: BigInt(n) });
const moments = (from: number, count: number): Moment[] =>
  Array.from({ length: count }, (_, n) => ({ position: at(from + n), storedMs: from + n }));

describe('the time index', () => {
  it('answers a place before which nothing was stored later', () => {
    const times = new TimeIndex(at(0));
    times.note(at(0), at(1_000), moments(1, 1_000));
    for (const ms of [-1, 0, 99, 100, 101, 555, 1_000, 5_000]) {
      const found = times.before(ms);
      if (found !== undefined) expect(found <= at(Math.min(ms, 1_000))).toBe(true);
    }
    expect(times.before(99)).toBeUndefined();
    expect(times.before(250)).toBe(at(200));
  });

  it('learns from stretches that join or overlap, and from none that leaves a gap', () => {
    const times = new TimeIndex(at(0));
    times.note(at(0), at(150), moments(1, 150));
    times.note(at(300), at(500), moments(301, 200));
    expect(times.position).toBe(at(150));
    times.note(at(100), at(350), moments(101, 250));
    expect(times.before(10_000)).toBe(at(300));
    times.note(at(0), at(150), moments(1, 150));
    expect(times.position).toBe(at(350));
  });

  it('counts a clock that ran back as the latest time before it', () => {
    const times = new TimeIndex(at(0));
    times.note(at(0), at(200), [
      ...moments(1, 100).map((one) => ({ ...one, storedMs: 5_000 })),
      ...moments(101, 100).map((one) => ({ ...one, storedMs: 1_000 })),
    ]);
    expect(times.before(4_999)).toBeUndefined();
    expect(times.before(5_000)).toBe(at(200));
  });

  it('keeps a bounded number of samples however long the log grows', () => {
    const times = new TimeIndex(at(0), 50);
    for (let n = 0; n < 50_000; n += 1_000) times.note(at(n), at(n + 1_000), moments(n + 1, 1_000));
    expect(times.stepEvents).toBe(1_600);
    const found = times.before(34_567) ?? '';
    expect(found <= at(34_567) && found > at(34_567 - 2 * times.stepEvents)).toBe(true);
  });
});

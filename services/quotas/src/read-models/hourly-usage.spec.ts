import { bucketsOf, HOUR_MS, hourAfter, type UsageHour } from './hourly-usage.js';

const T0 = Date.UTC(2026, 0, 1);
const at = (hours: number): number => T0 + hours * HOUR_MS;

/** The hours of a course of changes. */
function hoursOf(...changes: (readonly [atMs: number, used: number, reserved?: number])[]): UsageHour[] {
  const hours = new Map<number, UsageHour>();
  let last: UsageHour | null = null;
  for (const [atMs, used, reserved = 0] of changes) {
    last = hourAfter(last, atMs, { used, reserved });
    hours.set(last.startMs, last);
  }
  return [...hours.values()];
}

const range = (fromHours: number, toHours: number, { stepHours = 1, nowHours = toHours } = {}) => ({
  fromMs: at(fromHours),
  toMs: at(toHours),
  stepMs: stepHours * HOUR_MS,
  nowMs: at(nowHours),
});

describe('usage by the hour', () => {
  it('carries the last level on through hours without a change', () => {
    const buckets = bucketsOf(hoursOf([at(0.5), 10], [at(3), -4]), range(0, 5));
    expect(buckets.map(({ used }) => used)).toEqual([10, 10, 10, 6, 6]);
    expect(buckets.map(({ usedMax }) => usedMax)).toEqual([10, 10, 10, 10, 6]);
    expect(buckets.map(({ usedSeconds }) => usedSeconds)).toEqual([18_000n, 36_000n, 36_000n, 21_600n, 21_600n]);
  });

  it('begins with the level that held before the range, and with nothing where nothing was', () => {
    const hours = hoursOf([at(-30), 7, 2], [at(1.25), -7]);
    const [first, second] = bucketsOf(hours, range(0, 2));
    expect(first).toMatchObject({ used: 7, reserved: 2, usedMax: 7, usedSeconds: 25_200n, reservedSeconds: 7_200n });
    expect(second).toMatchObject({ used: 0, usedMax: 7, usedSeconds: 6_300n });
    expect(bucketsOf([], range(0, 1))).toMatchObject([{ used: 0, usedMax: 0, usedSeconds: 0n }]);
  });

  it('keeps the most within an hour, also of what was over at once', () => {
    const hours = hoursOf([at(0.1), 5], [at(0.1), 20], [at(0.1), -24]);
    expect(bucketsOf(hours, range(0, 2))).toMatchObject([
      { used: 1, usedMax: 25, usedSeconds: 3_240n },
      { used: 1, usedMax: 1 },
    ]);
  });

  it('sums hours to days, whose integral is that of the hours', () => {
    const hours = hoursOf([at(2), 3], [at(2.5), 4], [at(30), -7]);
    const days = bucketsOf(hours, range(0, 48, { stepHours: 24 }));
    const byHour = bucketsOf(hours, range(0, 48));
    expect(days.map(({ used, usedMax }) => [used, usedMax])).toEqual([
      [7, 7],
      [0, 7],
    ]);
    const sum = (from: number): bigint =>
      byHour.slice(from, from + 24).reduce((total, { usedSeconds }) => total + usedSeconds, 0n);
    expect(days.map(({ usedSeconds }) => usedSeconds)).toEqual([sum(0), sum(24)]);
  });

  it('ends with the present, and knows nothing of the future', () => {
    const buckets = bucketsOf(hoursOf([at(0), 4]), range(0, 5, { nowHours: 1.5 }));
    expect(buckets.map(({ endMs, usedSeconds }) => [endMs, usedSeconds])).toEqual([
      [at(1), 14_400n],
      [at(1.5), 7_200n],
    ]);
  });

  it('takes a change by a clock that is ahead as the present', () => {
    const [bucket] = bucketsOf(hoursOf([at(0.5), 4]), range(0, 1, { nowHours: 0.25 }));
    expect(bucket).toMatchObject({ endMs: at(0.5), used: 4, usedSeconds: 0n });
  });

  it('is exact where a double is not', () => {
    const huge = Number.MAX_SAFE_INTEGER;
    const [bucket] = bucketsOf(hoursOf([at(0) + 1, huge]), range(0, 24, { stepHours: 24 }));
    expect(bucket?.usedSeconds).toBe((BigInt(huge) * BigInt(24 * HOUR_MS - 1)) / 1_000n);
  });

  it('refuses to go below nothing', () => {
    expect(() => hourAfter(null, T0, { used: -1, reserved: 0 })).toThrow('Less than nothing');
  });
});

import { BUCKETS_MAX, usageRange, type UsageStep, wholeHours } from './usage-range.js';

const NOW = '2026-03-01T12:34:56.789Z';
const rangeOf = (step: UsageStep, from?: string, to?: string): [string, string] => {
  const { fromMs, toMs } = usageRange({ step, from, to }, Date.parse(NOW));
  return [new Date(fromMs).toISOString(), new Date(toMs).toISOString()];
};

describe('the buckets of an answer', () => {
  it.each([
    ['minute', '2026-03-01T11:35:00.000Z', '2026-03-01T12:35:00.000Z'],
    ['hour', '2026-02-28T13:00:00.000Z', '2026-03-01T13:00:00.000Z'],
    ['day', '2026-01-31T00:00:00.000Z', '2026-03-02T00:00:00.000Z'],
  ] as const)('end with the %s that holds now, unless told', (step, from, to) => {
    expect(rangeOf(step)).toEqual([from, to]);
  });

  it('hold from and to whole, and none behind a to at an edge', () => {
    expect(rangeOf('hour', '2026-03-01T01:59:59.999Z', '2026-03-01T03:00:00.001Z')).toEqual([
      '2026-03-01T01:00:00.000Z',
      '2026-03-01T04:00:00.000Z',
    ]);
    expect(rangeOf('hour', '2026-03-01T01:00:00.000Z', '2026-03-01T03:00:00.000Z')).toEqual([
      '2026-03-01T01:00:00.000Z',
      '2026-03-01T03:00:00.000Z',
    ]);
  });

  it('stay within the years that a time may name', () => {
    const last = '9999-12-31T23:59:59.999Z';
    for (const step of ['minute', 'hour', 'day'] as const) {
      expect(rangeOf(step, undefined, last)[1]).toMatch(/^9999-/);
      expect(rangeOf(step, undefined, '1970-01-01T00:00:00.001Z')[0]).toBe('1970-01-01T00:00:00.000Z');
    }
    const hours = wholeHours(usageRange({ step: 'minute', from: undefined, to: last }, 0));
    expect(hours.map((ms) => new Date(ms).toISOString().length)).toEqual([24, 24]);
  });

  it('are refused where there is none, or too many', () => {
    expect(() => rangeOf('hour', NOW, '2026-03-01T12:00:00.000Z')).toThrow();
    const first = (count: number): string =>
      new Date(Date.parse('2026-03-01T00:00:00Z') - count * 3_600_000).toISOString();
    expect(() => rangeOf('hour', first(BUCKETS_MAX), '2026-03-01T00:00:00.000Z')).not.toThrow();
    expect(() => rangeOf('hour', first(BUCKETS_MAX + 1), '2026-03-01T00:00:00.000Z')).toThrow();
  });
});

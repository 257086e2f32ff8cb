import { type CountedKey, MINUTE_MS, UsageTally } from './usage-tally.js';

const AT = Date.UTC(2026, 0, 1, 12, 0, 30);
const keyOf = (n: number, version = 1): CountedKey => ({
  keyId: `key_${String(n).padStart(16, '0')}`,
  key: { place: { tenantId: 'acme', projectId: `P${n % 2}` } },
  secret: { version },
});

describe('the tally', () => {
  it('counts by key, code, caller and minute, and keeps the last use of every secret', () => {
    const tally = new UsageTally(100);
    tally.decided(keyOf(1), 'VALID', 'gateway', AT);
    tally.decided(keyOf(1), 'VALID', 'gateway', AT + 500);
    tally.decided(keyOf(1, 2), 'VALID', 'billing', AT + 700);
    tally.decided(keyOf(1), 'EXPIRED', 'gateway', AT + 800);
    tally.decided(undefined, 'NOT_FOUND', 'gateway', AT);
    tally.decided(keyOf(1), 'VALID', 'gateway', AT + MINUTE_MS);
    tally.used(keyOf(2), AT);
    const counted = { minute: '2026-01-01T12:00:00.000Z', keyId: keyOf(1).keyId, tenantId: 'acme', projectId: 'P1' };
    expect(tally.take()).toEqual({
      counts: [
        { ...counted, service: 'gateway', code: 'EXPIRED', count: 1 },
        { ...counted, service: 'billing', code: 'VALID', count: 1 },
        { ...counted, service: 'gateway', code: 'VALID', count: 2 },
        { ...counted, keyId: null, tenantId: null, projectId: null, service: 'gateway', code: 'NOT_FOUND', count: 1 },
        { ...counted, minute: '2026-01-01T12:01:00.000Z', service: 'gateway', code: 'VALID', count: 1 },
      ],
      uses: [
        { keyId: keyOf(1).keyId, version: 2, atMs: AT + 700 },
        { keyId: keyOf(1).keyId, version: 1, atMs: AT + 500 },
        { keyId: keyOf(2).keyId, version: 1, atMs: AT },
        { keyId: keyOf(1).keyId, version: 1, atMs: AT + MINUTE_MS },
      ],
    });
    expect([tally.rows, tally.take()]).toEqual([0, { counts: [], uses: [] }]);
  });

  it('without room for more keys keeps the sums by project, code and caller exact', () => {
    const tally = new UsageTally(10);
    for (let n = 0; n < 300; n += 1) tally.decided(keyOf(n % 30), n % 3 === 0 ? 'EXPIRED' : 'VALID', 'gateway', AT);
    expect([tally.rows <= 20, tally.dropped]).toEqual([true, 0]);
    const { counts } = tally.take();
    const sum = (projectId: string, code: string): number =>
      counts
        .filter((one) => one.projectId === projectId && one.code === code)
        .reduce((all, { count }) => all + count, 0);
    expect(counts.some(({ keyId }) => keyId === null)).toBe(true);
    expect([sum('P0', 'VALID'), sum('P0', 'EXPIRED'), sum('P1', 'VALID'), sum('P1', 'EXPIRED')]).toEqual([
      100, 50, 100, 50,
    ]);
  });

  it('never has more than twice its rows, and tells exactly how much it dropped', () => {
    const tally = new UsageTally(10);
    for (let n = 0; n < 1_000; n += 1) tally.decided(keyOf(n), 'VALID', `caller-${n}`, AT + (n % 7) * MINUTE_MS);
    for (let n = 0; n < 1_000; n += 1) tally.decided(undefined, 'NOT_FOUND', `caller-${n}`, AT);
    expect(tally.rows).toBeLessThanOrEqual(20);
    const counted = tally.take().counts.reduce((all, { count }) => all + count, 0);
    expect(counted + tally.dropped).toBe(2_000);
    tally.decided(keyOf(1), 'VALID', 'gateway', AT);
    expect(tally.take().counts).toHaveLength(1);
  });
});

import { Backoff } from './backoff.js';

describe('the back-off', () => {
  it('waits ever longer up to ten seconds, and begins anew with what has run for a minute', () => {
    let nowMs = 0;
    const backoff = new Backoff(() => nowMs);
    const delays = Array.from({ length: 9 }, () => {
      nowMs += 1_000;
      return backoff.nextMs();
    });
    expect(delays).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    nowMs += 60_001;
    expect(backoff.nextMs()).toBe(100);
  });
});

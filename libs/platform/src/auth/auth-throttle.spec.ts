import { AuthThrottle } from './auth-throttle.js';

describe('AuthThrottle', () => {
  const throttle = (): AuthThrottle => new AuthThrottle({ authFailuresPerMinute: 20 });

  it('lets an address fail twenty times at once and tells from the 21st when it may again', () => {
    const one = throttle();
    for (let n = 0; n < 20; n += 1) expect(one.failed('192.0.2.7', 1000)).toBeUndefined();
    expect(one.failed('192.0.2.7', 1000)).toBe(3);
    expect(one.failed('192.0.2.7', 2500)).toBe(2);
    expect(one.failed('192.0.2.7', 4001)).toBeUndefined();
    expect(one.failed('192.0.2.7', 4002)).toBe(3);
  });

  it('counts each address for itself, and one IPv6 network as one', () => {
    const one = throttle();
    for (let n = 0; n < 20; n += 1) one.failed(`2001:db8::${n}`, 0);
    expect(one.failed('2001:db8::ffff', 0)).toBe(3);
    expect(one.failed('2001:db8:0:1::1', 0)).toBeUndefined();
    expect(one.failed(null, 0)).toBeUndefined();
  });

  const other = (n: number): string => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;

  it('remembers an address while fewer than fifty thousand others fail, and forgets it after a hundred thousand', () => {
    const one = throttle();
    for (let n = 0; n < 21; n += 1) one.failed('192.0.2.7', 0);
    for (let n = 0; n < 49_999; n += 1) one.failed(other(n), 0);
    expect(one.failed('192.0.2.7', 0)).toBe(3);
    for (let n = 0; n < 100_000; n += 1) one.failed(other(n), 0);
    expect(one.failed('192.0.2.7', 0)).toBeUndefined();
  });

  it.each([
    ['the same address', () => '192.0.2.7'],
    ['ever new addresses', (n: number) => other(200_000 + n)],
  ])('counts failures of %s as fast with a hundred thousand known as with none', (_, address) => {
    const costMs = (one: AuthThrottle, of: (n: number) => string): number => {
      const startedMs = performance.now();
      for (let n = 0; n < 50_000; n += 1) one.failed(of(n), 0);
      return performance.now() - startedMs;
    };
    const full = throttle();
    for (let n = 0; n < 100_000; n += 1) full.failed(other(n), 0);
    const withNoneMs = costMs(throttle(), other);
    // Room for a busy machine; what walks over all that was forgotten takes thirty times as long.
    expect(costMs(full, address)).toBeLessThan(5 * withNoneMs + 50);
  });
});

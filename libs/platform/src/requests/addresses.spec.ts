import { addressAllowed, networkOf } from './addresses.js';

describe('addresses', () => {
  it.each<[string | null, string[], string[], boolean]>([
    ['192.0.2.7', [], [], true],
    [null, [], [], true],
    ['192.0.2.7', ['192.0.2.0/24'], [], true],
    ['192.0.3.7', ['192.0.2.0/24'], [], false],
    ['::ffff:192.0.2.7', ['192.0.2.0/24'], [], true],
    ['2001:db8::1', ['192.0.2.0/24'], [], false],
    ['2001:db8::1', ['192.0.2.0/24', '2001:db8::/32'], [], true],
    ['192.0.2.7', ['192.0.2.0/24'], ['192.0.2.7/32'], false],
    ['192.0.2.8', [], ['192.0.2.7/32'], true],
    [null, ['0.0.0.0/0'], [], false],
    [null, [], ['192.0.2.7/32'], false],
    ['not an address', ['0.0.0.0/0'], [], false],
    ['0300.0.2.7', ['192.0.2.0/24'], [], false],
    ['::192.0.2.7', ['192.0.2.0/24'], [], false],
    ['::192.0.2.7', ['::/96'], [], true],
    ['fe80::1%eth0', ['fe80::/10'], [], false],
  ])('%s under allow %j and deny %j: %s', (ip, allow, deny, allowed) => {
    expect(addressAllowed(ip, allow, deny)).toBe(allowed);
  });

  it('counts an IPv6 subscriber by the /64 and a mapped address as IPv4', () => {
    expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe(networkOf('2001:db8:1:2::9'));
    expect(networkOf('2001:db8:1:3::')).not.toBe(networkOf('2001:db8:1:2::'));
    expect(networkOf('::ffff:192.0.2.7')).toBe('192.0.2.7');
  });
});

import fc from 'fast-check';
import { canonicalCidr, compileIpRules, parseAddress } from './ip-ranges.js';

const allows = (allow: string[], deny: string[], client?: string): boolean =>
  compileIpRules(allow, deny).allows(client === undefined ? undefined : parseAddress(client));

/** The 128 bits of an address as one number, v4 as mapped: an arithmetic of its own to compare with. */
function bitsOf(text: string): bigint {
  const dotted = /^(.*?)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [, lead = '', ...parts] = dotted;
    const [a = 0, b = 0, c = 0, d = 0] = parts.map(Number);
    const tail = `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
    return bitsOf(lead === '' ? `::ffff:${tail}` : lead + tail);
  }
  const [head = '', tail] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return groups.reduce((bits, group) => bits * 65_536n + BigInt(`0x${group}`), 0n);
}

const v4 = fc.ipV4();
const v6 = fc.ipV6();
const mapped = v4.map((text) => `::ffff:${text}`);
const isMapped = (text: string): boolean => bitsOf(text) >> 32n === 0xffffn;

describe('the canonical range', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7/32'],
    ['192.0.2.7/24', '192.0.2.0/24'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['10.255.255.255/8', '10.0.0.0/8'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1/128'],
    ['2001:0db8::/32', '2001:db8::/32'],
    ['2001:db8::ffff/33', '2001:db8::/33'],
    ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1/128'],
    ['1:0:0:2:0:0:3:4', '1::2:0:0:3:4/128'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7/128'],
    ['::', '::/128'],
    ['::/0', '::/0'],
    ['::1', '::1/128'],
    ['::ffff:10.1.2.3', '10.1.2.3/32'],
    ['::FFFF:a01:203', '10.1.2.3/32'],
    ['::ffff:10.1.2.3/104', '10.0.0.0/8'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201/128'],
    ['::10.1.2.3', '::a01:203/128'],
  ])('of %s is %s', (text, canonical) => {
    expect(canonicalCidr(text)).toBe(canonical);
  });

  it.each([
    '',
    '/',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '10.0.0.0/ 8',
    ' 10.0.0.0',
    '10.0.0',
    '127.1',
    '0x7f.0.0.1',
    '010.0.0.1',
    '256.0.0.1',
    '::/129',
    '::1%eth0',
    'fe80::1%1/64',
    ':::',
    '1::2::3',
    '12345::',
    '::ffff:10.0.0.0/95',
    '::ffff:0:0/0',
    'example.org',
    '10.0.0.0/8\n',
    '10.0.0.0/1e1',
    '１.0.0.0',
  ])('is refused for %j', (text) => {
    expect(canonicalCidr(text)).toBeUndefined();
  });

  it('keeps the network and drops the host, and is a fixed point', () => {
    fc.assert(
      fc.property(fc.oneof(v4, v6, mapped), fc.nat(128), (text, prefix) => {
        const bits = text.includes(':') ? 128 : 32;
        const prefixBits = Math.min(prefix, bits);
        const canonical = canonicalCidr(`${text}/${prefixBits}`);
        const whole = prefixBits + 128 - bits;
        if (text.includes(':') && isMapped(text) && prefixBits < 96) {
          expect(canonical).toBeUndefined();
          return;
        }
        if (canonical === undefined) throw new Error(`${text}/${prefixBits} was refused.`);
        const hostBits = BigInt(128 - whole);
        const [network = '', length] = canonical.split('/');
        expect(bitsOf(network)).toBe((bitsOf(text) >> hostBits) << hostBits);
        expect(Number(length) + (network.includes(':') ? 0 : 96)).toBe(whole);
        expect(canonicalCidr(canonical)).toBe(canonical);
        if (network.includes(':')) expect(network).toBe(new URL(`http://[${network}]/`).hostname.slice(1, -1));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the rules', () => {
  it('without lists let everybody in, even without an address', () => {
    expect(allows([], [])).toBe(true);
    expect(allows([], [], '192.0.2.1')).toBe(true);
  });

  it('with any list deny a client whose address is not known', () => {
    expect(allows(['0.0.0.0/0', '::/0'], [])).toBe(false);
    expect(allows([], ['192.0.2.0/24'])).toBe(false);
  });

  it('let deny win over allow', () => {
    expect(allows(['192.0.2.0/24'], ['192.0.2.7/32'], '192.0.2.7')).toBe(false);
    expect(allows(['192.0.2.0/24'], ['192.0.2.7/32'], '192.0.2.8')).toBe(true);
    expect(allows([], ['192.0.2.7/32'], '198.51.100.1')).toBe(true);
    expect(allows(['192.0.2.7/32'], ['0.0.0.0/0'], '192.0.2.7')).toBe(false);
  });

  it('see a mapped client as v4 and keep the families apart', () => {
    expect(allows(['10.0.0.0/8'], [], '::ffff:10.1.2.3')).toBe(true);
    expect(allows(['10.0.0.0/8'], [], '::ffff:a01:203')).toBe(true);
    expect(allows([], ['10.0.0.0/8'], '::ffff:10.1.2.3')).toBe(false);
    expect(allows(['::/0'], [], '10.1.2.3')).toBe(false);
    expect(allows(['0.0.0.0/0'], [], '2001:db8::1')).toBe(false);
    expect(allows(['2001:db8::/32'], [], '2001:DB8:ffff::1')).toBe(true);
    expect(allows(['2001:db8::/33'], [], '2001:db8:8000::1')).toBe(false);
  });

  it('are made of canonical ranges only', () => {
    for (const wrong of ['10.1.0.0/8', '10.0.0.0', '::ffff:10.0.0.0/104', 'x/8', '2001:DB8::/32'])
      expect(() => compileIpRules([wrong], [])).toThrow(TypeError);
  });

  it('decide as arithmetic on the bits decides', () => {
    const range = fc.tuple(fc.oneof(v4, v6), fc.nat(128));
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 4 }),
        fc.array(range, { maxLength: 4 }),
        fc.oneof(v4, v6, mapped),
        fc.nat(3),
        (allow, deny, client, near) => {
          // Ranges around the client itself, so that both answers come up.
          const own = near === 0 ? [] : [[client, [32, 24, 1][near - 1] ?? 8] as [string, number]];
          const canonical = (ranges: [string, number][]): string[] =>
            ranges.flatMap(
              ([text, prefix]) => canonicalCidr(`${text}/${Math.min(prefix, text.includes(':') ? 128 : 32)}`) ?? [],
            );
          const [allowList, denyList] = [canonical([...allow, ...own]), canonical(deny)];
          const clientIsV4 = !client.includes(':') || isMapped(client);
          const covered = (list: string[]): boolean =>
            list.some((cidr) => {
              const [network = '', length] = cidr.split('/');
              const rangeIsV4 = !network.includes(':');
              const shift = BigInt(128 - Number(length) - (rangeIsV4 ? 96 : 0));
              return rangeIsV4 === clientIsV4 && bitsOf(network) >> shift === bitsOf(client) >> shift;
            });
          const expected = !covered(denyList) && (allowList.length === 0 || covered(allowList));
          expect(allows(allowList, denyList, client)).toBe(expected);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

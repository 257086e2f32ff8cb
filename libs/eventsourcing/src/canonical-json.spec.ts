import canonicalizeModule from 'canonicalize';
import { seededRandom } from '#libs/testing';
import { jcs } from './canonical-json.js';

// The package is CommonJS and its types name a default export that does not exist at run time.
const canonicalize = canonicalizeModule as unknown as (value: unknown) => string | undefined;

const VALUES = 20_000;

const { seed, random } = seededRandom();
const below = (n: number): number => Math.floor(random() * n);
const oneOf = <T>(values: readonly T[]): T => values[below(values.length)] as T;

const NAMES = [
  '',
  '0',
  '10',
  '9',
  '01',
  '-1',
  '4294967295',
  '__proto__',
  'constructor',
  'length',
  'a',
  'B',
  'é',
  'ﬁ',
  '😀',
];
const NUMBERS = [
  0,
  -0,
  1,
  -1,
  0.1,
  1e21,
  1e-7,
  123456789012345680000,
  5e-324,
  1.7976931348623157e308,
  2 ** 53,
  -(2 ** 53),
];

/** Every plane, controls, quotes, halves of pairs in any order. */
function unit(): string {
  const from = oneOf([0x00, 0x20, 0x5c, 0x7f, 0x2028, 0xd800, 0xdc00, 0xfb01, 0xffff]);
  return String.fromCharCode(Math.min(from + below(0x22), 0xffff));
}
const aText = (): string => (below(3) === 0 ? oneOf(NAMES) : Array.from({ length: below(6) }, unit).join(''));

/** Of a float's 64 bits, so that every exponent comes. */
function aNumber(): number {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setUint32(0, below(2 ** 32));
  bits.setUint32(4, below(2 ** 32));
  const number = bits.getFloat64(0);
  return Number.isFinite(number) ? number : 0;
}

function anObject(depth: number): object {
  const made = below(4) === 0 ? (Object.create(null) as object) : {};
  // Defined, for an assignment of __proto__ would be no member.
  for (let n = below(7); n > 0; n -= 1)
    Object.defineProperty(made, aText(), { value: aValue(depth + 1), enumerable: true, configurable: true });
  return made;
}

function aValue(depth = 0): unknown {
  switch (below(depth > 4 ? 6 : 10)) {
    case 0:
      return oneOf([null, true, false]);
    case 1:
      return depth === 0 ? null : undefined;
    case 2:
      return oneOf(NUMBERS);
    case 3:
      return aNumber();
    case 4:
      return aText();
    case 5:
      return new Date(below(2 ** 31) * 1_000);
    case 6:
    case 7:
      return Array.from({ length: below(5) }, () => aValue(depth + 1));
    default:
      return anObject(depth);
  }
}

describe('canonical JSON', () => {
  process.stdout.write(`canonical-json STEWARD_SEED=${seed}\n`);

  it('is to the byte what the reference writes', () => {
    for (let n = 0; n < VALUES; n += 1) {
      const value = aValue();
      if (jcs(value) !== canonicalize(value)) expect(jcs(value)).toBe(canonicalize(value));
    }
  });

  it('takes nothing that has no JSON form', () => {
    const none = [NaN, Infinity, -Infinity, 1n, Symbol('a'), () => 1];
    for (const value of [undefined, ...none, ...none.map((one) => [one]), ...none.map((one) => ({ one }))])
      expect(() => jcs(value)).toThrow(TypeError);
  });
});

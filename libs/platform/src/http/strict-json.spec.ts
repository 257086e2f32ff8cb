import fc from 'fast-check';
import { Refusal } from '#libs/eventsourcing';
import { parseStrictJson } from './strict-json.js';

const parse = (text: string | Buffer): unknown => parseStrictJson(Buffer.from(text as string));

function refusal(text: string | Buffer): [string, string | undefined] {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof Refusal) return [error.code, error.extra.errors?.[0]?.location];
    throw error;
  }
  throw new Error('It was accepted.');
}

describe('parseStrictJson', () => {
  it('gives what JSON.parse gives for every JSON that is well-formed', () => {
    const plain = fc.jsonValue({ maxDepth: 8, noUnicodeString: false }).filter((value) => {
      const text = JSON.stringify(value);
      return !/"(__proto__|constructor|prototype)":|-0(?![.\d])|\\u0000|\\ud[89a-f]/i.test(text);
    });
    fc.assert(
      fc.property(plain, fc.constantFrom(0, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        if (/(?<![.\deE+-])-?\d{16,}(?![.\deE])/.test(text)) return;
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
      { verbose: true },
    );
  });

  it.each([
    ['{"a":1,"a":2}', 'body.a'],
    ['{"labels":{"a":"x","b":{"c":1,"c":1}}}', 'body.labels.b.c'],
    ['{"items":[{"n":1},{"n":1,"n":2}]}', 'body.items.1.n'],
    ['{"a":1,"\\u0061":2}', 'body.a'],
    ['{"a":[1,{"b":1}],"a":0}', 'body.a'],
  ])('refuses duplicate names: %s', (text, location) => {
    expect(refusal(text)).toEqual(['BODY_MALFORMED', location]);
  });

  it('takes the same name in different objects', () => {
    expect(parse('[{"a":{"a":[{"a":1}]}},{"a":1}]')).toEqual([{ a: { a: [{ a: 1 }] } }, { a: 1 }]);
  });

  it.each([
    ['{"__proto__":{}}', 'body.__proto__'],
    ['{"a":{"constructor":1}}', 'body.a.constructor'],
    ['{"prototype":1}', 'body.prototype'],
    ['{"\\u005f_proto__":1}', 'body.__proto__'],
    ['{"a":"x\\u0000"}', 'body.a'],
    ['{"a":["\\ud800"]}', 'body.a.0'],
    ['{"a":"\\udc00\\ud800"}', 'body.a'],
    ['{"a\\u0000":1}', 'body.a?'],
    ['{"a":1e309}', 'body.a'],
    ['{"a":-1e309}', 'body.a'],
    ['{"a":-0}', 'body.a'],
    ['{"a":-0.0}', 'body.a'],
    ['{"a":-9007199254740993}', 'body.a'],
  ])('refuses %s', (text, location) => {
    expect(refusal(text)).toEqual(['VALIDATION', location]);
  });

  it('tells an integer that is too large by its own code', () => {
    expect(refusal('{"a":9007199254740992}')).toEqual(['AMOUNT_OVERFLOW', 'body.a']);
  });

  it('takes the largest exact integers, fractions and pairs of surrogates', () => {
    expect(parse('[9007199254740991,-9007199254740991,1e300,0.1,0,"\\ud83d\\udd11"]')).toEqual([
      9007199254740991,
      -9007199254740991,
      1e300,
      0.1,
      0,
      '🔑',
    ]);
  });

  it('takes 16 levels and refuses 17', () => {
    expect(parse('['.repeat(16) + ']'.repeat(16))).toBeDefined();
    expect(refusal('['.repeat(17) + ']'.repeat(17))).toEqual(['BODY_MALFORMED', 'body.0']);
    expect(refusal('{"a":'.repeat(17) + '1' + '}'.repeat(17))).toEqual(['BODY_MALFORMED', 'body.a']);
    expect(parse(`[${'[],'.repeat(100)}[]]`)).toHaveLength(101);
  });

  it.each([
    ['a byte order mark', Buffer.from('\ufeff{}')],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['an encoded surrogate', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['nothing', Buffer.alloc(0)],
    ['half of it', Buffer.from('{"a":')],
    ['a raw control character', Buffer.from('{"a":"\0"}')],
    ['NaN', Buffer.from('[NaN]')],
    ['a trailing comma', Buffer.from('[1,]')],
    ['two values', Buffer.from('{}{}')],
  ])('refuses %s', (_what, bytes) => {
    expect(refusal(bytes)[0]).toBe('BODY_MALFORMED');
  });

  it('never repeats what was sent', () => {
    const secret = 'S3cr3tValue';
    for (const text of [`{"a":"${secret}`, `{"a":"${secret}\\u0000"}`, `{"a":"${secret}","a":"${secret}"}`])
      try {
        parse(text);
      } catch (error) {
        expect(JSON.stringify(error) + String(error)).not.toContain(secret);
      }
    expect.assertions(3);
  });
});

import { createHash } from 'node:crypto';
import { checksumOf, digestOf, newToken, parseToken, TOKEN_PATTERN } from './key-secret.js';

const keyId = 'key_9DC9pg4cMivLPKBD';
const golden = 'stw_live_9DC9pg4cMivLPKBD_zYddHeSBcJWHZ9K6b4hH6zxPuigLdegL0PSTgr';
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** CRC-32 (ISO-HDLC) bit by bit, apart from zlib's. */
function naiveCrc32(text: string): number {
  let crc = 0xffffffff;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function naiveChecksum(body: string): string {
  let rest = BigInt(naiveCrc32(body));
  let digits = '';
  for (; rest > 0n; rest /= 62n) digits = alphabet.charAt(Number(rest % 62n)) + digits;
  return digits.padStart(6, '0');
}

describe('the checksum', () => {
  it('is CRC-32 of what stands before it, in six base62 digits', () => {
    expect(naiveCrc32('123456789')).toBe(0xcbf43926);
    expect(checksumOf('123456789')).toBe('3jZRME');
    expect(checksumOf('')).toBe('000000');
    for (const body of ['stw_live_', 'stw_test_0000000000000000_', golden])
      expect(checksumOf(body)).toBe(naiveChecksum(body));
  });

  it('fits six digits for every 32-bit value', () => {
    expect(62 ** 6).toBeGreaterThan(2 ** 32);
  });
});

describe('a token', () => {
  it('is read back to the byte: the golden token names its environment and key', () => {
    expect(parseToken(golden)).toEqual({ environment: 'live', keyId });
    expect(digestOf(golden).toString('hex')).toBe(createHash('sha256').update(golden).digest('hex'));
    expect(digestOf(golden).toString('hex')).toBe('6982e9b6851c542b44192656510f2d80243949bec0ca6481bba6e47ac45bdce6');
  });

  it('keeps its shape for given random bytes', () => {
    const random = (sizeBytes: number): Buffer => Buffer.from(Array.from({ length: sizeBytes }, (_, n) => n));
    expect(newToken('test', 'key_0000000000000000', random)).toBe(
      'stw_test_0000000000000000_0123456789ABCDEFGHIJKLMNOPQRSTUV04STnE',
    );
  });

  it('rejects bytes that would favour some digits', () => {
    const chunks = [Buffer.alloc(32, 255), Buffer.alloc(32, 248), Buffer.alloc(32, 247)];
    const random = (): Buffer => chunks.shift() ?? Buffer.alloc(0);
    expect(newToken('live', keyId, random).slice(26, 58)).toBe('z'.repeat(32));
    expect(chunks).toHaveLength(0);
  });

  it('uses every digit about as often as any other', () => {
    const counts = new Map<string, number>();
    for (let n = 0; n < 2_000; n += 1)
      for (const digit of newToken('live', keyId).slice(26, 58)) counts.set(digit, (counts.get(digit) ?? 0) + 1);
    const expected = 64_000 / 62;
    const chiSquared = Array.from(alphabet).reduce(
      (sum, digit) => sum + ((counts.get(digit) ?? 0) - expected) ** 2 / expected,
      0,
    );
    // 61 degrees of freedom: beyond 140 lies less than one run in ten million.
    expect(chiSquared).toBeLessThan(140);
  });

  it('made for any environment of one to eight characters matches the published pattern', () => {
    for (const environment of ['live', 'test', 'x', 'abcdefg8']) {
      const token = newToken(environment, keyId);
      expect(token).toMatch(new RegExp(TOKEN_PATTERN));
      expect(parseToken(token)).toEqual({ environment, keyId });
    }
  });

  it('is never the same twice', () => {
    expect(new Set(Array.from({ length: 1_000 }, () => newToken('live', keyId))).size).toBe(1_000);
  });

  it('is not made for an environment or an ID of another form', () => {
    expect(() => newToken('LIVE', keyId)).toThrow(TypeError);
    expect(() => newToken('live_', keyId)).toThrow(TypeError);
    expect(() => newToken('live', keyId.slice(4))).toThrow(TypeError);
  });
});

describe('a wrong token', () => {
  it('is refused before any lookup', () => {
    const wrong = [
      '',
      'stw_',
      golden.slice(0, -1),
      `${golden}0`,
      ` ${golden}`,
      `${golden}\n`,
      golden.toUpperCase(),
      golden.replace('stw_', 'stx_'),
      golden.replace('live', 'LIVE'),
      golden.replace('live', 'ninechars'),
      golden.replace('_9DC9', '-9DC9'),
      golden.replace('9DC9', '9DC8'),
      golden.replace('zYdd', 'zYd\u0000'),
      golden.replace('zYdd', 'zYdé'),
    ];
    for (const token of wrong) expect(parseToken(token)).toBeUndefined();
  });

  it('is refused for each of 20,000 single typos', () => {
    const token = newToken('live', keyId);
    let accepted = 0;
    for (let n = 0; n < 20_000; n += 1) {
      const at = n % token.length;
      const other = alphabet.charAt((alphabet.indexOf(token.charAt(at)) + 1 + (n % 61)) % 62);
      const typo = token.slice(0, at) + other + token.slice(at + 1);
      if (typo !== token && parseToken(typo) !== undefined) accepted += 1;
    }
    expect(accepted).toBe(0);
  });

  it('is refused for each swap of two neighbours that differ', () => {
    const token = newToken('live', keyId);
    for (let at = 0; at + 1 < token.length; at += 1) {
      const swapped = token.slice(0, at) + token.charAt(at + 1) + token.charAt(at) + token.slice(at + 2);
      if (swapped !== token) expect(parseToken(swapped)).toBeUndefined();
    }
  });
});

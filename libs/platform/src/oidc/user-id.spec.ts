import fc from 'fast-check';
import { userIdOf } from './user-id.js';

describe('the user id of a sub', () => {
  const HASH = /^[a-z2-7]{32}$/;

  it('is the sub behind the issuer’s prefix, where that is an id', () => {
    expect(userIdOf(null, 'ada.fischer')).toBe('ada.fischer');
    expect(userIdOf('corp_', 'ada.fischer')).toBe('corp_ada.fischer');
    expect(userIdOf('corp_', 'lab_ada')).toBe('corp_lab_ada');
    expect(userIdOf(null, 'Ada_Fischer')).toBe('Ada_Fischer');
    expect(userIdOf(null, 'longer-than-12_x')).toBe('longer-than-12_x');
  });

  it('is a hash where it does not fit: lower-case base32 of the first 20 bytes of the SHA-256', () => {
    // From the definition: printf 'auth0|42' | sha256sum | head -c 40 | xxd -r -p | base32 | tr A-Z a-z
    expect(userIdOf(null, 'auth0|42')).toBe('cqn2a4spd3gslskmwix4awracmimy5dy');
    expect(userIdOf('corp_', 'auth0|42')).toBe('corp_cqn2a4spd3gslskmwix4awracmimy5dy');
    for (const sub of ['ada@example.com', 'Ädä', 'x'.repeat(65), ' ', 'a/b']) expect(userIdOf(null, sub)).toMatch(HASH);
    expect(userIdOf('corp_', 'x'.repeat(59))).toBe(`corp_${'x'.repeat(59)}`);
    expect(userIdOf('corp_', 'x'.repeat(60))).toMatch(/^corp_[a-z2-7]{32}$/);
  });

  it('is a hash where the issuer without a prefix names what could be another issuer’s user', () => {
    for (const sub of ['corp_ada', 'a_', '0123456789ab_x', 'x_y_z']) expect(userIdOf(null, sub)).toMatch(HASH);
  });

  it('is a hash where the sub has the form of a hash', () => {
    const hashed = userIdOf(null, 'auth0|42');
    expect(userIdOf(null, hashed)).toMatch(HASH);
    expect(userIdOf(null, hashed)).not.toBe(hashed);
    expect(userIdOf('corp_', hashed)).not.toBe(`corp_${hashed}`);
    expect(userIdOf('corp_', hashed)).toMatch(/^corp_[a-z2-7]{32}$/);
  });

  it('never is that of another issuer’s sub, nor of another sub, and always is an id', () => {
    const prefixes = [null, 'a_', 'ab_', 'b_', '2_'] as const;
    const alphabet = fc.constantFrom('a', 'b', '2', '_', '.', 'A', '|', 'é');
    const sub = fc.oneof(
      fc.string({ unit: alphabet, minLength: 1, maxLength: 5 }),
      fc.string({ unit: fc.constantFrom('a', 'b', '2', '_'), minLength: 30, maxLength: 66 }),
      fc.constantFrom(...['|', 'é', 'a|', 'ab_|'].map((text) => userIdOf(null, text))),
      fc.constantFrom(...['|', 'é', 'a|', 'ab_|'].map((text) => userIdOf('a_', text))),
    );
    const person = fc.record({ prefix: fc.constantFrom(...prefixes), sub });
    fc.assert(
      fc.property(fc.array(person, { minLength: 2, maxLength: 60 }), (persons) => {
        const ids = new Map<string, string>();
        for (const { prefix, sub: name } of persons) {
          const id = userIdOf(prefix, name);
          expect(id).toMatch(/^[A-Za-z0-9._-]{1,64}$/);
          const who = JSON.stringify([prefix, name]);
          expect(ids.get(id) ?? who).toBe(who);
          ids.set(id, who);
        }
      }),
      { numRuns: 500 },
    );
  });
});

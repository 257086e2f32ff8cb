import pg from 'pg';
import { FixedClock, Refusal } from '#libs/eventsourcing';
import { createScratchLedger, type ExternalPostgres, type ScratchLedger, startExternalPostgres } from '#libs/testing';
import type { OidcIssuer, SignatureAlgorithm } from './issuers.js';
import { OidcVerifier } from './oidc-verifier.js';
import { badTokens } from './testing/bad-tokens.js';
import { IdentityProvider } from './testing/identity-provider.js';

const NOW_MS = Date.parse('2026-01-01T00:00:00.500Z');
const clock = new FixedClock(NOW_MS);
const seconds = Math.floor(NOW_MS / 1000);

describe('a token of an issuer', () => {
  let server: ExternalPostgres;
  let ledger: ScratchLedger;
  let database: pg.Pool;
  let provider: IdentityProvider;
  beforeAll(async () => {
    server = await startExternalPostgres();
    ledger = await createScratchLedger(server.url);
    database = new pg.Pool(ledger.program);
    provider = await IdentityProvider.start();
  });
  afterAll(async () => {
    await provider.stop();
    await database.end();
    await ledger.drop();
    await server.stop();
  });

  function verifier(more: Partial<OidcIssuer> = {}, of = provider, pool = database) {
    const logged: string[] = [];
    const log = (fields: object, text?: string): void => {
      logged.push(`${JSON.stringify(fields)} ${text ?? ''}`);
    };
    const config = { oidcIssuers: [of.configured({ idPrefix: 'corp_', ...more })] };
    return Object.assign(new OidcVerifier(config, clock, pool, { info: log, warn: log, error: log }), { logged });
  }

  const userOf = async (claims: object, header: object = {}, more: Partial<OidcIssuer> = {}): Promise<string> => {
    const token = await provider.sign({ ...provider.claims(NOW_MS), ...claims }, { ...header });
    return (await verifier(more).authenticate(token))?.userId ?? 'refused';
  };

  const recorded = async (issuer: string): Promise<unknown> =>
    (await database.query('select id_prefix from ledger.oidc_issuers where issuer = $1', [issuer])).rows;

  it('tells whose it is, and by which issuer', async () => {
    const token = await provider.sign(provider.claims(NOW_MS));
    expect(await verifier().authenticate(token)).toEqual({
      userId: 'corp_alice',
      via: `oidc:${provider.issuer}`,
    });
  });

  it('that is bad in any way of the table is refused, and the log has the reason and nothing of the token', async () => {
    const bad = await badTokens(provider, NOW_MS);
    expect(bad.length).toBeGreaterThanOrEqual(24);
    const tested = verifier();
    const accepted: string[] = [];
    for (const [what, token] of bad) if ((await tested.authenticate(token)) !== undefined) accepted.push(what);
    expect(accepted).toEqual([]);
    expect(tested.logged.join('\n')).toContain('ERR_JWT_CLAIM_VALIDATION_FAILED aud');
    for (const text of ['eyJ', 'alice', 'storage', 'evil']) expect(tested.logged.join('\n')).not.toContain(text);
    expect(await recorded(provider.issuer)).toEqual([{ id_prefix: 'corp_' }]);
    expect(provider.asked).not.toContain('/evil');
  });

  // One test for each option, because jose accepts whatever an absent one leaves open.
  it('issuer: is of the very issuer that its keys are of', async () => {
    const other = await IdentityProvider.start();
    try {
      const config = {
        oidcIssuers: [provider.configured({ idPrefix: 'corp_' }), other.configured({ idPrefix: 'other_' })],
      };
      const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
      const both = new OidcVerifier(config, clock, database, silent);
      const crossed = await provider.sign({ ...provider.claims(NOW_MS), iss: other.issuer });
      expect(await both.authenticate(crossed)).toBeUndefined();
      expect(await both.authenticate(await other.sign(other.claims(NOW_MS)))).toMatchObject({ userId: 'other_alice' });
      expect(await userOf({ iss: `${provider.issuer}/` })).toBe('refused');
    } finally {
      await other.stop();
    }
  });

  it('audience: is meant for Steward, alone or among others', async () => {
    expect(await userOf({ aud: ['storage', 'steward'] })).toBe('corp_alice');
    expect(await userOf({ aud: ['storage'] })).toBe('refused');
    expect(await userOf({}, {}, { audience: 'urn:other' })).toBe('refused');
  });

  it('algorithms: is signed by one that the issuer is configured with', async () => {
    const all: SignatureAlgorithm[] = ['RS256', 'PS256', 'EdDSA', 'ES256'];
    for (const alg of all) {
      const key = await provider.publish(`by-${alg}`, alg);
      const token = await provider.sign(provider.claims(NOW_MS), {}, key);
      expect(await verifier().authenticate(token)).toMatchObject({ userId: 'corp_alice' });
      const others = all.filter((one) => one !== alg);
      expect(await verifier({ algorithms: others }).authenticate(token)).toBeUndefined();
    }
    const key = provider.published.find(({ alg }) => alg === 'RS256');
    const confused = await provider.sign(provider.claims(NOW_MS), { alg: 'ES256', kid: key?.kid });
    expect(await verifier().authenticate(confused)).toBeUndefined();
  });

  it('typ: is an access token, or of the configured type', async () => {
    expect(await userOf({}, { typ: 'application/at+jwt' })).toBe('corp_alice');
    expect(await userOf({}, { typ: 'JWT' })).toBe('refused');
    expect(await userOf({}, { typ: 'JWT' }, { typ: 'JWT' })).toBe('corp_alice');
  });

  it.each(['exp', 'iat', 'sub'])('requiredClaims: has %s', async (claim) => {
    expect(await userOf({ [claim]: undefined })).toBe('refused');
  });

  it('clockTolerance: is taken up to 5 s after its end and no longer', async () => {
    expect(await userOf({ exp: seconds - 4 })).toBe('corp_alice');
    expect(await userOf({ exp: seconds - 5 })).toBe('refused');
    expect(await userOf({ exp: seconds - 6 })).toBe('refused');
    expect(await userOf({ nbf: seconds + 5 })).toBe('corp_alice');
    expect(await userOf({ nbf: seconds + 6 })).toBe('refused');
  });

  it('maxTokenAge: was issued neither in the future nor too long ago', async () => {
    expect(await userOf({ iat: seconds + 5 })).toBe('corp_alice');
    expect(await userOf({ iat: seconds + 6 })).toBe('refused');
    expect(await userOf({ iat: seconds - 605 }, {}, { maxTokenAgeSeconds: 600 })).toBe('corp_alice');
    expect(await userOf({ iat: seconds - 606 }, {}, { maxTokenAgeSeconds: 600 })).toBe('refused');
  });

  it('currentDate: is judged by the program’s clock, not by the machine’s', async () => {
    expect(await userOf(provider.claims(Date.now()))).toBe(
      Math.abs(Date.now() - NOW_MS) > 60_000 ? 'refused' : 'corp_alice',
    );
    expect(await userOf(provider.claims(NOW_MS))).toBe('corp_alice');
  });

  it('records the prefix of its issuer with the first sign-in that counts, and is refused where another stands', async () => {
    const other = await IdentityProvider.start();
    try {
      const [one, two] = [verifier({ idPrefix: 'one_' }, other), verifier({ idPrefix: 'two_' }, other)];
      await one.onModuleInit();
      await two.onModuleInit();
      expect(await one.authenticate(await other.sign({ ...other.claims(NOW_MS), aud: 'x' }))).toBeUndefined();
      expect(await recorded(other.issuer)).toEqual([]);
      const token = await other.sign(other.claims(NOW_MS));
      const both = await Promise.all([one.authenticate(token), one.authenticate(token)]);
      expect(both.map((person) => person?.userId)).toEqual(['one_alice', 'one_alice']);
      expect(await recorded(other.issuer)).toEqual([{ id_prefix: 'one_' }]);
      expect(await two.authenticate(token)).toBeUndefined();
      expect(two.logged.join()).toContain('IssuerRefused');
      await expect(two.onModuleInit()).rejects.toThrow(/is configured with the id prefix two_/);
      await one.onModuleInit();
    } finally {
      await other.stop();
    }
  });

  it('is 503 while the first sign-in of its issuer cannot be recorded', async () => {
    const nowhere = new pg.Pool({ host: '127.0.0.1', port: 1 });
    const token = await provider.sign(provider.claims(NOW_MS));
    await expect(verifier({}, provider, nowhere).authenticate(token)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    await nowhere.end();
  });

  it('is 503 and no failure of the caller while the issuer’s keys were never seen', async () => {
    const tested = verifier();
    const token = await provider.sign(provider.claims(NOW_MS));
    provider.misbehaviour = ({ socket }) => socket.destroy();
    const attempt = tested.authenticate(token);
    await expect(attempt).rejects.toBeInstanceOf(Refusal);
    await expect(attempt).rejects.toMatchObject({ code: 'ISSUER_UNAVAILABLE' });
    provider.misbehaviour = undefined;
  });
});

import pg from 'pg';
import { createScratchLedger, type ExternalPostgres, type ScratchLedger, startExternalPostgres } from '#libs/testing';
import { IssuerRecords, IssuerRefused } from './issuer-records.js';
import type { OidcIssuer } from './issuers.js';

const issuer = (name: string, idPrefix: string | null) =>
  ({ issuer: `https://${name}.example`, idPrefix }) as unknown as OidcIssuer;

describe('the recorded id prefixes', () => {
  let server: ExternalPostgres;
  let ledger: ScratchLedger;
  let owner: pg.Pool;
  let program: pg.Pool;
  beforeAll(async () => {
    server = await startExternalPostgres();
    ledger = await createScratchLedger(server.url);
    owner = new pg.Pool(ledger.owner);
    program = new pg.Pool(ledger.program);
    const records = new IssuerRecords(program);
    await records.record(issuer('corp', 'corp_'));
    await records.record(issuer('plain', null));
  });
  afterAll(async () => {
    await owner.end();
    await program.end();
    await ledger.drop();
    await server.stop();
  });

  const refused: [string, OidcIssuer, RegExp][] = [
    [
      'another prefix',
      issuer('corp', 'lab_'),
      /has the id prefix corp_ since .* is configured with the id prefix lab_/,
    ],
    ['no prefix any more', issuer('corp', null), /has the id prefix corp_ since .* is configured with no id prefix/],
    ['a prefix all at once', issuer('plain', 'plain_'), /has no id prefix since/],
    ['another issuer’s prefix', issuer('lab', 'corp_'), /which belongs to https:\/\/corp\.example/],
    ['no prefix beside the one that has none', issuer('lab', null), /which belongs to https:\/\/plain\.example/],
  ];

  it.each(refused)('refuse an issuer with %s, by name', async (_, configured, message) => {
    for (const attempt of [
      () => new IssuerRecords(program).check([issuer('plain', null), configured]),
      () => new IssuerRecords(program).record(configured),
    ]) {
      await expect(attempt()).rejects.toThrow(IssuerRefused);
      await expect(attempt()).rejects.toThrow(message);
    }
  });

  it('let the same configuration pass, new issuers, and the absence of old ones', async () => {
    const records = new IssuerRecords(program);
    await records.check([issuer('corp', 'corp_'), issuer('plain', null), issuer('new', 'new_')]);
    await records.check([]);
  });

  it('of two processes that record the same prefix at once belong to one', async () => {
    const attempts = ['left', 'right'].map((name) => new IssuerRecords(program).record(issuer(name, 'both_')));
    const outcomes = await Promise.allSettled(attempts);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  it('can be changed by nobody', async () => {
    for (const change of ["update ledger.oidc_issuers set id_prefix = 'x_'", 'delete from ledger.oidc_issuers']) {
      await expect(program.query(change)).rejects.toThrow(/permission denied/);
      await expect(owner.query(change)).rejects.toThrow(/append-only/);
    }
  });
});

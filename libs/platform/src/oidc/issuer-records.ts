import type pg from 'pg';
import type { OidcIssuer } from './issuers.js';

/** An issuer is configured with another id prefix than the one that its users have, or with another issuer's. */
export class IssuerRefused extends Error {
  constructor({ issuer, idPrefix }: OidcIssuer, { issuer: recorded, idPrefix: prefix }: RecordedIssuer) {
    const named = (text: string): string => (text === '' ? 'no id prefix' : `the id prefix ${text}`);
    super(
      recorded === issuer
        ? `The issuer ${issuer} has ${named(prefix)} since its first sign-in and is configured with ${named(idPrefix ?? '')}: every user would become somebody else.`
        : `The issuer ${issuer} is configured with ${named(prefix)}, which belongs to ${recorded}: one id is one person.`,
    );
    this.name = 'IssuerRefused';
  }
}

interface RecordedIssuer {
  readonly issuer: string;
  /** '' = none. */
  readonly idPrefix: string;
}

/** Which id prefix each issuer had at its first sign-in, in the database: it never changes, and no other takes it. */
export class IssuerRecords {
  private readonly recorded = new Map<string, Promise<void>>();

  constructor(private readonly database: Pick<pg.Pool, 'query'>) {}

  /** Throws IssuerRefused. */
  async check(issuers: readonly OidcIssuer[]): Promise<void> {
    if (issuers.length === 0) return;
    const { rows } = await this.database.query<RecordedIssuer>(
      'select issuer, id_prefix as "idPrefix" from ledger.oidc_issuers',
    );
    for (const issuer of issuers) {
      const clash = rows.find((row) => (row.issuer === issuer.issuer) !== (row.idPrefix === (issuer.idPrefix ?? '')));
      if (clash !== undefined) throw new IssuerRefused(issuer, clash);
    }
  }

  /** Resolves when the issuer's prefix stands; asked once a process. Throws IssuerRefused and the database's errors. */
  async record(issuer: OidcIssuer): Promise<void> {
    const known = this.recorded.get(issuer.issuer);
    if (known !== undefined) {
      await known;
      return;
    }
    const recording = this.insert(issuer);
    this.recorded.set(issuer.issuer, recording);
    try {
      await recording;
    } catch (error) {
      this.recorded.delete(issuer.issuer);
      throw error;
    }
  }

  private async insert(issuer: OidcIssuer): Promise<void> {
    await this.database.query(
      'insert into ledger.oidc_issuers (issuer, id_prefix) values ($1, $2) on conflict do nothing',
      [issuer.issuer, issuer.idPrefix ?? ''],
    );
    // Another process may have recorded another configuration since this one started.
    await this.check([issuer]);
  }
}

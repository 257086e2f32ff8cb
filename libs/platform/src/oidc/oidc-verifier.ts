import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { decodeJwt, errors, jwtVerify } from 'jose';
import type pg from 'pg';
import { type Clock, Refusal } from '#libs/eventsourcing';
import type { AppConfig } from '../config/config.js';
import type { Logger } from '../telemetry/logger.js';
import { isStorable } from '../fields/storable-text.js';
import { CLOCK, CONFIG, LOGGER, POOL } from '../tokens.js';
import { IssuerKeys } from './issuer-keys.js';
import { IssuerRecords, IssuerRefused } from './issuer-records.js';
import { type OidcIssuer, viaIssuer } from './issuers.js';
import { userIdOf } from './user-id.js';

/** How far the clocks of an issuer and of the store may be apart. */
const CLOCK_TOLERANCE_SECONDS = 5;

/** A person that a configured issuer vouches for; what the person may do is the PrincipalResolver's to tell. */
export interface SignedIn {
  readonly userId: string;
  /** `oidc:<issuer>` */
  readonly via: string;
}

interface Trusted {
  readonly issuer: OidcIssuer;
  readonly keys: IssuerKeys;
}

/** Three base64url parts. A key of Steward's own has no dot; an imported one might, and is looked up after this failed. */
export const looksLikeJwt = (token: string): boolean =>
  !token.startsWith('stw_') && /^[\w-]+\.[\w-]+\.[\w-]*$/.test(token);

/** Verifies access tokens of the configured issuers. */
@Injectable()
export class OidcVerifier implements OnModuleInit {
  private readonly trusted: ReadonlyMap<string, Trusted>;
  private readonly records: IssuerRecords;

  constructor(
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'oidcIssuers'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(POOL) database: Pick<pg.Pool, 'query'>,
    @Inject(LOGGER) private readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>,
  ) {
    this.records = new IssuerRecords(database);
    this.trusted = new Map(
      config.oidcIssuers.map((issuer) => {
        const onFailure = ({ message }: Error): void => {
          logger.warn({ issuer: issuer.issuer, reason: message }, 'The keys of an issuer could not be fetched.');
        };
        return [issuer.issuer, { issuer, keys: new IssuerKeys(issuer, { onFailure }) }];
      }),
    );
  }

  /** Throws IssuerRefused, which keeps the program from starting. */
  async onModuleInit(): Promise<void> {
    await this.records.check(this.config.oidcIssuers);
  }

  /**
   * Whose token it is; undefined for one that does not count, whatever is wrong with it. Throws ISSUER_UNAVAILABLE where
   * the issuer's keys are not known, and STORE_UNAVAILABLE where its first sign-in cannot be recorded.
   */
  async authenticate(token: string): Promise<SignedIn | undefined> {
    const trusted = this.trustedFor(token);
    if (trusted === undefined) return undefined;
    const sub = await this.subjectOf(token, trusted);
    if (sub === undefined || !(await this.isRecorded(trusted.issuer))) return undefined;
    const { issuer, idPrefix } = trusted.issuer;
    return { userId: userIdOf(idPrefix, sub), via: viaIssuer(issuer) };
  }

  /** By what the token says of itself, which counts for nothing until it is verified against that very issuer. */
  private trustedFor(token: string): Trusted | undefined {
    try {
      const { iss } = decodeJwt(token);
      return iss === undefined ? undefined : this.trusted.get(iss);
    } catch {
      return undefined;
    }
  }

  private async subjectOf(token: string, { issuer, keys }: Trusted): Promise<string | undefined> {
    try {
      // Every option is stated: what jose assumes of an absent one is to accept.
      const { payload } = await jwtVerify(token, keys.find, {
        issuer: issuer.issuer,
        audience: issuer.audience,
        algorithms: [...issuer.algorithms],
        typ: issuer.typ,
        requiredClaims: ['exp', 'iat', 'sub'],
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        maxTokenAge: issuer.maxTokenAgeSeconds,
        currentDate: new Date(this.clock.nowMs()),
      });
      // jose does not look at the type; and half a surrogate pair has no bytes of its own to be hashed.
      const sub: unknown = payload.sub;
      if (typeof sub === 'string' && sub !== '' && isStorable(sub)) return sub;
      throw new errors.JWTClaimValidationFailed('sub is no subject', payload, 'sub', 'invalid');
    } catch (error) {
      if (error instanceof Refusal) throw error;
      // The caller is told nothing; whoever sets an issuer up finds the reason here.
      this.logger.info({ issuer: issuer.issuer, reason: reasonOf(error) }, 'A token was refused.');
      return undefined;
    }
  }

  private async isRecorded(issuer: OidcIssuer): Promise<boolean> {
    try {
      await this.records.record(issuer);
      return true;
    } catch (error) {
      this.logger.error({ err: error, issuer: issuer.issuer }, 'The first sign-in of an issuer cannot be recorded.');
      if (error instanceof IssuerRefused) return false;
      throw new Refusal('STORE_UNAVAILABLE', 'The first sign-in of this issuer cannot be recorded now.', {
        retryAfterSeconds: 1,
      });
    }
  }
}

/** Codes and names of claims; jose's errors hold the claims themselves as well. */
function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired)
    return `${error.code} ${error.claim}`;
  return error instanceof errors.JOSEError ? error.code : 'KEY_UNUSABLE';
}

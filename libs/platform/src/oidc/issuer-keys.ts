import { createLocalJWKSet, errors, type JWTVerifyGetKey } from 'jose';
import { Refusal } from '#libs/eventsourcing';
import type { OidcIssuer } from './issuers.js';

/** At most one attempt in this time, failed ones too: a flood of unknown key ids costs the issuer two a minute. */
const COOLDOWN_MS = 30_000;
const FRESH_MS = 10 * 60_000;
/** So long the keys last heard of go on while the issuer does not answer. */
const USABLE_MS = 24 * 60 * 60_000;
/** For all that one attempt asks. */
const ATTEMPT_MS_MAX = 3_000;
const DOCUMENT_BYTES_MAX = 256 * 1024;

/** Why an attempt failed, for the log: what was asked and what came of it, never a text that the other side sent. */
export class IssuerUnreachable extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'IssuerUnreachable';
  }
}

export interface IssuerKeysOptions {
  readonly onFailure: (error: Error) => void;
  /** Only differences count. */
  readonly monotonicMs?: () => number;
}

interface KnownKeys {
  readonly find: ReturnType<typeof createLocalJWKSet>;
  readonly fetchedAtMs: number;
}

/** The public keys of one issuer, fetched when they are needed and never from where a token says. */
export class IssuerKeys {
  private known: KnownKeys | undefined;
  private triedAtMs = Number.NEGATIVE_INFINITY;
  private attempt: Promise<void> | undefined;
  private discoveredUri: string | undefined;
  private readonly nowMs: () => number;

  constructor(
    private readonly issuer: Pick<OidcIssuer, 'issuer' | 'jwksUri'>,
    private readonly options: IssuerKeysOptions,
  ) {
    this.nowMs = options.monotonicMs ?? (() => performance.now());
  }

  /**
   * For `jwtVerify`. Throws jose's JWKSNoMatchingKey for a key that the issuer does not publish, and ISSUER_UNAVAILABLE
   * where no keys are known.
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (this.ageMs() > FRESH_MS) await this.refresh();
    try {
      return await this.usable().find(header, token);
    } catch (error) {
      // A new key of the issuer is unknown until it is fetched.
      if (!(error instanceof errors.JWKSNoMatchingKey) || !(await this.refresh())) throw error;
      return await this.usable().find(header, token);
    }
  };

  private ageMs(): number {
    return this.known === undefined ? Number.POSITIVE_INFINITY : this.nowMs() - this.known.fetchedAtMs;
  }

  private usable(): KnownKeys {
    if (this.known !== undefined && this.ageMs() <= USABLE_MS) return this.known;
    throw new Refusal('ISSUER_UNAVAILABLE', 'The keys of the token’s issuer cannot be fetched now.', {
      retryAfterSeconds: Math.ceil(Math.max(1_000, this.triedAtMs + COOLDOWN_MS - this.nowMs()) / 1_000),
    });
  }

  /** False where the cooldown forbade it; a failure leaves the keys as they were. */
  private async refresh(): Promise<boolean> {
    if (this.attempt === undefined) {
      if (this.nowMs() - this.triedAtMs < COOLDOWN_MS) return false;
      this.triedAtMs = this.nowMs();
      this.attempt = this.fetchKeys().finally(() => {
        this.attempt = undefined;
      });
    }
    await this.attempt;
    return true;
  }

  private async fetchKeys(): Promise<void> {
    const signal = AbortSignal.timeout(ATTEMPT_MS_MAX);
    try {
      const uri = this.issuer.jwksUri ?? (this.discoveredUri ??= await this.discover(signal));
      const keys = (await fetchJson(uri, signal)) as Parameters<typeof createLocalJWKSet>[0];
      this.known = { find: createLocalJWKSet(keys), fetchedAtMs: this.nowMs() };
    } catch (error) {
      this.discoveredUri = undefined;
      this.options.onFailure(error instanceof Error ? error : new Error('unknown'));
    }
  }

  private async discover(signal: AbortSignal): Promise<string> {
    const { issuer } = this.issuer;
    const document = await fetchJson(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, signal);
    const { issuer: named, jwks_uri: uri } = document as { issuer?: unknown; jwks_uri?: unknown };
    if (named !== issuer) throw new IssuerUnreachable('the discovery document names another issuer');
    if (typeof uri !== 'string' || !URL.canParse(uri) || new URL(uri).origin !== new URL(issuer).origin)
      throw new IssuerUnreachable('jwks_uri is not on the origin of the issuer: set jwksUri');
    return uri;
  }
}

async function fetchJson(url: string, signal: AbortSignal): Promise<object> {
  const { pathname } = new URL(url);
  try {
    // A redirect could lead to any host.
    const response = await fetch(url, { signal, redirect: 'error', headers: { accept: 'application/json' } });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new IssuerUnreachable(`${pathname} answered ${response.status}`);
    }
    const document: unknown = JSON.parse(await boundedText(response, pathname));
    if (typeof document === 'object' && document !== null) return document;
    throw new IssuerUnreachable(`${pathname} is no JSON object`);
  } catch (error) {
    if (error instanceof IssuerUnreachable) throw error;
    if (error instanceof SyntaxError) throw new IssuerUnreachable(`${pathname} is no JSON`);
    const { name, cause } = error as Error;
    const { code, message } = (cause ?? {}) as { code?: string; message?: string };
    throw new IssuerUnreachable(`${pathname}: ${code ?? message ?? name}`);
  }
}

async function boundedText(response: Response, pathname: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    sizeBytes += chunk.length;
    if (sizeBytes > DOCUMENT_BYTES_MAX) throw new IssuerUnreachable(`${pathname} is too large`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

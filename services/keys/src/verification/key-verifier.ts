import { Inject, Injectable, Optional } from '@nestjs/common';
import { type Clock, HeadUnreached, IndexFollower, keyIdOfImport, Refusal } from '#libs/eventsourcing';
import {
  AccessIndex,
  type Authentication,
  type AppConfig,
  CLOCK,
  CONFIG,
  CredentialVerifier,
  INSTALLATION_KEY,
  PEPPERS,
  permits,
  type Principal,
  PrincipalResolver,
  READ_WAIT_MS_MAX,
  RequestContexts,
} from '#libs/platform';
import type { Peppers } from '#libs/postgres';
import { digestOf, parseToken, TOKEN_PREFIX } from '../key-secret.js';
import { KeyUsageRecorder } from '../usage/key-usage.recorder.js';
import { decide, refusedByLife, scopesLeft, Surroundings, violatesPolicy } from './decision.js';
import { type MatchedSecret, SecretMatcher } from './secret-match.js';
import { type IndexedKey, VerificationIndex } from './verification-index.js';
import { VerificationMetrics } from './verification-metrics.js';
import { VerifierUpgrades } from './verifier-upgrades.js';
import type { Verified, VerifiedKey } from './verify-answer.js';
import type { VerifyRequest } from './verify-request.js';

interface ShownSecret {
  readonly keyId: string;
  readonly key: IndexedKey;
  readonly secret: MatchedSecret;
}

/**
 * Decides on tokens from memory. What memory accepts is answered at once; what it would refuse is decided again when the
 * indexes have reached the store's head, so nobody is refused for lag. While the head cannot be reached, memory decides
 * until it is too old, and then every answer is STALE.
 */
@Injectable()
export class KeyVerifier extends CredentialVerifier {
  private readonly matcher: SecretMatcher;
  private readonly surroundings: Surroundings;

  constructor(
    private readonly index: VerificationIndex,
    access: AccessIndex,
    private readonly resolver: PrincipalResolver,
    private readonly contexts: RequestContexts,
    @Inject(IndexFollower)
    private readonly follower: Pick<IndexFollower, 'position' | 'reachHead' | 'stalenessMs' | 'waitFor'>,
    @Inject(KeyUsageRecorder) private readonly usage: Pick<KeyUsageRecorder, 'decided' | 'used'>,
    private readonly metrics: VerificationMetrics,
    @Inject(PEPPERS) private readonly peppers: Peppers,
    @Inject(INSTALLATION_KEY) private readonly installationKey: Buffer,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'verifyStalenessMaxMs'>,
    @Optional() private readonly upgrades?: VerifierUpgrades,
  ) {
    super();
    this.matcher = new SecretMatcher(index, peppers);
    this.surroundings = new Surroundings(access);
  }

  /**
   * `render` is called once with the decision, while the index stands still. Throws POSITION_UNKNOWN and PROJECTION_LAG.
   */
  async verify<Answer>(ask: VerifyRequest, caller: Principal, render: (verified: Verified) => Answer): Promise<Answer> {
    const [answer] = await this.verifyBatch([ask], caller, render);
    return answer as Answer;
  }

  /** Of a batch only those wait that memory would refuse; all of them wait together. */
  async verifyBatch<Answer>(
    asks: readonly VerifyRequest[],
    caller: Principal,
    render: (verified: Verified) => Answer,
  ): Promise<Answer[]> {
    const startedMs = performance.now();
    if (asks.some(({ minPosition }) => minPosition !== undefined)) await this.reachPositions(asks);
    const refused: number[] = [];
    const answers = asks.map((ask, n) => {
      const verified = this.look(ask, caller);
      if (verified.code === 'VALID' || verified.code === 'MALFORMED') return this.settle(verified, ask, caller, render);
      refused.push(n);
      return undefined;
    });
    if (refused.length > 0) {
      const reached = await this.reachHead();
      const now = reached ? this.resolver.again(caller) : caller;
      for (const n of refused) {
        const ask = asks[n] as VerifyRequest;
        answers[n] = this.settle(this.look(ask, now), ask, caller, render);
      }
    }
    this.metrics.took((performance.now() - startedMs) / 1_000);
    return answers as Answer[];
  }

  /** Of a caller's own token; where the caller comes from and whether its owner is active is the Gatekeeper's to judge. */
  override authenticate(token: string): Authentication {
    const nowMs = this.clock.nowMs();
    const digest = digestOf(token);
    const keyId = this.keyIdOf(token, digest);
    if (keyId === undefined) return { ok: false, code: 'MALFORMED' };
    const shown = this.shown(keyId, digest, nowMs);
    if (shown === undefined) return { ok: false, code: 'NOT_FOUND' };
    const { key } = shown;
    const ended = refusedByLife(key, nowMs);
    if (ended !== undefined) return { ok: false, code: ended };
    const surroundings = this.surroundings.of(key);
    const { owner } = surroundings;
    if (violatesPolicy(key, surroundings.policy)) return { ok: false, code: 'POLICY_VIOLATION' };
    this.usage.used(shown, nowMs);
    this.offerUpgrade(shown, token);
    const { tenantId, projectId } = key.place;
    const { profile, row } = key;
    return {
      ok: true,
      keyId,
      tenantId,
      projectId,
      owner: key.owner,
      scopes: owner.active ? scopesLeft(key, owner.role, surroundings) : profile.scopes,
      canManageKeys: row.canManageKeys,
      expiresAt: row.expiresAtMs === Number.POSITIVE_INFINITY ? null : new Date(row.expiresAtMs).toISOString(),
      ipAllow: profile.ipAllow,
      ipDeny: profile.ipDeny,
      audiences: profile.audiences,
    };
  }

  /** The key of a token that stands now or stood, without deciding on it; undefined for whoever lacks the secret. */
  lookUp(token: string): string | undefined {
    const digest = digestOf(token);
    const keyId = this.keyIdOf(token, digest);
    return keyId === undefined ? undefined : this.shown(keyId, digest, this.clock.nowMs())?.keyId;
  }

  /** As lookUp, but a key is missing only at the head. Throws NOT_FOUND, and STORE_UNAVAILABLE if the head is out of reach. */
  async find(token: string): Promise<string> {
    const known = this.lookUp(token);
    if (known !== undefined) return known;
    if (!(await this.reachHead()))
      throw new Refusal('STORE_UNAVAILABLE', 'Whether there is such a key cannot be told now.', {
        retryAfterSeconds: 1,
      });
    const found = this.lookUp(token);
    if (found === undefined) throw new Refusal('NOT_FOUND', 'There is no key of this token here.');
    return found;
  }

  /** True when the indexes have passed the head; false where memory has to do. */
  async reachHead(): Promise<boolean> {
    try {
      await this.follower.reachHead();
      return true;
    } catch (error) {
      if (error instanceof HeadUnreached) return false;
      throw error;
    }
  }

  private look(ask: VerifyRequest, caller: Principal): Verified {
    const stalenessMs = this.follower.stalenessMs();
    const { position } = this.follower;
    const told = (code: Verified['code'], about?: VerifiedKey): Verified => ({ code, about, position, stalenessMs });
    const nowMs = this.clock.nowMs();
    const digest = digestOf(ask.token);
    const keyId = this.keyIdOf(ask.token, digest);
    if (keyId === undefined) return told('MALFORMED');
    if (stalenessMs > Math.min(ask.maxStalenessMs ?? Number.POSITIVE_INFINITY, this.config.verifyStalenessMaxMs))
      return told('STALE');
    const shown = this.shown(keyId, digest, nowMs);
    if (shown === undefined || shown.key.row.deleted) return told('NOT_FOUND');
    const { key, secret } = shown;
    const { tenantId, projectId } = key.place;
    if (!permits(caller, 'keys:verify', { tenantId, projectId, owner: key.owner, keyId })) return told('NOT_FOUND');
    const surroundings = this.surroundings.of(key);
    const { owner } = surroundings;
    const { code, missing } = decide(key, ask, surroundings, nowMs);
    const role = owner.active ? owner.role : key.row.ownerRole;
    return told(code, { keyId, key, secret, role, scopes: scopesLeft(key, role, surroundings), missing });
  }

  private settle<Answer>(
    verified: Verified,
    ask: VerifyRequest,
    caller: Principal,
    render: (verified: Verified) => Answer,
  ): Answer {
    const { code, about } = verified;
    this.metrics.decided(code);
    this.usage.decided(about, code, caller.id, this.clock.nowMs());
    if (code === 'VALID' && about !== undefined) this.offerUpgrade(about, ask.token);
    return render(verified);
  }

  /** Undefined if the token is malformed; of another system's token the ID under which it would have been imported. */
  private keyIdOf(token: string, digest: Buffer): string | undefined {
    return token.startsWith(TOKEN_PREFIX) ? parseToken(token)?.keyId : keyIdOfImport(this.installationKey, digest);
  }

  private shown(keyId: string, digest: Buffer, nowMs: number): ShownSecret | undefined {
    const key = this.index.key(keyId);
    const secret = this.matcher.match(key, digest, nowMs);
    return key === undefined || secret === undefined ? undefined : { keyId, key, secret };
  }

  private offerUpgrade({ keyId, secret: { version, pepperVersion } }: ShownSecret, token: string): void {
    if (pepperVersion === this.peppers.current) return;
    this.upgrades?.offer({ keyId, version, fromPepper: pepperVersion, digest: digestOf(token) });
  }

  private async reachPositions(asks: readonly VerifyRequest[]): Promise<void> {
    const given = asks.map(({ minPosition }, n) => [
      asks.length === 1 ? 'body.minPosition' : `body.requests.${n}.minPosition`,
      minPosition,
    ]);
    const position = await this.contexts.position(Object.fromEntries(given) as Record<string, string | undefined>);
    if (position === undefined || (await this.follower.waitFor(position, READ_WAIT_MS_MAX))) return;
    throw new Refusal('PROJECTION_LAG', `This process has not reached position ${position} within 2 s.`, {
      retryAfterSeconds: 1,
    });
  }
}

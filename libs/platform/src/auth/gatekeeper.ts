import { Inject, Injectable } from '@nestjs/common';
import { HeadUnreached, IndexFollower, type Position, Refusal } from '#libs/eventsourcing';
import { Access } from './access.js';
import { addressAllowed } from '../requests/addresses.js';
import { AuthThrottle } from './auth-throttle.js';
import type { AppConfig } from '../config/config.js';
import { CredentialVerifier } from './credentials.js';
import { looksLikeJwt, OidcVerifier } from '../oidc/oidc-verifier.js';
import { type Action, judge, type Verdict, visibleTo } from './policy.js';
import type { Principal } from './principal.js';
import { PrincipalResolver } from './principal-resolver.js';
import { READ_WAIT_MS_MAX } from '../requests/read-gate.js';
import type { Requirement } from './requires.js';
import { type PathParams, type Target, Targets } from './target.js';
import { CONFIG } from '../tokens.js';

/** The name of Steward itself among a key's audiences. */
const AUDIENCE = 'steward';

export interface AdmissionRequest {
  /** `tokenOf` the request; null = no credential came. */
  readonly token: string | null;
  readonly ip: string | null;
  readonly requires: Requirement;
  readonly params: PathParams;
  /** The position that the request bears, if any; throws POSITION_UNKNOWN. Asked only for callers who were let in. */
  readonly minPosition?: () => Promise<Position | undefined>;
}

export interface Admission {
  readonly principal: Principal;
  readonly access: Access;
  /** What the route's path names. */
  readonly target: Target;
}

interface Refused {
  readonly refusal: Refusal;
  /** A fault of the credential, which the throttle counts. */
  readonly failedCredential: boolean;
  /** True where no event could change the answer. */
  readonly final: boolean;
}

type Look = { readonly admission: Admission } | Refused;

const refused = (refusal: Refusal, { failedCredential = false, final = false } = {}): Refused => ({
  refusal,
  failedCredential,
  final,
});

/** One answer for every credential that does not count, so that nobody learns which part of it was wrong. */
const unauthenticated = (): Refusal =>
  new Refusal(
    'UNAUTHENTICATED',
    'The credential is missing or not valid. Send a token or a Steward key as Authorization: Bearer, or a key as X-API-Key.',
  );

function refusalOf(verdict: Exclude<Verdict, 'permitted'>, action: Action): Refusal {
  switch (verdict) {
    case 'not-found':
      return new Refusal('NOT_FOUND', 'There is no such thing here.');
    case 'forbidden':
      return new Refusal('FORBIDDEN', `The caller may not do ${action} here.`);
    case 'key-cannot-manage-keys':
      return new Refusal('KEY_CANNOT_MANAGE_KEYS', 'This key was made without canManageKeys.');
  }
}

/**
 * The one door of every transport: who calls, and may they? What memory permits passes at once; what it would refuse is
 * decided after the indexes have reached the store's head, so nobody is refused for lag.
 */
@Injectable()
export class Gatekeeper {
  constructor(
    private readonly verifier: CredentialVerifier,
    private readonly resolver: PrincipalResolver,
    private readonly targets: Targets,
    private readonly throttle: AuthThrottle,
    @Inject(IndexFollower)
    private readonly follower: Pick<IndexFollower, 'reachHead' | 'stalenessMs' | 'waitFor'>,
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'verifyStalenessMaxMs'>,
    @Inject(OidcVerifier) private readonly persons: Pick<OidcVerifier, 'authenticate'>,
  ) {}

  /**
   * Throws UNAUTHENTICATED, TOO_MANY_REQUESTS, FORBIDDEN, KEY_CANNOT_MANAGE_KEYS, NOT_FOUND, STALE, STORE_UNAVAILABLE or
   * PROJECTION_LAG, and ISSUER_UNAVAILABLE or KEYS_UNAVAILABLE for a credential that cannot be verified now.
   */
  async admit(request: AdmissionRequest): Promise<Admission> {
    const { token } = request;
    if (token === null) throw unauthenticated();
    const admission = await this.lookTwice(token, request);
    const position = await request.minPosition?.();
    if (position === undefined) return admission;
    if (!(await this.follower.waitFor(position, READ_WAIT_MS_MAX)))
      throw new Refusal('PROJECTION_LAG', `This process has not reached position ${position} within 2 s.`, {
        retryAfterSeconds: 1,
      });
    // Another process that verifies keys may not have passed the position; the head lies behind it.
    return await this.lookTwice(token, request, true);
  }

  /**
   * For targets that a body names. Throws as `admit` does; `find` is asked again at the head, so it must look the target
   * up in an index (`Targets`).
   */
  async authorize(
    { principal }: { readonly principal: Principal },
    action: Action,
    find: () => Target | undefined,
  ): Promise<Target> {
    const [verdict] = await this.verdicts({ principal }, action, [find]);
    const target = find();
    if (verdict !== 'permitted' || target === undefined) throw refusalOf(asRefused(verdict), action);
    return target;
  }

  /** True if memory permits it; false is no refusal, for that is decided at the head (`authorize`). */
  permitsNow({ principal }: { readonly principal: Principal }, action: Action, target: Target | undefined): boolean {
    return judge(principal, action, target) === 'permitted';
  }

  /** The verdict on each of many targets; all that memory refuses are looked at again after one wait for the head. */
  async verdicts(
    { principal }: { readonly principal: Principal },
    action: Action,
    finds: readonly (() => Target | undefined)[],
  ): Promise<Verdict[]> {
    const verdicts = finds.map((find) => judge(principal, action, find()));
    if (verdicts.every((verdict) => verdict === 'permitted')) return verdicts;
    await this.reachesHead(false);
    const now = this.resolver.again(principal);
    return finds.map((find, n) => (verdicts[n] === 'permitted' ? 'permitted' : judge(now, action, find())));
  }

  private async lookTwice(token: string, request: AdmissionRequest, atHead = false): Promise<Admission> {
    const fromMemory = request.requires.decidesFromMemory === true;
    // Memory that was never filled knows nobody, so nobody can decide from it.
    this.assertFresh(fromMemory ? Number.MAX_VALUE : this.config.verifyStalenessMaxMs);
    let look = await this.look(token, request, atHead);
    if ('refusal' in look && !look.final && (await this.reachesHead(fromMemory)))
      look = await this.look(token, request, true);
    if ('admission' in look) return look.admission;
    if (look.failedCredential) this.count(request.ip);
    throw look.refusal;
  }

  private async look(token: string, { ip, requires, params }: AdmissionRequest, atHead: boolean): Promise<Look> {
    const caller = await this.callerOf(token, ip, atHead);
    if ('refusal' in caller) return caller;
    const { principal } = caller;
    const { action } = requires;
    const target = this.targets.resolve(requires.target, params, principal);
    if (action === null) {
      const nowhere = { tenantId: null, projectId: null };
      return { admission: { principal, access: Access.grantedByGuard(principal, []), target: target ?? nowhere } };
    }
    const verdict = judge(principal, action, target);
    if (verdict !== 'permitted' || target === undefined) return refused(refusalOf(asRefused(verdict), action));
    return { admission: { principal, access: Access.grantedByGuard(principal, visibleTo(principal, action)), target } };
  }

  private async callerOf(
    token: string,
    ip: string | null,
    atHead: boolean,
  ): Promise<{ readonly principal: Principal } | Refused> {
    // A key that was imported may have the form of a JWT, so whoever is no person is still looked up among the keys.
    const person = looksLikeJwt(token) ? await this.persons.authenticate(token) : undefined;
    if (person !== undefined) return { principal: this.resolver.ofPerson(person.userId, person.via) };
    const key = await this.verifier.authenticate(token, atHead);
    if (!key.ok) {
      if (key.code === 'IP_NOT_ALLOWED') return refused(wrongAddress());
      if (key.code === 'STALE') throw stale();
      const final = key.isFinal === true || key.code === 'MALFORMED';
      return refused(unauthenticated(), { failedCredential: true, final });
    }
    const principal = this.resolver.ofKey(key);
    if (typeof principal === 'string') return refused(unauthenticated(), { failedCredential: true });
    if (!addressAllowed(ip, key.ipAllow, key.ipDeny)) return refused(wrongAddress());
    if (key.audiences.length > 0 && !key.audiences.includes(AUDIENCE))
      return refused(new Refusal('FORBIDDEN', 'This key is for other services.'));
    return { principal };
  }

  private assertFresh(stalenessMaxMs: number): void {
    if (this.follower.stalenessMs() > stalenessMaxMs) throw stale();
  }

  /** True when the head is reached; false where memory has to do. */
  private async reachesHead(memoryWillDo: boolean): Promise<boolean> {
    try {
      await this.follower.reachHead();
      return true;
    } catch (error) {
      if (!(error instanceof HeadUnreached)) throw error;
      if (memoryWillDo) return false;
      throw new Refusal('STORE_UNAVAILABLE', 'Whether this is to be refused cannot be told now.', {
        retryAfterSeconds: 1,
      });
    }
  }

  private count(ip: string | null): void {
    const retryAfterSeconds = this.throttle.failed(ip);
    if (retryAfterSeconds === undefined) return;
    throw new Refusal('TOO_MANY_REQUESTS', 'Too many credentials from this address were not valid.', {
      retryAfterSeconds,
    });
  }
}

const wrongAddress = (): Refusal => new Refusal('FORBIDDEN', 'This key may not be used from this address.');

const stale = (): Refusal =>
  new Refusal('STALE', 'This process has not heard from the event store for too long.', { retryAfterSeconds: 1 });

const asRefused = (verdict: Verdict | undefined): Exclude<Verdict, 'permitted'> =>
  verdict === undefined || verdict === 'permitted' ? 'not-found' : verdict;

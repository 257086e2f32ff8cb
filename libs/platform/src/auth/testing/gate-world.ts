import type { ErrorCode, KeyOwner, TenancyEvent } from '#libs/contracts';
import { HeadUnreached, type OpenedEvent, Refusal } from '#libs/eventsourcing';
import { AccessIndex } from '../access-index.js';
import { AuthThrottle } from '../auth-throttle.js';
import { type Authentication, CredentialVerifier, KeyDirectory, type KeyEntry } from '../credentials.js';
import { type AdmissionRequest, Gatekeeper } from '../gatekeeper.js';
import type { OidcIssuer } from '../../oidc/issuers.js';
import { PrincipalResolver } from '../principal-resolver.js';
import { Targets } from '../target.js';

/** Keys in memory, as the keys service keeps them. */
class Keys extends CredentialVerifier implements KeyDirectory {
  readonly byToken = new Map<string, Authentication>();
  readonly byId = new Map<string, KeyEntry>();

  /** Of each question, whether it asked for what holds at the store's head. */
  readonly asked: boolean[] = [];

  authenticate(token: string, atHead: boolean): Authentication {
    this.asked.push(atHead);
    return this.byToken.get(token) ?? { ok: false, code: token.startsWith('stw_') ? 'NOT_FOUND' : 'MALFORMED' };
  }

  find(keyId: string): KeyEntry | undefined {
    return this.byId.get(keyId);
  }

  add(token: string, owner: KeyOwner, place: { tenantId: string | null; projectId: string | null }, more = {}): void {
    const keyId = `key_${token}`;
    this.byId.set(keyId, { ...place, owner, deleted: false });
    const powers = { scopes: null, canManageKeys: false, expiresAt: null, ipAllow: [], ipDeny: [], audiences: [] };
    this.byToken.set(token, { ok: true, keyId, owner, ...place, ...powers, ...more });
  }
}

/** What a follower knows: events that stand in the store and have not come here yet come when the head is reached. */
class LaggingFollower {
  readonly index = new AccessIndex();
  headReads = 0;
  stale = 0;
  unreachable = false;
  private readonly revisions = new Map<string, number>();
  private late: (() => void)[] = [];

  write(stream: string, tenantId: string | null, ...events: Pick<TenancyEvent, 'type' | 'data'>[]): void {
    for (const event of events) {
      const revision = (this.revisions.get(stream) ?? 0) + 1;
      this.revisions.set(stream, revision);
      this.index.apply({ stream, revision, tenantId, projectId: null, ...event, opened: {} } as unknown as OpenedEvent);
    }
  }

  elsewhere(happens: () => void): void {
    this.late.push(happens);
  }

  reachHead(): Promise<void> {
    this.headReads += 1;
    if (this.unreachable) return Promise.reject(new HeadUnreached('unavailable'));
    this.arrive();
    return Promise.resolve();
  }

  waitFor(position: string): Promise<boolean> {
    if (position === 'never') return Promise.resolve(false);
    this.arrive();
    return Promise.resolve(true);
  }

  stalenessMs(): number {
    return this.stale;
  }

  private arrive(): void {
    for (const happens of this.late) happens();
    this.late = [];
  }
}

const issuer = (name: string, tenants: '*' | string[]) =>
  ({ issuer: `https://${name}.example`, audience: 'steward', tenants, idPrefix: `${name}_` }) as OidcIssuer;

const oidcIssuers = [issuer('id', '*'), issuer('acme', ['acme']), issuer('umbra', ['umbra'])];

/** The token says who it is of, and by which issuer. */
const persons = {
  authenticate: (token: string) => {
    const [, name = '', userId = ''] = /^jwt\.(\w+)\.(\w+)$/.exec(token) ?? [];
    return Promise.resolve(name === '' ? undefined : { userId, via: `oidc:https://${name}.example` });
  },
};

export const inGov1 = { tenantId: 'acme', projectId: 'GOV1' };
export const user = (id: string, role: KeyOwner['role'] = 'tenant_user'): KeyOwner => ({ type: 'user', id, role });

/** One gate over tenants, projects and callers of every kind, without a store. */
export function steward() {
  const keys = new Keys();
  const follower = new LaggingFollower();
  const config = { authFailuresPerMinute: 3, verifyStalenessMaxMs: 30_000 };
  const resolver = new PrincipalResolver(follower.index, { oidcIssuers });
  const targets = new Targets(follower.index, keys);
  const gatekeeper = new Gatekeeper(keys, resolver, targets, new AuthThrottle(config), follower, config, persons);
  follower.write('tenant-acme', 'acme', { type: 'TenantCreated', data: { name: 'Acme' } });
  follower.write('tenant-umbra', 'umbra', { type: 'TenantCreated', data: { name: 'Umbra' } });
  follower.write(
    'project-GOV1',
    'acme',
    { type: 'ProjectCreated', data: { name: 'Rain' } },
    { type: 'MemberAdded', data: { userId: 'alice', role: 'tenant_user' } },
    { type: 'MemberAdded', data: { userId: 'adam', role: 'tenant_admin' } },
  );
  follower.write('project-X1', 'umbra', { type: 'ProjectCreated', data: { name: 'Night' } });
  follower.write('principal-root', null, {
    type: 'PrincipalRegistered',
    data: { type: 'service', role: 'platform_admin' },
  });
  keys.add('stw_alice', user('alice'), inGov1);
  keys.add('stw_adam', user('adam', 'tenant_admin'), inGov1, { canManageKeys: true });
  keys.add('stw_root', { type: 'service', id: 'root', role: 'platform_admin' }, { tenantId: null, projectId: null });
  const admit = (token: string | null, more: Partial<AdmissionRequest> = {}) =>
    gatekeeper.admit({
      token,
      ip: '192.0.2.7',
      requires: { action: 'projects:read', target: 'project' },
      params: { projectId: 'GOV1' },
      ...more,
    });
  return { keys, follower, gatekeeper, targets, resolver, admit };
}

export const refusal = async (attempt: Promise<unknown>): Promise<ErrorCode | 'admitted'> => {
  try {
    await attempt;
    return 'admitted';
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
};

import {
  type KeyPolicy,
  namesService,
  OWN_SCOPES,
  reachesService,
  type Role,
  scopeCovers,
  scopesCover,
  type VerifyCode,
} from '#libs/contracts';
import { type AccessIndex, actions, type OwnerState, roleCanUse } from '#libs/platform';
import {
  type EffectiveKeyPolicy,
  effectivePolicy,
  noPolicy,
  policyViolation,
  scopesUnderPolicy,
} from '../domain/key-policy.js';
import type { IndexedKey } from './verification-index.js';
import type { VerifyRequest } from './verify-request.js';

/** What other streams say of a key now. */
export interface KeySurroundings {
  readonly owner: OwnerState;
  readonly policy: EffectiveKeyPolicy;
  /** The services that the owner has no access to. */
  readonly withheld: readonly string[];
}

export interface Decided {
  readonly code: VerifyCode;
  /** The required scopes that the key lacks; there with INSUFFICIENT_SCOPE. */
  readonly missing?: readonly string[];
}

const DAY_MS = 86_400_000;

/** The scopes of managing keys, which a key without canManageKeys never has. */
const managingScopes = actions
  .filter((action) => action.startsWith('keys:'))
  .filter((action) => !['keys:read', 'keys:history', 'keys:verify', 'keys:lookup'].includes(action))
  .map((action) => `${OWN_SCOPES}${action}`)
  .concat(`${OWN_SCOPES}keys:write`);

/**
 * What the key may do now: its scopes ∩ the policy's ∩ its owner's role and service access. Null is all of the owner's; a
 * wildcard over several services stays, and is judged by what is asked for.
 */
export function scopesLeft(
  key: IndexedKey,
  role: Role,
  { policy, withheld }: Omit<KeySurroundings, 'owner'>,
): readonly string[] | null {
  const scopes = withoutServices(underPolicy(key, policy), withheld);
  if (scopes === null || !scopes.some((scope) => scope.startsWith(OWN_SCOPES))) return scopes;
  const { canManageKeys } = key.row;
  return scopes.filter((scope) => roleCanUse(role, scope) && (canManageKeys || !managingScopes.includes(scope)));
}

function underPolicy(key: IndexedKey, policy: EffectiveKeyPolicy): readonly string[] | null {
  const { scopes } = key.profile;
  return policy.allowedScopes === null ? scopes : scopesUnderPolicy(policy, scopes);
}

/** The same list where nothing is taken away, so that what stands ready of it can be answered. */
function withoutServices(scopes: readonly string[] | null, withheld: readonly string[]): readonly string[] | null {
  if (scopes === null || withheld.length === 0) return scopes;
  for (const scope of scopes) if (isOfAny(scope, withheld)) return scopes.filter((one) => !isOfAny(one, withheld));
  return scopes;
}

function isOfAny(scope: string, services: readonly string[]): boolean {
  for (const service of services) if (namesService(scope, service)) return true;
  return false;
}

function missingOf(
  key: IndexedKey,
  required: readonly string[],
  role: Role,
  { policy, withheld }: KeySurroundings,
): string[] {
  const scopes = underPolicy(key, policy);
  // A required wildcard asks for all that it stands for, so one managing scope below it is enough to lack it.
  const managesKeys = (scope: string): boolean => managingScopes.some((managing) => scopeCovers(scope, managing));
  return required.filter((scope) => {
    if (!scopesCover(scopes, scope) || withheld.some((service) => reachesService(scope, service))) return true;
    if (!scope.startsWith(OWN_SCOPES)) return false;
    return !roleCanUse(role, scope) || (!key.row.canManageKeys && managesKeys(scope));
  });
}

export function violatesPolicy(key: IndexedKey, policy: EffectiveKeyPolicy): boolean {
  if (policy === noPolicy) return false;
  const { row, profile } = key;
  const { expiresAtMs } = row;
  const expires = expiresAtMs !== Number.POSITIVE_INFINITY;
  const isoOf = (ms: number): string => new Date(ms).toISOString();
  return (
    policyViolation(policy, {
      createdAt: isoOf(row.createdAtMs),
      expiresAt: expires ? isoOf(expiresAtMs) : null,
      // As many whole days before the expiry as the key was given, which is all that a rule asks.
      expirySetAt: isoOf(expires ? expiresAtMs - row.lifetimeDays * DAY_MS : row.createdAtMs),
      scopes: profile.scopes,
      ipAllow: profile.ipAllow,
    }) !== null
  );
}

/** What has ended the key itself, or not begun it yet. */
export function refusedByLife({ row, extras }: IndexedKey, nowMs: number): Exclude<VerifyCode, 'VALID'> | undefined {
  if (row.revoked) return 'REVOKED';
  if (row.deleted) return 'NOT_FOUND';
  if (row.disabled) return 'DISABLED';
  if (extras.notBeforeMs > nowMs) return 'NOT_YET_VALID';
  return row.expiresAtMs <= nowMs ? 'EXPIRED' : undefined;
}

/**
 * The decision on a key whose secret was shown, in the documented order: what ends the key comes before what its bearer
 * could mend, and nothing is consumed before everything else has said yes.
 */
export function decide(key: IndexedKey, ask: VerifyRequest, surroundings: KeySurroundings, nowMs: number): Decided {
  const { owner, policy } = surroundings;
  if (!owner.active && owner.why === 'tenant-suspended') return { code: 'TENANT_SUSPENDED' };
  const ended = refusedByLife(key, nowMs);
  if (ended !== undefined) return { code: ended };
  if (!owner.active) return { code: 'OWNER_INACTIVE' };
  const { profile } = key;
  if (ask.environment !== undefined && ask.environment !== profile.environment) return { code: 'WRONG_ENVIRONMENT' };
  if (profile.audiences.length > 0 && (ask.audience === undefined || !profile.audiences.includes(ask.audience)))
    return { code: 'WRONG_AUDIENCE' };
  if (!profile.ipRules.allows(ask.clientIp)) return { code: 'IP_NOT_ALLOWED' };
  if (ask.scopes !== undefined && ask.scopes.length > 0) {
    const missing = missingOf(key, ask.scopes, owner.role, surroundings);
    if (missing.length > 0) return { code: 'INSUFFICIENT_SCOPE', missing };
  }
  return { code: violatesPolicy(key, policy) ? 'POLICY_VIOLATION' : 'VALID' };
}

interface KnownPolicy {
  readonly tenant: KeyPolicy | null;
  readonly project: KeyPolicy | null;
  readonly effective: EffectiveKeyPolicy;
}

/** Owners and policies of keys as they are now. */
export class Surroundings {
  /** By place; the facts of the access index are new objects when they change, so being the same is being unchanged. */
  private readonly policies = new Map<number, KnownPolicy>();

  constructor(private readonly access: AccessIndex) {}

  of(key: IndexedKey): KeySurroundings {
    const { tenantId, projectId } = key.place;
    const { owner } = key;
    return {
      owner: this.access.ownerState(owner, projectId, tenantId),
      withheld: this.access.servicesWithheld(owner, projectId),
      policy: this.policyOf(key.row.place, tenantId, projectId),
    };
  }

  private policyOf(place: number, tenantId: string | null, projectId: string | null): EffectiveKeyPolicy {
    const tenant = tenantId === null ? null : (this.access.tenant(tenantId)?.policy ?? null);
    const project = projectId === null ? null : (this.access.project(projectId)?.policy ?? null);
    if (tenant === null && project === null) return noPolicy;
    const known = this.policies.get(place);
    if (known !== undefined && known.tenant === tenant && known.project === project) return known.effective;
    const effective = effectivePolicy(tenant, project);
    this.policies.set(place, { tenant, project, effective });
    return effective;
  }
}

import { type MemberRole, OWN_SCOPES, type Role, scopeCovers } from '#libs/contracts';
import type { VisibleScope } from './access.js';
import type { Grant, Principal } from './principal.js';
import type { Target } from './target.js';

/**
 * The one policy table: role x action x relation to the target. HTTP, gRPC and CLI all ask it, and nothing else in the
 * program knows a role's rights. Expectations of the tests are written by hand, apart from it.
 *
 * `all` is everything that the role's grant reaches (the platform, a tenant or a project), `own` what the caller owns
 * there. A scope `steward:<area>:read` gives every `read` action of the area, `steward:<area>:write` every `write`
 * action; a `use` action is given by its own name only.
 */
type Kind = 'read' | 'write' | 'use';
type Extent = 'all' | 'own' | '-';

const columns = ['tenant_user', 'tenant_admin', 'tenant_owner', 'platform_admin', 'service', 'auditor'] as const;

type Row = readonly [Kind, Extent, Extent, Extent, Extent, Extent, Extent];

// prettier-ignore
const table = {
  //                                 user   admin  owner  platf. serv.  auditor
  'keys:read':              ['read', 'own', 'all', 'all', 'all', '-',   'all'],
  'keys:history':           ['read', 'own', 'all', 'all', 'all', '-',   'all'],
  'keys:create':            ['write', 'own', 'all', 'all', 'all', '-',  '-'],
  'keys:update':            ['write', 'own', 'all', 'all', 'all', '-',  '-'],
  'keys:revoke':            ['write', 'own', 'all', 'all', 'all', '-',  '-'],
  'keys:transfer':          ['write', 'own', 'all', 'all', 'all', '-',  '-'],
  'keys:delete':            ['write', 'own', 'all', 'all', 'all', '-',  '-'],
  'keys:bulk':              ['write', 'own', 'all', 'all', 'all', '-',  '-'],
  'keys:import':            ['write', 'own', 'all', 'all', 'all', '-',  '-'],
  'keys:verify':            ['use',  'own', 'all', 'all', 'all', 'all', '-'],
  'keys:lookup':            ['use',  'own', 'all', 'all', 'all', 'all', '-'],
  'policies:read':          ['read', 'all', 'all', 'all', 'all', '-',   'all'],
  'policies:write':         ['write', '-',  '-',   'all', 'all', '-',   '-'],
  'tenants:read':           ['read', '-',   '-',   'all', 'all', 'all', 'all'],
  'tenants:write':          ['write', '-',  '-',   '-',   'all', '-',   '-'],
  'projects:read':          ['read', 'all', 'all', 'all', 'all', 'all', 'all'],
  'projects:write':         ['write', '-',  '-',   'all', 'all', '-',   '-'],
  'members:read':           ['read', 'own', 'all', 'all', 'all', 'all', 'all'],
  'members:write':          ['write', '-',  'all', 'all', 'all', '-',   '-'],
  'service-access:read':    ['read', 'own', 'all', 'all', 'all', 'all', 'all'],
  'service-access:write':   ['write', '-',  'all', 'all', 'all', '-',   '-'],
  'principals:read':        ['read', '-',   '-',   'all', 'all', '-',   'all'],
  'principals:write':       ['write', '-',  '-',   '-',   'all', '-',   '-'],
  'catalogue:read':         ['read', 'all', 'all', 'all', 'all', 'all', 'all'],
  'catalogue:write':        ['write', '-',  '-',   '-',   'all', '-',   '-'],
  'quotas:read':            ['read', 'own', 'all', 'all', 'all', 'all', 'all'],
  'quotas:history':         ['read', 'own', 'all', 'all', 'all', '-',   'all'],
  'quotas:write':           ['write', '-',  '-',   'all', 'all', '-',   '-'],
  'quotas:write-member':    ['write', '-',  'all', 'all', 'all', '-',   '-'],
  'reservations:read':      ['read', 'own', 'all', 'all', 'all', 'all', 'all'],
  'reservations:write':     ['write', 'own', 'all', '-',  'all', 'all', '-'],
  'reservations:reconcile': ['write', '-',  '-',   '-',   'all', 'all', '-'],
  'audit:read':             ['read', 'own', 'all', 'all', 'all', '-',   'all'],
} as const satisfies Record<string, Row>;

export type Action = keyof typeof table;

export const actions = Object.keys(table) as readonly Action[];

function extentOf(role: Role, action: Action): Extent {
  const [, ...extents]: Row = table[action];
  return extents[columns.indexOf(role)] ?? '-';
}

/**
 * A project's admins make its keys, those of services too. What goes past the limits that a tenant's owner set is
 * therefore never done by a project's key, but by the key of the service itself.
 */
const needsOwnKey = (action: Action): boolean => action === 'reservations:reconcile';

const areaOf = (action: Action): string => action.slice(0, action.indexOf(':'));

const managesKeys = (action: Action): boolean => areaOf(action) === 'keys' && table[action][0] === 'write';

/** Each scope that gives an action: its own, and the one of all reading or all writing in its area. */
const scopesOf = new Map(
  actions.map((action) => {
    const kind = table[action][0];
    const own = `${OWN_SCOPES}${action}`;
    return [action, kind === 'use' ? [own] : [own, `${OWN_SCOPES}${areaOf(action)}:${kind}`]];
  }),
);

function reaches(grant: Grant, target: Target): boolean {
  if (grant.projectId !== null) return grant.projectId === target.projectId;
  return grant.tenantId === null || grant.tenantId === target.tenantId;
}

/** A list shows what its caller may see below a place: it is enough that the grant lies there. */
function meets(grant: Grant, place: Target): boolean {
  if (reaches(grant, place)) return true;
  if (place.projectId !== null) return false;
  return place.tenantId === null || place.tenantId === grant.tenantId;
}

function owns(principal: Principal, target: Target): boolean {
  if (target.owner !== undefined) return target.owner.type === principal.type && target.owner.id === principal.id;
  return principal.type === 'user' && target.userId === principal.id;
}

function holds(principal: Principal, action: Action, target: Target): boolean {
  return principal.grants.some((grant) => {
    if (grant.projectId !== null && needsOwnKey(action)) return false;
    const extent = extentOf(grant.role, action);
    if (target.listed === true) return extent !== '-' && meets(grant, target);
    return reaches(grant, target) && (extent === 'all' || (extent === 'own' && owns(principal, target)));
  });
}

function scopeAllows(principal: Principal, action: Action): boolean {
  const scopes = principal.key?.scopes ?? null;
  if (scopes === null) return true;
  const giving = scopesOf.get(action) ?? [];
  return scopes.some((scope) => giving.some((wanted) => scopeCovers(scope, wanted)));
}

/** Things outside the caller's tenants do not exist for the caller; what bears no id is no thing and hides nothing. */
function isHidden(principal: Principal, target: Target): boolean {
  const isThing =
    target.tenantId !== null ||
    target.projectId !== null ||
    target.principalId !== undefined ||
    target.keyId !== undefined;
  if (!isThing) return false;
  return !principal.grants.some((grant) => grant.tenantId === null || grant.tenantId === target.tenantId);
}

export type Verdict = 'permitted' | 'not-found' | 'forbidden' | 'key-cannot-manage-keys';

/** What the table says; a target of undefined is one that does not exist. */
export function judge(principal: Principal, action: Action, target: Target | undefined): Verdict {
  if (target === undefined) return 'not-found';
  const { key } = principal;
  // Whoever holds a key may end it, whatever else the key may do.
  if (action === 'keys:revoke' && key !== null && target.keyId === key.keyId) return 'permitted';
  if (!holds(principal, action, target)) return isHidden(principal, target) ? 'not-found' : 'forbidden';
  if (key !== null && !key.canManageKeys && managesKeys(action)) return 'key-cannot-manage-keys';
  return scopeAllows(principal, action) ? 'permitted' : 'forbidden';
}

export function permits(principal: Principal, action: Action, target: Target | undefined): boolean {
  return judge(principal, action, target) === 'permitted';
}

/** What a list of the action's things may show to the principal. */
export function visibleTo(principal: Principal, action: Action): readonly VisibleScope[] {
  if (!scopeAllows(principal, action)) return [];
  const scopes: VisibleScope[] = [];
  for (const { role, tenantId, projectId } of principal.grants) {
    const extent = extentOf(role, action);
    if (extent === 'all') {
      if (projectId !== null) scopes.push({ kind: 'project', projectId });
      else if (tenantId !== null) scopes.push({ kind: 'tenant', tenantId });
      else return [{ kind: 'all' }];
    } else if (extent === 'own' && projectId !== null) {
      scopes.push({ kind: 'own', projectId, ownerType: principal.type, ownerId: principal.id });
    }
  }
  return scopes;
}

/** The most that a project-owned key made by this principal may act as in the project; null = nothing. */
export function memberRoleAtMost(principal: Principal, tenantId: string, projectId: string): MemberRole | null {
  const roles = principal.grants.filter((grant) => reaches(grant, { tenantId, projectId })).map(({ role }) => role);
  if (roles.some((role) => role === 'platform_admin' || role === 'tenant_owner' || role === 'tenant_admin'))
    return 'tenant_admin';
  return roles.includes('tenant_user') ? 'tenant_user' : null;
}

/** True if the role has, somewhere, an action that the scope gives; scopes that are not Steward's own are not its to judge. */
export function roleCanUse(role: Role, scope: string): boolean {
  if (!scope.startsWith(OWN_SCOPES)) return true;
  return actions.some(
    (action) =>
      extentOf(role, action) !== '-' && (scopesOf.get(action) ?? []).some((wanted) => scopeCovers(scope, wanted)),
  );
}

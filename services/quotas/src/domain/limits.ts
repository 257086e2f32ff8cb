import type { LimitSource, QuotaLimit, QuotaScope } from '#libs/contracts';
import { type Catalogue, resourceOf } from './catalogue.js';
import type { Counter, ProjectQuota, Resource, Scope } from './project-quota.js';

/**
 * Which limit holds. A member: its own, else the member default, else the catalogue's. The project: its own, else the
 * catalogue's. Both hold at once, so a member's limit may be above the project's and is then clamped by it in effect.
 */
export interface EffectiveLimit {
  readonly limit: QuotaLimit;
  readonly source: LimitSource;
}

const catalogueLimit = (catalogue: Catalogue, resource: Resource, scope: QuotaScope['type']): EffectiveLimit => {
  const known = resourceOf(catalogue, resource);
  const limit = scope === 'project' ? known?.defaultProjectLimit : known?.defaultMemberLimit;
  return { limit: limit ?? 'unlimited', source: 'catalogue' };
};

export function projectLimit(state: ProjectQuota, catalogue: Catalogue, resource: Resource): EffectiveLimit {
  const own = state.project.limits.get(resource)?.limit ?? null;
  return own === null ? catalogueLimit(catalogue, resource, 'project') : { limit: own, source: 'set' };
}

export function memberDefaultLimit(state: ProjectQuota, catalogue: Catalogue, resource: Resource): EffectiveLimit {
  const own = state.memberDefaults.get(resource)?.limit ?? null;
  return own === null ? catalogueLimit(catalogue, resource, 'memberDefault') : { limit: own, source: 'set' };
}

export function memberLimit(
  state: ProjectQuota,
  catalogue: Catalogue,
  member: Scope | undefined,
  resource: Resource,
): EffectiveLimit {
  const own = member?.limits.get(resource)?.limit ?? null;
  return own === null
    ? inheritedLimit(state, catalogue, { type: 'member', userId: null }, resource)
    : { limit: own, source: 'set' };
}

/** What holds at a scope where nothing is set. */
export function inheritedLimit(
  state: ProjectQuota,
  catalogue: Catalogue,
  scope: QuotaScope,
  resource: Resource,
): { readonly limit: QuotaLimit; readonly source: Exclude<LimitSource, 'set'> } {
  const ofCatalogue = { ...catalogueLimit(catalogue, resource, scope.type), source: 'catalogue' as const };
  if (scope.type !== 'member') return ofCatalogue;
  const byDefault = state.memberDefaults.get(resource)?.limit ?? null;
  return byDefault === null ? ofCatalogue : { limit: byDefault, source: 'memberDefault' };
}

export function limitOfScope(
  state: ProjectQuota,
  catalogue: Catalogue,
  scope: QuotaScope,
  resource: Resource,
): EffectiveLimit {
  switch (scope.type) {
    case 'project':
      return projectLimit(state, catalogue, resource);
    case 'memberDefault':
      return memberDefaultLimit(state, catalogue, resource);
    case 'member':
      return memberLimit(state, catalogue, state.members.get(scope.userId ?? ''), resource);
  }
}

export const limitOfCounter = (state: ProjectQuota, catalogue: Catalogue, counter: Counter): QuotaLimit =>
  counter.scope.userId === null
    ? projectLimit(state, catalogue, counter.resource).limit
    : memberLimit(state, catalogue, counter.scope, counter.resource).limit;

/** A soft limit goes with the limit that it was set with: who inherits the one inherits the other. */
export function softLimit(state: ProjectQuota, scope: Scope | undefined, resource: Resource): number | null {
  const own = scope?.limits.get(resource);
  const standing = own?.limit === undefined || own.limit === null ? state.memberDefaults.get(resource) : own;
  return (scope?.userId === null ? own : standing)?.soft ?? null;
}

export const isAbove = (amount: number, limit: QuotaLimit): boolean => limit !== 'unlimited' && amount > limit;

/** What a scope's own limit leaves, never below 0. */
export const leftOf = (limit: QuotaLimit, used: number, reserved: number): QuotaLimit =>
  limit === 'unlimited' ? limit : Math.max(0, limit - used - reserved);

const least = (a: QuotaLimit, b: QuotaLimit): QuotaLimit =>
  a === 'unlimited' ? b : b === 'unlimited' ? a : Math.min(a, b);

/** A row of the quota page: the scope's own effective limit, and what is available under both scopes. */
export interface QuotaRow {
  readonly service: string;
  readonly resource: string;
  readonly unit: string;
  readonly limit: QuotaLimit;
  readonly soft: number | null;
  readonly used: number;
  readonly reserved: number;
  readonly available: QuotaLimit;
  readonly source: LimitSource;
  readonly over: boolean;
  /** The revision of the event that last changed this limit, 0 if none did. */
  readonly revision: number;
}

/** The row of the project (userId null) or a member, who need not be known here. The resource is of the catalogue. */
export function quotaRow(
  state: ProjectQuota,
  catalogue: Catalogue,
  userId: string | null,
  name: { readonly service: string; readonly resource: string; readonly unit: string },
): QuotaRow {
  const { service, resource: resourceName, unit } = name;
  const resource = state.resource(service, resourceName);
  const scope = userId === null ? state.project : state.members.get(userId);
  const ofProject = projectLimit(state, catalogue, resource);
  const { limit, source } = userId === null ? ofProject : memberLimit(state, catalogue, scope, resource);
  const { used, reserved } = scope?.counters[resource.index] ?? { used: 0, reserved: 0 };
  const project = state.project.counters[resource.index] ?? { used: 0, reserved: 0 };
  const standing = scope?.limits.get(resource);
  return {
    service,
    resource: resourceName,
    unit,
    limit,
    soft: softLimit(state, scope, resource),
    used,
    reserved,
    available: least(leftOf(limit, used, reserved), leftOf(ofProject.limit, project.used, project.reserved)),
    source,
    over: isAbove(used + reserved, limit),
    revision: standing?.revision ?? 0,
  };
}

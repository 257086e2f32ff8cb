import type { PersonPart } from '#libs/contracts';
import type { Position } from '#libs/eventsourcing';
import type { RegisteredPrincipal } from './domain/principal.js';
import type { Member, StandingProject } from './domain/project.js';
import type { StandingTenant } from './domain/tenant.js';
import type { MemberView, PrincipalView, ProjectView, TenantView } from './tenancy.dto.js';

/** Folded states in the form that callers see: a command's answer needs no read model. */

export function tenantView(id: string, tenant: StandingTenant, position: Position | null): TenantView {
  const { name, status, createdAt, revision } = tenant;
  return { id, name, status, createdAt, version: revision, position };
}

export function projectView(id: string, project: StandingProject, position: Position | null): ProjectView {
  const { tenantId, name, status, createdAt, revision } = project;
  return { id, tenantId, name, status, createdAt, version: revision, position };
}

export function memberView(
  place: { readonly projectId: string; readonly userId: string },
  member: Member,
  person: PersonPart,
  position: Position | null,
): MemberView {
  const { role, status, services, addedAt, revision } = member;
  return { ...place, role, status, services: [...services], ...person, addedAt, version: revision, position };
}

export function principalView(id: string, principal: RegisteredPrincipal, position: Position | null): PrincipalView {
  const { type, role, tenantId, status, createdAt, revision } = principal;
  return { id, type, role, tenantId, status, createdAt, version: revision, position };
}

import type { ErrorCode, MemberRole, PersonPart, PlatformRole, PrincipalType } from '#libs/contracts';
import type { Position } from '#libs/eventsourcing';
import {
  BooleanField,
  EnumField,
  IdField,
  IntegerField,
  ObjectField,
  ObjectListField,
  TextField,
  TextListField,
  TimeField,
} from '#libs/platform';
import type { RegisteredPrincipal } from './domain/principal.js';
import { type Member, SERVICES_MAX, type StandingProject } from './domain/project.js';
import type { StandingTenant } from './domain/tenant.js';
import { email, memberRoles, name, platformRoles, principalTypes, service } from './tenancy.fields.js';

/** What callers are shown of tenancy. A folded state becomes a view too: a command's answer needs no read model. */

/** What every thing bears: its ETag is `"<version>"`, and a read at the position shows it. */
class Versioned {
  @IntegerField({ min: 1, max: Number.MAX_SAFE_INTEGER, description: 'The number in its ETag.' })
  version!: number;

  @TextField({ max: 64, nullable: true, description: 'Opaque; send it back as `minPosition`.' })
  position!: string | null;
}

export class TenantView extends Versioned {
  @IdField()
  id!: string;

  @TextField(name)
  name!: string;

  @EnumField(['active', 'suspended'])
  status!: 'active' | 'suspended';

  @TimeField()
  createdAt!: string;
}

export class ProjectView extends Versioned {
  @IdField()
  id!: string;

  @IdField()
  tenantId!: string;

  @TextField(name)
  name!: string;

  @EnumField(['active', 'closed'])
  status!: 'active' | 'closed';

  @TimeField()
  createdAt!: string;
}

export class MemberView extends Versioned {
  @IdField()
  projectId!: string;

  @IdField()
  userId!: string;

  @EnumField(memberRoles)
  role!: MemberRole;

  @EnumField(['active', 'suspended'])
  status!: 'active' | 'suspended';

  @TextListField({ ...service, itemsMax: SERVICES_MAX })
  services!: string[];

  @TextField({ ...name, nullable: true })
  displayName!: string | null;

  @TextField({ ...email, nullable: true })
  email!: string | null;

  @TimeField()
  addedAt!: string;
}

export class PrincipalView extends Versioned {
  @IdField()
  id!: string;

  @EnumField(principalTypes)
  type!: PrincipalType;

  @EnumField(platformRoles)
  role!: PlatformRole;

  @IdField({ nullable: true })
  tenantId!: string | null;

  @EnumField(['active', 'removed'])
  status!: 'active' | 'removed';

  @TimeField()
  createdAt!: string;
}

export class OffboardResult {
  @IdField()
  projectId!: string;

  @IntegerField({ min: 200, max: 599, description: 'An HTTP status; 204 where the user is a member no more.' })
  status!: number;

  @TextField({ max: 64, optional: true, description: 'Why not, where the status tells a refusal.' })
  code?: ErrorCode;
}

export class OffboardView {
  @IdField()
  tenantId!: string;

  @IdField()
  userId!: string;

  @ObjectListField(() => OffboardResult, { itemsMax: 100_000 })
  results!: OffboardResult[];

  @TextField({ max: 36, description: 'All that this causes bears it, the revocation of the keys too.' })
  correlationId!: string;
}

class PageInfo {
  @TextField({ max: 2048, nullable: true })
  nextCursor!: string | null;

  @BooleanField()
  hasMore!: boolean;
}

class ListView {
  @ObjectField(() => PageInfo)
  page!: PageInfo;
}

export class TenantList extends ListView {
  @ObjectListField(() => TenantView, { itemsMax: 200 })
  data!: TenantView[];
}

export class ProjectList extends ListView {
  @ObjectListField(() => ProjectView, { itemsMax: 200 })
  data!: ProjectView[];
}

export class MemberList extends ListView {
  @ObjectListField(() => MemberView, { itemsMax: 200 })
  data!: MemberView[];
}

export class PrincipalList extends ListView {
  @ObjectListField(() => PrincipalView, { itemsMax: 200 })
  data!: PrincipalView[];
}

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

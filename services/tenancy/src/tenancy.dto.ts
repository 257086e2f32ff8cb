import type { Disposition, ErrorCode, KeyPolicy, MemberRole, PlatformRole, PrincipalType } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import {
  BooleanField,
  EnumField,
  IdField,
  IntegerField,
  IntegerListField,
  ObjectField,
  ObjectListField,
  PageQuery,
  refuseSecret,
  TextField,
  TextListField,
  TimeField,
} from '#libs/platform';
import { type ProfileChange, type Removal, SERVICES_MAX } from './domain/project.js';
import { ALLOWED_SCOPES_MAX, POLICY_DAYS_MAX, POLICY_KEYS_MAX, WARN_DAYS_ITEMS_MAX } from './domain/key-policy.js';

/** Every request and answer of tenancy. */

const NAME_LENGTH_MAX = 100;
const EMAIL_LENGTH_MAX = 254;
const QUERY_LENGTH_MAX = 100;
const COMMENT_LENGTH_MAX = 1_000;

export const memberRoles = ['tenant_admin', 'tenant_user'] as const satisfies readonly MemberRole[];
export const platformRoles = [
  'platform_admin',
  'tenant_owner',
  'auditor',
  'service',
] as const satisfies readonly PlatformRole[];
export const principalTypes = ['user', 'service'] as const satisfies readonly PrincipalType[];

const name = { max: NAME_LENGTH_MAX, check: refuseSecret };
const email = {
  max: EMAIL_LENGTH_MAX,
  pattern: /^[^\s@]+@[^\s@]+$/,
  form: 'an e-mail address',
  check: refuseSecret,
};
const scope = {
  max: 256,
  pattern: /^[a-z0-9_*-]+(:[a-z0-9_*-]+){0,3}$/,
  form: 'a scope such as storage:read or storage:*',
};
const days = { min: 1, max: POLICY_DAYS_MAX, optional: true };
const keys = { min: 1, max: POLICY_KEYS_MAX, optional: true };

export class TenantPath {
  @IdField()
  tenantId!: string;
}

export class ProjectPath {
  @IdField()
  projectId!: string;
}

export class MemberPath extends ProjectPath {
  @IdField()
  userId!: string;
}

/** In the form of the catalogue's names, which is another service's: what is granted need not stand in it yet. */
const service = {
  max: 63,
  pattern: /^[a-z][a-z0-9._-]*$/,
  form: 'a service such as container-compute',
  check: refuseSecret,
};

export class ServiceAccessPath extends MemberPath {
  @TextField(service)
  service!: string;
}

export class UserPath extends TenantPath {
  @IdField()
  userId!: string;
}

export class PrincipalPath {
  @IdField()
  principalId!: string;
}

export class CreateTenantBody {
  @IdField()
  id!: string;

  @TextField({ ...name, example: 'National Weather Service' })
  name!: string;
}

export class CreateProjectBody {
  @IdField({ description: 'The project code, unique on the platform.', example: 'GOV112345' })
  id!: string;

  @TextField({ ...name, example: 'Weather models' })
  name!: string;
}

export class PutMemberBody {
  @EnumField(memberRoles)
  role!: MemberRole;

  @TextField({ ...name, optional: true, nullable: true, description: 'Absent leaves it as it is, null clears it.' })
  displayName?: string | null;

  @TextField({ ...email, optional: true, nullable: true, description: 'Absent leaves it as it is, null clears it.' })
  email?: string | null;
}

export const dispositions = ['block', 'orphan', 'transfer'] as const satisfies readonly Disposition[];

const disposition = {
  optional: true,
  description:
    'What becomes of what the member uses and reserves: `block` refuses while there is any, `orphan` leaves it as it is, `transfer` gives it to the member `to`.',
};
const to = { optional: true, description: 'Who takes it over; with `transfer` only.' };

export class RemovalQuery {
  @EnumField(dispositions, disposition)
  disposition: Disposition = 'block';

  @IdField(to)
  to?: string;
}

export class OffboardBody {
  @EnumField(dispositions, disposition)
  disposition: Disposition = 'block';

  @IdField(to)
  to?: string;

  @TextField({ max: COMMENT_LENGTH_MAX, optional: true, description: 'Why; stored as private.' })
  comment?: string;
}

export class PutPrincipalBody {
  @EnumField(principalTypes)
  type!: PrincipalType;

  @EnumField(platformRoles)
  role!: PlatformRole;

  @IdField({ optional: true, nullable: true, description: 'The tenant it belongs to; absent for the platform.' })
  tenantId?: string | null;
}

/** The rules of a key policy; one that is absent limits nothing. Days are 86,400,000 ms. */
export class KeyPolicyBody {
  @IntegerField({ ...days, description: 'From the event that last set the expiry until the expiry.' })
  maxLifetimeDays?: number;

  @IntegerField({ ...days, description: 'The life of a key that is created without an expiry.' })
  defaultLifetimeDays?: number;

  @BooleanField({ optional: true })
  requireExpiry?: boolean;

  @IntegerField(days)
  maxExtensionDays?: number;

  @IntegerField({ ...days, description: 'From the creation until the expiry, over all extensions.' })
  maxTotalLifetimeDays?: number;

  @IntegerField(keys)
  maxKeysPerOwner?: number;

  @IntegerField(keys)
  maxKeysPerProject?: number;

  @TextListField({ ...scope, itemsMax: ALLOWED_SCOPES_MAX, optional: true })
  allowedScopes?: string[];

  @BooleanField({ optional: true, description: 'Whether every key needs a list of allowed addresses.' })
  requireIpAllow?: boolean;

  @IntegerListField({
    min: 1,
    max: POLICY_DAYS_MAX,
    itemsMax: WARN_DAYS_ITEMS_MAX,
    optional: true,
    description: 'How many days before the expiry its warnings are written.',
  })
  warnDays?: number[];
}

class SearchQuery extends PageQuery {
  @TextField({ max: QUERY_LENGTH_MAX, optional: true, description: 'A part of an id or a name, in any case.' })
  q?: string;
}

const sortOptions = { optional: true, description: 'A minus sorts from the last to the first.' };

export const tenantSorts = ['id', '-id', 'name', '-name', 'createdAt', '-createdAt'] as const;

export class TenantsQuery extends SearchQuery {
  @EnumField(['active', 'suspended'], { optional: true })
  status?: string;

  @EnumField(tenantSorts, sortOptions)
  sort: (typeof tenantSorts)[number] = 'id';
}

export class ProjectsQuery extends SearchQuery {
  @IdField({ optional: true })
  tenantId?: string;

  @EnumField(['active', 'closed'], { optional: true })
  status?: string;

  @EnumField(tenantSorts, sortOptions)
  sort: (typeof tenantSorts)[number] = 'id';
}

export const memberSorts = ['userId', '-userId', 'displayName', '-displayName', 'addedAt', '-addedAt'] as const;

export class MembersQuery extends PageQuery {
  @TextField({
    max: QUERY_LENGTH_MAX,
    optional: true,
    description: 'A part of the user id, the name or the e-mail, in any case.',
  })
  q?: string;

  @EnumField(memberRoles, { optional: true })
  role?: string;

  @EnumField(['active', 'suspended'], { optional: true })
  status?: string;

  @EnumField(memberSorts, sortOptions)
  sort: (typeof memberSorts)[number] = 'userId';
}

export const principalSorts = ['id', '-id', 'createdAt', '-createdAt'] as const;

export class PrincipalsQuery extends PageQuery {
  @IdField({ optional: true })
  tenantId?: string;

  @EnumField(principalTypes, { optional: true })
  type?: string;

  @EnumField(platformRoles, { optional: true })
  role?: string;

  @EnumField(['active', 'removed'], { optional: true })
  status?: string;

  @EnumField(principalSorts, sortOptions)
  sort: (typeof principalSorts)[number] = 'id';
}

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

/** The rules that were given, and no others. */
export function policyOf(body: KeyPolicyBody): KeyPolicy {
  return Object.fromEntries(Object.entries(body).filter(([, rule]) => rule !== undefined));
}

/** Absent stays absent: it leaves what stands as it is. */
export function profileOf({ displayName, email }: PutMemberBody): ProfileChange {
  return { ...(displayName === undefined ? {} : { displayName }), ...(email === undefined ? {} : { email }) };
}

/** `to` belongs to a transfer, and a transfer needs it. */
export function removalOf({ disposition, to }: RemovalQuery, where: string): Removal {
  const message =
    disposition === 'transfer'
      ? to === undefined && 'is needed for a transfer'
      : to !== undefined && 'is given for a transfer only';
  if (message !== false) {
    const location = `${where}.to`;
    throw new Refusal('VALIDATION', `${location} ${message}.`, { errors: [{ location, message }] });
  }
  return { disposition, to: to ?? null };
}

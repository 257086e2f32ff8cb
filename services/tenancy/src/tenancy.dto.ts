import type { Disposition, KeyPolicy, MemberRole, PlatformRole, PrincipalType } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import {
  BooleanField,
  EnumField,
  IdField,
  IntegerField,
  IntegerListField,
  PageQuery,
  TextField,
  TextListField,
} from '#libs/platform';
import { ALLOWED_SCOPES_MAX, POLICY_DAYS_MAX, POLICY_KEYS_MAX, WARN_DAYS_ITEMS_MAX } from './domain/key-policy.js';
import type { ProfileChange, Removal } from './domain/project.js';
import { email, memberRoles, name, platformRoles, principalTypes, service } from './tenancy.fields.js';

/** Every request of tenancy; the answers are in tenancy.views.ts. */

const QUERY_LENGTH_MAX = 100;
const COMMENT_LENGTH_MAX = 1_000;

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

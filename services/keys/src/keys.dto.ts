import type { JsonValue, KeyOwnerType, MemberRole, RevocationReason } from '#libs/contracts';
import {
  BooleanField,
  CustomField,
  EnumField,
  IdField,
  IntegerField,
  KeyIdField,
  ObjectField,
  PAGE_LIMIT_DEFAULT,
  PAGE_LIMIT_MAX,
  PageQuery,
  refuseSecret,
  TextField,
  TextListField,
  TextMapField,
  TimeField,
} from '#libs/platform';
import { canonicalCidr } from './ip-ranges.js';
import { ENVIRONMENT_PATTERN } from './key-secret.js';

/** Every request of keys but those of verification; the answers stand in keys.views.ts. */

const SCOPES_MAX = 256;
const AUDIENCES_MAX = 32;
const CIDRS_MAX = 64;
const LABELS_MAX = 32;
const METADATA_BYTES_MAX = 4096;
const METADATA_KEYS_MAX = 64;
const LIFETIME_DAYS_MAX = 3650;
const OVERLAP_SECONDS_MAX = 2_592_000;
export const BULK_IDS_MAX = 1_000;

export const ownerTypes = ['user', 'service', 'project'] as const satisfies readonly KeyOwnerType[];
export const revocationReasons = [
  'compromised',
  'rotated',
  'offboarded',
  'unused',
  'policy',
  'other',
] as const satisfies readonly RevocationReason[];
export const bulkActions = ['delete', 'extend', 'disable', 'enable', 'revoke'] as const;

const optional = { optional: true } as const;
const clearable = { optional: true, nullable: true } as const;
const name = { max: 100, check: refuseSecret };
const description = { max: 500, check: refuseSecret };
const label = {
  keysMax: LABELS_MAX,
  key: { max: 63, pattern: /^[a-z0-9._/-]+$/, form: 'of a-z 0-9 . _ / -' },
  value: { min: 0, max: 255, check: refuseSecret },
};
const scopes = {
  max: 256,
  itemsMax: SCOPES_MAX,
  pattern: /^[a-z0-9_*-]+(:[a-z0-9_*-]+){0,3}$/,
  form: 'a scope such as storage:read or storage:*',
};
const audiences = { max: 64, itemsMax: AUDIENCES_MAX, pattern: /^[a-z0-9._-]+$/, form: 'the name of a service' };
const cidrs = {
  max: 49,
  itemsMax: CIDRS_MAX,
  check: (text: string) => (canonicalCidr(text) === undefined ? 'must be an address or a CIDR' : undefined),
};

function metadataFault(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'must be an object';
  if (Object.keys(value).length > METADATA_KEYS_MAX) return `must have at most ${METADATA_KEYS_MAX} entries`;
  const json = JSON.stringify(value);
  if (Buffer.byteLength(json) > METADATA_BYTES_MAX) return `must have at most ${METADATA_BYTES_MAX} bytes as JSON`;
  return refuseSecret(json);
}

const metadataSchema = { type: 'object', additionalProperties: true, maxProperties: METADATA_KEYS_MAX };
const MetadataField = (options: { optional: true; nullable?: true }): PropertyDecorator =>
  CustomField(metadataFault, metadataSchema, options);

export const DIGEST_PATTERN = /^[0-9a-f]{64}$/;
const digest = { min: 64, max: 64, pattern: DIGEST_PATTERN, form: 'the lower-case hex SHA-256 of the whole token' };
const overlap = { min: 0, max: OVERLAP_SECONDS_MAX };
const days = { min: 1, max: LIFETIME_DAYS_MAX };

export class KeyPath {
  @KeyIdField()
  keyId!: string;
}

export class ProjectPath {
  @IdField()
  projectId!: string;
}

export class PrincipalPath {
  @IdField()
  principalId!: string;
}

export class OwnerBody {
  @EnumField(ownerTypes)
  type!: KeyOwnerType;

  @IdField()
  id!: string;
}

/** What a key of a principal and a key of a project are both made with. */
export class CreatePrincipalKeyBody {
  @TextField({ ...name, ...clearable, description: 'In the open: no place for personal data.' })
  name?: string | null;

  @TextListField({ ...scopes, ...clearable, description: 'Null or absent is all of the owner’s, [] is none.' })
  scopes?: string[] | null;

  @TextListField({ ...audiences, ...optional, description: 'The services that take the key; none named is all.' })
  audiences?: string[];

  @TextListField({ ...cidrs, ...optional })
  ipAllow?: string[];

  @TimeField({ ...clearable, description: 'Null is never, absent is what the policy says.' })
  expiresAt?: string | null;

  @IntegerField({ ...days, ...optional, description: 'Instead of expiresAt.' })
  ttlDays?: number;

  @BooleanField(optional)
  canManageKeys?: boolean;
}

export class CreateKeyBody extends CreatePrincipalKeyBody {
  @ObjectField(() => OwnerBody, { ...optional, description: 'The caller, if absent.' })
  owner?: OwnerBody;

  @EnumField(['tenant_user', 'tenant_admin'], { ...optional, description: 'In which a project-owned key acts.' })
  role?: MemberRole;

  @TextField({ ...description, ...clearable })
  description?: string | null;

  @TextMapField({ ...label, ...optional })
  labels?: Record<string, string>;

  @MetadataField(optional)
  metadata?: Record<string, JsonValue>;

  @TextField({ max: 8, pattern: ENVIRONMENT_PATTERN, form: '1 to 8 of a-z 0-9', ...optional })
  environment?: string;

  @TextListField({ ...cidrs, ...optional })
  ipDeny?: string[];

  @TimeField(clearable)
  notBefore?: string | null;

  @KeyIdField({ ...optional, description: 'Of a key that the client made, together with secretDigest.' })
  keyId?: string;

  @TextField({ ...digest, ...optional })
  secretDigest?: string;
}

/** Absent leaves a field as it is, null clears it. */
export class UpdateKeyBody {
  @TextField({ ...name, ...clearable })
  name?: string | null;

  @TextField({ ...description, ...clearable })
  description?: string | null;

  @TextMapField({ ...label, ...clearable })
  labels?: Record<string, string> | null;

  @MetadataField(clearable)
  metadata?: Record<string, JsonValue> | null;

  @TextListField({ ...scopes, ...clearable, description: 'Null is all of the owner’s, [] is none.' })
  scopes?: string[] | null;

  @TextListField({ ...audiences, ...clearable })
  audiences?: string[] | null;

  @TextListField({ ...cidrs, ...clearable })
  ipAllow?: string[] | null;

  @TextListField({ ...cidrs, ...clearable })
  ipDeny?: string[] | null;

  @TimeField(clearable)
  notBefore?: string | null;
}

export class ExtendKeyBody {
  @IntegerField({
    ...days,
    ...optional,
    description: 'Days of 86,400,000 ms, from the expiry, or from now if it is past.',
  })
  days?: number;

  @TimeField({ ...optional, description: 'Instead of days.' })
  until?: string;
}

export class RotateKeyBody {
  @IntegerField({ ...overlap, ...optional, description: 'How long the old secret stays valid; a day if absent.' })
  overlapSeconds: number = 86_400;

  @TextField({ ...digest, ...optional, description: 'Of a secret that the client made.' })
  secretDigest?: string;
}

export class RetireSecretBody {
  @IntegerField({ min: 1, max: 1_000_000 })
  version!: number;
}

const comment = { max: 1_000, ...clearable, description: 'Free text, stored as a private part.' };

export class RevokeKeyBody {
  @EnumField(revocationReasons)
  reason!: RevocationReason;

  @TextField(comment)
  comment?: string | null;
}

export class TransferKeyBody {
  @ObjectField(() => OwnerBody)
  owner!: OwnerBody;

  @EnumField(['tenant_user', 'tenant_admin'], { ...optional, description: 'In which a project-owned key acts.' })
  role?: MemberRole;
}

/** What a list or a bulk action looks for; all that is given must hold. */
export class KeyFilterBody {
  @IdField(optional)
  projectId?: string;

  @IdField(optional)
  ownerId?: string;

  @TextListField({ max: 16, itemsMax: 5, pattern: /^(scheduled|active|expired|disabled|revoked)$/, ...optional })
  status?: string[];

  @TextListField({ max: 319, itemsMax: 8, ...optional, description: '`name=value`, or `name` for any value.' })
  label?: string[];

  @TextField({ max: 256, ...optional, description: 'One of the scopes that the key itself was given.' })
  scope?: string;

  @TimeField(optional)
  expiresBefore?: string;

  @TimeField(optional)
  expiresAfter?: string;

  @TimeField({ ...optional, description: 'Used, but not since.' })
  lastUsedBefore?: string;

  @BooleanField(optional)
  neverUsed?: boolean;

  @TextField({ max: 100, ...optional, description: 'A part of the name or the start of the ID, in any case.' })
  q?: string;
}

export const keySorts = [
  'createdAt',
  '-createdAt',
  'expiresAt',
  '-expiresAt',
  'lastUsedAt',
  '-lastUsedAt',
  'name',
  '-name',
] as const;
export type KeySort = (typeof keySorts)[number];

export class ListKeysQuery extends KeyFilterBody {
  @IntegerField({ min: 1, max: PAGE_LIMIT_MAX, ...optional, description: 'How many items a page has.' })
  limit: number = PAGE_LIMIT_DEFAULT;

  @TextField({ max: 2048, ...optional, description: '`page.nextCursor` of the page before.' })
  cursor?: string;

  @EnumField(keySorts, { ...optional, description: 'A minus sorts from the last to the first.' })
  sort: KeySort = '-createdAt';

  @BooleanField({ ...optional, description: 'Whether to count what the filter matches, up to 10,000.' })
  count?: boolean;
}

export class BulkKeysBody {
  @EnumField(bulkActions)
  action!: (typeof bulkActions)[number];

  @TextListField({
    min: 20,
    max: 20,
    pattern: /^key_[0-9A-Za-z]{16}$/,
    form: 'key_ and 16 of 0-9 A-Z a-z',
    itemsMin: 1,
    itemsMax: BULK_IDS_MAX,
    ...optional,
  })
  ids?: string[];

  @ObjectField(() => KeyFilterBody, { ...optional, description: 'Instead of ids, with expectedCount.' })
  filter?: KeyFilterBody;

  @IntegerField({ min: 0, max: BULK_IDS_MAX, ...optional, description: 'How many keys the filter must match.' })
  expectedCount?: number;

  @IntegerField({ ...days, ...optional, description: 'For extend.' })
  days?: number;

  @EnumField(revocationReasons, { ...optional, description: 'For revoke.' })
  reason?: RevocationReason;

  @TextField(comment)
  comment?: string | null;

  @BooleanField(optional)
  dryRun?: boolean;
}

export class HistoryQuery extends PageQuery {}

export class ImportKeysQuery {
  @BooleanField(optional)
  dryRun?: boolean;
}

/** One line of an import. */
export class ImportLine {
  @IdField()
  projectId!: string;

  @TextField({ max: 64, description: 'SHA-256 of the whole token: 64 hex, or base64, or base64url.' })
  digest!: string;

  @ObjectField(() => OwnerBody)
  owner!: OwnerBody;

  @TextField({ ...name, ...clearable })
  name?: string | null;

  @TextListField({ ...scopes, ...clearable })
  scopes?: string[] | null;

  @TimeField(clearable)
  expiresAt?: string | null;

  @TextMapField({ ...label, ...optional })
  labels?: Record<string, string>;

  @MetadataField(optional)
  metadata?: Record<string, JsonValue>;
}

import type { JsonValue, KeyOwner } from '#libs/contracts';
import type { Position } from '#libs/eventsourcing';
import {
  BooleanField,
  EnumField,
  IdField,
  IntegerField,
  JsonField,
  KeyIdField,
  ObjectField,
  ObjectListField,
  TextField,
  TextListField,
  TextMapField,
  TimeField,
} from '#libs/platform';
import { type Key, maskedOf, type KeyStatus, statusOf } from './domain/key-state.js';
import type { LastUsed } from './usage/last-uses.js';

/** Keys as callers see them, and the other answers: no part of a secret or a verifier but the one token that is shown. */

const ID = { max: 64 };
const nullable = { nullable: true } as const;
const REVISION_MAX = Number.MAX_SAFE_INTEGER;

class OwnerView {
  @EnumField(['user', 'service', 'project'])
  type!: KeyOwner['type'];

  @IdField()
  id!: string;

  @TextField({
    max: 16,
    description: 'The role at creation or transfer; what the key may do follows the role of today.',
  })
  role!: KeyOwner['role'];
}

class CreatedByView {
  @EnumField(['user', 'service', 'project', 'system'])
  type!: string;

  @IdField()
  id!: string;
}

export class SecretVersionView {
  @IntegerField({ min: 1, max: REVISION_MAX })
  version!: number;

  @TimeField()
  createdAt!: string;

  @TimeField({ ...nullable, description: 'The first instant at which it is no longer valid; null = with the key.' })
  retiresAt!: string | null;

  @TimeField({ ...nullable, description: 'To the minute.' })
  lastUsedAt!: string | null;

  @TextField(ID)
  pepperVersion!: string;

  @EnumField(['steward', 'client'])
  madeBy!: 'steward' | 'client';
}

export class KeyView {
  @KeyIdField()
  id!: string;

  @TextField({ ...ID, example: 'stw_live_9DC9…' })
  masked!: string;

  @TextField({ max: 100, ...nullable })
  name!: string | null;

  @TextField({ max: 500, ...nullable })
  description!: string | null;

  @IdField({ ...nullable, description: 'Null for a principal’s own key.' })
  projectId!: string | null;

  @IdField(nullable)
  tenantId!: string | null;

  @ObjectField(() => OwnerView)
  owner!: OwnerView;

  @TextField({ max: 8 })
  environment!: string;

  @TextListField({ max: 256, itemsMax: 256, ...nullable, description: 'Null is all of the owner’s, [] is none.' })
  scopes!: readonly string[] | null;

  @TextListField({ max: 64, itemsMax: 32 })
  audiences!: readonly string[];

  @TextListField({ max: 49, itemsMax: 64 })
  ipAllow!: readonly string[];

  @TextListField({ max: 49, itemsMax: 64 })
  ipDeny!: readonly string[];

  @TextMapField({ keysMax: 32, key: { max: 63 }, value: { min: 0, max: 255 } })
  labels!: Readonly<Record<string, string>>;

  @JsonField({ sizeBytesMax: 4096, keysMax: 64 })
  metadata!: Readonly<Record<string, JsonValue>>;

  @EnumField(['scheduled', 'active', 'expired', 'disabled', 'revoked', 'deleted'])
  status!: KeyStatus;

  @BooleanField()
  canManageKeys!: boolean;

  @TimeField()
  createdAt!: string;

  @ObjectField(() => CreatedByView)
  createdBy!: CreatedByView;

  @TimeField(nullable)
  notBefore!: string | null;

  @TimeField(nullable)
  expiresAt!: string | null;

  @TimeField({ ...nullable, description: 'To the minute.' })
  lastUsedAt!: string | null;

  @ObjectListField(() => SecretVersionView, { itemsMax: 1_000_000 })
  secretVersions!: readonly SecretVersionView[];

  @IntegerField({ min: 1, max: REVISION_MAX, description: 'The revision, as in the ETag.' })
  version!: number;

  @TextField({ ...ID, ...nullable })
  position!: Position | null;
}

class ShownSecret {
  @ObjectField(() => KeyView)
  key!: KeyView;

  @TextField({ max: 512, ...nullable, description: 'The whole token, shown this once; null if the client made it.' })
  secret!: string | null;

  @EnumField(['SECRET_ALREADY_RETURNED'], { optional: true, description: 'Of a repeated request.' })
  code?: 'SECRET_ALREADY_RETURNED';
}

export class CreatedKeyView extends ShownSecret {}

export class RotatedKeyView extends ShownSecret {
  @TimeField({ description: 'When the secret before it stops.' })
  retiresAt!: string;
}

class KeyPageInfo {
  @TextField({ max: 2048, ...nullable })
  nextCursor!: string | null;

  @BooleanField()
  hasMore!: boolean;

  @IntegerField({ min: 0, max: 10_000, optional: true, description: 'With count=true: what the filter matches.' })
  total?: number;

  @BooleanField({ optional: true, description: 'With count=true: whether there are more than total.' })
  totalIsCapped?: boolean;
}

export class KeyList {
  @ObjectListField(() => KeyView, { itemsMax: 200 })
  data!: KeyView[];

  @ObjectField(() => KeyPageInfo)
  page!: KeyPageInfo;
}

class BulkResultView {
  @KeyIdField()
  id!: string;

  @IntegerField({ min: 200, max: 599, description: 'As an HTTP status.' })
  status!: number;

  @TextField({ ...ID, optional: true, description: 'An error code.' })
  code?: string;

  @ObjectField(() => KeyView, { optional: true })
  key?: KeyView;
}

export class BulkKeysView {
  @ObjectListField(() => BulkResultView, { itemsMax: 1_000 })
  results!: BulkResultView[];

  @TextField(ID)
  correlationId!: string;
}

class ImportFailureView {
  @IntegerField({ min: 1, max: REVISION_MAX })
  line!: number;

  @TextField(ID)
  code!: string;

  @TextField({ max: 1_000 })
  message!: string;
}

export class ImportedKeysView {
  @IntegerField({ min: 0, max: REVISION_MAX })
  imported!: number;

  @IntegerField({ min: 0, max: REVISION_MAX })
  unchanged!: number;

  @ObjectListField(() => ImportFailureView, { itemsMax: 10_000 })
  failed!: ImportFailureView[];

  @IntegerField({ min: 0, max: REVISION_MAX })
  failedCount!: number;
}

/** Where the ledger stood when the key was so. */
export interface KeyPlace {
  readonly revision: number;
  readonly position: Position | null;
}

export function keyView(key: Key, { revision, position }: KeyPlace, lastUsed: LastUsed, at: string): KeyView {
  return {
    id: key.keyId,
    masked: maskedOf(key),
    name: key.name,
    description: key.description,
    projectId: key.projectId,
    tenantId: key.tenantId,
    owner: key.owner,
    environment: key.environment,
    scopes: key.scopes,
    audiences: key.audiences,
    ipAllow: key.ipAllow,
    ipDeny: key.ipDeny,
    labels: key.labels,
    metadata: key.metadata,
    status: statusOf(key, at),
    canManageKeys: key.canManageKeys,
    createdAt: key.createdAt,
    createdBy: { type: key.createdBy.type, id: key.createdBy.id },
    notBefore: key.notBefore,
    expiresAt: key.expiresAt,
    lastUsedAt: lastUsed.at,
    secretVersions: key.secrets.map((secret) => ({
      ...secret,
      lastUsedAt: lastUsed.byVersion[String(secret.version)] ?? null,
    })),
    version: revision,
    position,
  };
}

import type { JsonValue, KeyOwner } from '#libs/contracts';
import type { Position } from '#libs/eventsourcing';
import { type Key, maskedOf, type KeyStatus, statusOf } from './domain/key-state.js';
import type { LastUsed } from './last-used.js';

/** A key as callers see it: never any part of a secret or a verifier. */
export interface KeyView {
  readonly id: string;
  readonly masked: string;
  readonly name: string | null;
  readonly description: string | null;
  readonly projectId: string | null;
  readonly tenantId: string | null;
  readonly owner: KeyOwner;
  readonly environment: string;
  readonly scopes: readonly string[] | null;
  readonly audiences: readonly string[];
  readonly ipAllow: readonly string[];
  readonly ipDeny: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, JsonValue>>;
  readonly status: KeyStatus;
  readonly canManageKeys: boolean;
  readonly createdAt: string;
  readonly createdBy: { readonly type: string; readonly id: string };
  readonly notBefore: string | null;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly secretVersions: readonly SecretVersionView[];
  /** The stream's revision, as in the ETag. */
  readonly version: number;
  readonly position: Position | null;
}

export interface SecretVersionView {
  readonly version: number;
  readonly createdAt: string;
  readonly retiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly pepperVersion: string;
  readonly madeBy: 'steward' | 'client';
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

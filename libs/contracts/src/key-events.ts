import type { Role } from './tenancy-events.js';

/** The published events of API keys. Fields and meaning: docs/events.md; a field is always present, unknown scalars are null. */

export type KeyOwnerType = 'user' | 'service' | 'project';

export interface KeyOwner {
  type: KeyOwnerType;
  id: string;
  /** The role at the time of the event; what the key may do follows the owner's role now. */
  role: Role;
}

export type JsonValue = null | boolean | number | string | JsonValue[] | { [field: string]: JsonValue };

/** What a key is made with. Lists are without duplicates and sorted by UTF-8 bytes; times are RFC 3339 UTC with ms. */
export interface KeyAttributes {
  keyId: string;
  owner: KeyOwner;
  name: string | null;
  description: string | null;
  labels: Record<string, string>;
  metadata: Record<string, JsonValue>;
  environment: string;
  /** null = all of the owner's; [] = none. */
  scopes: string[] | null;
  audiences: string[];
  ipAllow: string[];
  ipDeny: string[];
  notBefore: string | null;
  expiresAt: string | null;
  canManageKeys: boolean;
}

export interface FirstSecret {
  version: 1;
  pepperVersion: string;
  madeBy: 'steward' | 'client';
}

/** The private part `verifier`: hex HMAC-SHA-256 under the pepper of the SHA-256 of the token. */
export interface VerifierPart {
  hmac: string;
}

export type EditableKeyField =
  'name' | 'description' | 'labels' | 'metadata' | 'scopes' | 'audiences' | 'ipAllow' | 'ipDeny' | 'notBefore';

/** One changed field with its whole value before and after. */
export interface KeyChange {
  field: EditableKeyField;
  from: JsonValue;
  to: JsonValue;
}

export type RevocationReason = 'compromised' | 'rotated' | 'offboarded' | 'unused' | 'policy' | 'other';

type NoData = Record<string, never>;
type WithVerifier = { private?: { verifier: VerifierPart } };

export type KeyEvent =
  | ({ type: 'KeyCreated'; data: KeyAttributes & { secret: FirstSecret } } & WithVerifier)
  | ({ type: 'KeyImported'; data: KeyAttributes & { secret: FirstSecret } } & WithVerifier)
  | { type: 'KeyUpdated'; data: { changes: KeyChange[] } }
  | { type: 'KeyExtended'; data: { from: string; to: string; days: number | null } }
  | ({
      type: 'KeyRotated';
      data: {
        version: number;
        pepperVersion: string;
        madeBy: 'steward' | 'client';
        previousVersion: number;
        previousRetiresAt: string;
      };
    } & WithVerifier)
  | { type: 'KeySecretRetired'; data: { version: number } }
  | { type: 'KeyDisabled'; data: NoData }
  | { type: 'KeyEnabled'; data: NoData }
  | { type: 'KeyRevoked'; data: { reason: RevocationReason } }
  | { type: 'KeyDeleted'; data: { dataKeys: string[] } }
  | { type: 'KeyExpired'; data: { expiresAt: string } }
  | { type: 'KeyExpiryWarned'; data: { thresholdDays: number; expiresAt: string } }
  | { type: 'KeyOwnershipTransferred'; data: { from: KeyOwner; to: KeyOwner } }
  | ({ type: 'KeyVerifierUpgraded'; data: { version: number; from: string; to: string } } & WithVerifier);

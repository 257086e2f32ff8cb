import type { JsonValue, KeyAttributes, KeyOwner, RevocationReason } from '#libs/contracts';
import type { CallerBounds } from './delegation.js';
import type { EffectiveKeyPolicy, KeyCounts } from './key-policy.js';

/** What can be asked of one API key. Facts of other streams (owner, policies, counts) come in with the command. */

/** A secret that was made outside: only what is kept of it comes in. */
export interface NewSecret {
  readonly pepperVersion: string;
  readonly madeBy: 'steward' | 'client';
  /** Hex HMAC-SHA-256 under that pepper of the SHA-256 of the token. */
  readonly hmac: string;
}

export type ExpiryWish =
  | { readonly kind: 'default' }
  | { readonly kind: 'never' }
  | { readonly kind: 'at'; readonly time: string }
  | { readonly kind: 'days'; readonly days: number };

/** What a caller may choose of a new key; lists in any order, CIDRs canonical. */
export type KeyWish = Omit<KeyAttributes, 'keyId' | 'owner' | 'expiresAt'> & { readonly expiry: ExpiryWish };

/** What is so at this moment in other streams. */
export interface NewKeyFacts {
  readonly place: 'open' | 'projectClosed' | 'tenantSuspended';
  /** Null if there is no such active owner. */
  readonly owner: KeyOwner | null;
  /** Those of the wished scopes that the owner's role can do nothing with. */
  readonly scopesBeyondOwner: readonly string[];
  /** The services named by the wished scopes that the owner has no access to. */
  readonly servicesWithheld: readonly string[];
  readonly policy: EffectiveKeyPolicy;
  readonly counts: KeyCounts;
  readonly caller: CallerBounds | null;
}

/** What the creation and the import of a key have in common. */
export interface NewKey {
  readonly keyId: string;
  readonly wish: KeyWish;
  readonly secret: NewSecret;
  readonly facts: NewKeyFacts;
}

export type CreateKey = NewKey & { readonly type: 'CreateKey' };
export type ImportKey = NewKey & {
  readonly type: 'ImportKey';
  readonly tenantId: string | null;
  readonly projectId: string | null;
};

/** Absent fields stay, null clears. */
export interface KeyEdits {
  readonly name?: string | null;
  readonly description?: string | null;
  readonly labels?: Readonly<Record<string, string>> | null;
  readonly metadata?: Readonly<Record<string, JsonValue>> | null;
  readonly scopes?: readonly string[] | null;
  readonly audiences?: readonly string[] | null;
  readonly ipAllow?: readonly string[] | null;
  readonly ipDeny?: readonly string[] | null;
  readonly notBefore?: string | null;
}

export interface UpdateKey {
  readonly type: 'UpdateKey';
  readonly edits: KeyEdits;
  /** Those of the edited scopes that the owner's role can do nothing with. */
  readonly scopesBeyondOwner?: readonly string[];
  /** The services named by the edited scopes that the owner has no access to. */
  readonly servicesWithheld?: readonly string[];
  readonly policy: EffectiveKeyPolicy;
  readonly caller: CallerBounds | null;
}

export interface ExtendKey {
  readonly type: 'ExtendKey';
  readonly by: { readonly days: number } | { readonly until: string };
  readonly policy: EffectiveKeyPolicy;
  /** Of the keys beside this one. */
  readonly counts: KeyCounts;
  readonly caller: CallerBounds | null;
}

export interface RotateKey {
  readonly type: 'RotateKey';
  readonly overlapSeconds: number;
  readonly secret: NewSecret;
  readonly caller: CallerBounds | null;
}

export interface TransferKey {
  readonly type: 'TransferKey';
  readonly owner: KeyOwner | null;
  readonly policy: EffectiveKeyPolicy;
  /** Of the keys beside this one, at the new owner. */
  readonly counts: KeyCounts;
  readonly caller: CallerBounds | null;
}

export type KeyCommand =
  | CreateKey
  | ImportKey
  | UpdateKey
  | ExtendKey
  | RotateKey
  | TransferKey
  | { readonly type: 'RetireSecret'; readonly version: number }
  | { readonly type: 'DisableKey' }
  | { readonly type: 'EnableKey'; readonly caller: CallerBounds | null }
  | { readonly type: 'RevokeKey'; readonly reason: RevocationReason }
  /** Its owner has left; null = its project is closed, whoever owns it. */
  | { readonly type: 'OffboardKey'; readonly owner: Pick<KeyOwner, 'type' | 'id'> | null }
  | { readonly type: 'DeleteKey'; readonly dataKeys: readonly string[] }
  | { readonly type: 'RecordExpiry'; readonly expiresAt: string }
  | { readonly type: 'WarnExpiry'; readonly expiresAt: string; readonly thresholdDays: number }
  | {
      readonly type: 'UpgradeVerifier';
      readonly version: number;
      readonly from: string;
      readonly to: string;
      readonly hmac: string;
    };

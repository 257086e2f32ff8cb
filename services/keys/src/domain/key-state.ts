import type { KeyAttributes, KeyEvent, KeyOwner, RevocationReason } from '#libs/contracts';
import type { Actor, EventMeta } from '#libs/eventsourcing';
import { addMs, DAY_MS, earliest } from './key-time.js';

/** One secret of a key. A time of `retiresAt` is the first instant at which it no longer counts. */
export interface KeySecret {
  readonly version: number;
  readonly pepperVersion: string;
  readonly madeBy: 'steward' | 'client';
  readonly createdAt: string;
  /** Null while nothing but the key's own expiry ends it. */
  readonly retiresAt: string | null;
}

/** What is known of a key for as long as its stream stands. */
export interface KeyFacts extends Readonly<KeyAttributes> {
  readonly tenantId: string | null;
  readonly projectId: string | null;
  readonly imported: boolean;
  readonly createdAt: string;
  readonly createdBy: Actor;
  readonly disabled: boolean;
  /** The recordedAt of the event that last set expiresAt; policies and warnings count from it. */
  readonly expirySetAt: string;
  /** True once KeyExpired was written for today's expiresAt. */
  readonly expiryRecorded: boolean;
  /** The thresholds that were warned of for today's expiresAt. */
  readonly warnedDays: readonly number[];
  /** By version, the oldest first; there is always one. */
  readonly secrets: readonly [KeySecret, ...KeySecret[]];
}

export type KeyLife =
  | { readonly kind: 'alive' }
  | { readonly kind: 'revoked'; readonly revokedAt: string; readonly reason: RevocationReason }
  | { readonly kind: 'deleted'; readonly deletedAt: string };

export type Key = KeyFacts & KeyLife;
export type AliveKey = KeyFacts & { readonly kind: 'alive' };
export type KeyState = { readonly kind: 'absent' } | Key;

export type KeyStatus = 'scheduled' | 'active' | 'expired' | 'disabled' | 'revoked' | 'deleted';

export const isExpired = (key: Pick<KeyFacts, 'expiresAt'>, at: string): boolean =>
  key.expiresAt !== null && key.expiresAt <= at;

/** What an owner sees of the key at that time; the owner's own state is not looked at. */
export function statusOf(key: Key, at: string): KeyStatus {
  if (key.kind !== 'alive') return key.kind;
  if (isExpired(key, at)) return 'expired';
  if (key.disabled) return 'disabled';
  return key.notBefore !== null && key.notBefore > at ? 'scheduled' : 'active';
}

/** The masked form, safe to show anywhere. */
export function maskedOf(key: Pick<KeyFacts, 'keyId' | 'environment' | 'imported'>): string {
  const lead = key.imported ? 'imported' : `stw_${key.environment}`;
  return `${lead}_${key.keyId.slice('key_'.length, 'key_'.length + 4)}…`;
}

export const isValidSecret = (secret: KeySecret, at: string): boolean =>
  secret.retiresAt === null || secret.retiresAt > at;

export const validSecrets = (key: KeyFacts, at: string): KeySecret[] =>
  key.secrets.filter((secret) => isValidSecret(secret, at));

export const sameOwner = (a: KeyOwner, b: KeyOwner): boolean => a.type === b.type && a.id === b.id && a.role === b.role;

/** When the warning of a threshold is due, or null where it never is: it was past already when the expiry was set. */
export function warningDueAt(
  key: { readonly expiresAt: string; readonly expirySetAt: string },
  thresholdDays: number,
): string | null {
  const dueAt = addMs(key.expiresAt, -thresholdDays * DAY_MS, 'expiresAt');
  return dueAt > key.expirySetAt ? dueAt : null;
}

/** The one warning that is due at that time: of several that were missed only the nearest to the expiry. */
export function dueWarning(
  key: Pick<KeyFacts, 'expiresAt' | 'expirySetAt' | 'warnedDays'>,
  warnDays: readonly number[],
  at: string,
): { thresholdDays: number; dueAt: string } | null {
  const { expiresAt, expirySetAt, warnedDays } = key;
  if (expiresAt === null || expiresAt <= at) return null;
  const due = warnDays
    .map((thresholdDays) => ({ thresholdDays, dueAt: warningDueAt({ expiresAt, expirySetAt }, thresholdDays) }))
    .filter((warning): warning is { thresholdDays: number; dueAt: string } => warning.dueAt !== null)
    .filter((warning) => warning.dueAt <= at && warnedDays.every((days) => days > warning.thresholdDays))
    .sort((a, b) => a.thresholdDays - b.thresholdDays);
  return due[0] ?? null;
}

function born(event: Extract<KeyEvent, { type: 'KeyCreated' | 'KeyImported' }>, meta: EventMeta): AliveKey {
  const { secret, ...attributes } = event.data;
  return {
    ...attributes,
    kind: 'alive',
    tenantId: meta.tenantId,
    projectId: meta.projectId,
    imported: event.type === 'KeyImported',
    createdAt: meta.recordedAt,
    createdBy: meta.actor,
    disabled: false,
    expirySetAt: meta.recordedAt,
    expiryRecorded: false,
    warnedDays: [],
    secrets: [{ ...secret, createdAt: meta.recordedAt, retiresAt: null }],
  };
}

function withSecret(key: Key, version: number, change: (secret: KeySecret) => KeySecret): KeyFacts['secrets'] {
  const changed = (secret: KeySecret): KeySecret => (secret.version === version ? change(secret) : secret);
  const [first, ...others] = key.secrets;
  return [changed(first), ...others.map(changed)];
}

function rotated(key: Key, event: Extract<KeyEvent, { type: 'KeyRotated' }>, meta: EventMeta): Key {
  const { version, pepperVersion, madeBy, previousVersion, previousRetiresAt } = event.data;
  const previous = withSecret(key, previousVersion, (secret) => ({ ...secret, retiresAt: previousRetiresAt }));
  return {
    ...key,
    secrets: [...previous, { version, pepperVersion, madeBy, createdAt: meta.recordedAt, retiresAt: null }],
  };
}

export function evolve(state: KeyState, event: KeyEvent, meta: EventMeta): KeyState {
  if (event.type === 'KeyCreated' || event.type === 'KeyImported') return born(event, meta);
  if (state.kind === 'absent') throw new Error(`A ${event.type} stands before the key's creation.`);
  switch (event.type) {
    case 'KeyUpdated':
      return { ...state, ...Object.fromEntries(event.data.changes.map(({ field, to }) => [field, to])) };
    case 'KeyExtended':
      return {
        ...state,
        expiresAt: event.data.to,
        expirySetAt: meta.recordedAt,
        expiryRecorded: false,
        warnedDays: [],
      };
    case 'KeyRotated':
      return rotated(state, event, meta);
    case 'KeySecretRetired': {
      const retire = (secret: KeySecret): KeySecret => ({
        ...secret,
        retiresAt: earliest(meta.recordedAt, secret.retiresAt),
      });
      return { ...state, secrets: withSecret(state, event.data.version, retire) };
    }
    case 'KeyDisabled':
      return { ...state, disabled: true };
    case 'KeyEnabled':
      return { ...state, disabled: false };
    case 'KeyRevoked':
      return { ...state, kind: 'revoked', revokedAt: meta.recordedAt, reason: event.data.reason };
    case 'KeyDeleted':
      return { ...state, kind: 'deleted', deletedAt: meta.recordedAt };
    case 'KeyExpired':
      return { ...state, expiryRecorded: true };
    case 'KeyExpiryWarned':
      return { ...state, warnedDays: [...state.warnedDays, event.data.thresholdDays] };
    case 'KeyOwnershipTransferred':
      return { ...state, owner: event.data.to };
    case 'KeyVerifierUpgraded': {
      const { version, to } = event.data;
      return { ...state, secrets: withSecret(state, version, (secret) => ({ ...secret, pepperVersion: to })) };
    }
  }
}

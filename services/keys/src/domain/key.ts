import type { EditableKeyField, JsonValue, KeyAttributes, KeyChange, KeyEvent, KeyOwner } from '#libs/contracts';
import { type Decider, jcs, Refusal } from '#libs/eventsourcing';
import type {
  CreateKey,
  ExpiryWish,
  ExtendKey,
  ImportKey,
  KeyCommand,
  KeyEdits,
  NewKey,
  NewSecret,
  RotateKey,
  TransferKey,
  UpdateKey,
} from './commands.js';
import { type CallerBounds, holdScopesToOwner, holdWithin } from './delegation.js';
import { type EffectiveKeyPolicy, holdToCounts, holdToExtension, holdToPolicy, type PolicyRule } from './key-policy.js';
import {
  type AliveKey,
  dueWarning,
  evolve,
  isExpired,
  isValidSecret,
  type Key,
  type KeyState,
  sameOwner,
  validSecrets,
} from './key-state.js';
import {
  addMs,
  DAY_MS,
  earliest,
  EXTENSION_DAYS_MAX,
  EXTENSION_GRACE_MS,
  LIFE_MS_MIN,
  msBetween,
  wrongField,
} from './key-time.js';
import { sortedSet } from './scopes.js';

/** The rules of one API key. */

export const VALID_SECRETS_MAX = 2;

function known(state: KeyState): Key {
  if (state.kind === 'absent' || state.kind === 'deleted') throw new Refusal('NOT_FOUND', 'There is no such key.');
  return state;
}

function alive(state: KeyState): AliveKey {
  const key = known(state);
  if (key.kind !== 'alive') throw new Refusal('KEY_REVOKED', 'A revoked key can only be deleted.');
  return key;
}

function holdUnexpired(key: AliveKey, at: string): void {
  if (isExpired(key, at))
    throw new Refusal('KEY_EXPIRED', 'An expired key can be renamed, revoked or deleted, and extended for 7 days.');
}

function unexpired(state: KeyState, at: string): AliveKey {
  const key = alive(state);
  holdUnexpired(key, at);
  return key;
}

function expiryOf(wish: ExpiryWish, policy: EffectiveKeyPolicy, at: string): string | null {
  switch (wish.kind) {
    case 'default':
      return policy.defaultLifetimeDays === null ? null : addMs(at, policy.defaultLifetimeDays * DAY_MS, 'expiresAt');
    case 'never':
      return null;
    case 'days':
      return addMs(at, wish.days * DAY_MS, 'ttlDays');
    case 'at':
      if (msBetween(at, wish.time) < LIFE_MS_MIN) throw wrongField('expiresAt', 'must lie at least 60 s ahead');
      return wish.time;
  }
}

function holdTimes(notBefore: string | null, expiresAt: string | null): void {
  if (notBefore !== null && expiresAt !== null && notBefore >= expiresAt)
    throw wrongField('notBefore', 'must lie before the expiry');
}

function newKey(command: NewKey, at: string): KeyAttributes {
  const { place, owner, scopesBeyondOwner, servicesWithheld, policy, counts, caller } = command.facts;
  if (place === 'projectClosed') throw new Refusal('PROJECT_CLOSED', 'A closed project gets no keys.');
  if (place === 'tenantSuspended') throw new Refusal('TENANT_IS_SUSPENDED', 'A suspended tenant gets no keys.');
  if (owner === null) throw new Refusal('OWNER_UNKNOWN', 'The owner is no active member or service here.');
  const { expiry, ...wish } = command.wish;
  const attributes: KeyAttributes = {
    ...wish,
    keyId: command.keyId,
    owner,
    scopes: wish.scopes === null ? null : sortedSet(wish.scopes),
    audiences: sortedSet(wish.audiences),
    ipAllow: sortedSet(wish.ipAllow),
    ipDeny: sortedSet(wish.ipDeny),
    expiresAt: expiryOf(expiry, policy, at),
  };
  holdTimes(attributes.notBefore, attributes.expiresAt);
  holdScopesToOwner(scopesBeyondOwner, servicesWithheld);
  holdWithin(caller, attributes);
  holdToPolicy(policy, { ...attributes, createdAt: at, expirySetAt: at });
  holdToCounts(policy, counts);
  return attributes;
}

const verifierOf = (secret: NewSecret): { verifier: { hmac: string } } => ({ verifier: { hmac: secret.hmac } });

function createKey(command: CreateKey, state: KeyState, at: string): KeyEvent[] {
  if (state.kind !== 'absent') throw new Refusal('KEY_ID_TAKEN', 'A key of this ID stands already.');
  const { pepperVersion, madeBy } = command.secret;
  const data = { ...newKey(command, at), secret: { version: 1 as const, pepperVersion, madeBy } };
  return [{ type: 'KeyCreated', data, private: verifierOf(command.secret) }];
}

function importKey(command: ImportKey, state: KeyState, at: string): KeyEvent[] {
  if (state.kind !== 'absent') {
    const here = state.tenantId === command.tenantId && state.projectId === command.projectId;
    if (!here) throw new Refusal('KEY_ID_TAKEN', 'This digest cannot be imported here.');
    if (state.kind === 'deleted') throw new Refusal('KEY_DELETED', 'The key of this digest was deleted.');
    return [];
  }
  const { pepperVersion, madeBy } = command.secret;
  const data = { ...newKey(command, at), secret: { version: 1 as const, pepperVersion, madeBy } };
  return [{ type: 'KeyImported', data, private: verifierOf(command.secret) }];
}

const asIs = (value: JsonValue): JsonValue => value;
const emptyMap = (value: JsonValue): JsonValue => value ?? {};
const list = (value: JsonValue): JsonValue => sortedSet((value ?? []) as string[]);
const listOrAll = (value: JsonValue): JsonValue => (value === null ? null : list(value));

/** The editable fields in the order of `changes`, each with the form in which an event bears it. */
const normalForms: readonly (readonly [EditableKeyField, (value: JsonValue) => JsonValue])[] = [
  ['audiences', list],
  ['description', asIs],
  ['ipAllow', list],
  ['ipDeny', list],
  ['labels', emptyMap],
  ['metadata', emptyMap],
  ['name', asIs],
  ['notBefore', asIs],
  ['scopes', listOrAll],
];

function changesOf(key: AliveKey, edits: KeyEdits): KeyChange[] {
  return normalForms.flatMap(([field, normalForm]) => {
    const wanted = edits[field];
    if (wanted === undefined) return [];
    const from = key[field];
    const to = normalForm(wanted as JsonValue);
    return jcs(from) === jcs(to) ? [] : [{ field, from, to }];
  });
}

/** An edit is held to the rules about what it changes, so a key that an older rule let through can still be mended. */
const rulesOfField: Partial<Record<EditableKeyField, PolicyRule>> = {
  scopes: 'allowedScopes',
  ipAllow: 'requireIpAllow',
};

function updateKey(command: UpdateKey, state: KeyState, at: string): KeyEvent[] {
  const { edits, scopesBeyondOwner = [], servicesWithheld = [], policy, caller } = command;
  const key = alive(state);
  const changes = changesOf(key, edits);
  if (changes.some(({ field }) => field !== 'name')) holdUnexpired(key, at);
  const changed: AliveKey = { ...key, ...Object.fromEntries(changes.map(({ field, to }) => [field, to])) };
  holdTimes(changed.notBefore, changed.expiresAt);
  if (changes.some(({ field }) => field === 'scopes')) holdScopesToOwner(scopesBeyondOwner, servicesWithheld);
  holdWithin(caller, changed);
  const rules = changes.flatMap(({ field }) => rulesOfField[field] ?? []);
  holdToPolicy(policy, changed, rules);
  return changes.length === 0 ? [] : [{ type: 'KeyUpdated', data: { changes } }];
}

function extendKey({ by, policy, counts, caller }: ExtendKey, state: KeyState, at: string): KeyEvent[] {
  const key = alive(state);
  const from = key.expiresAt;
  if (from === null) throw new Refusal('KEY_NEVER_EXPIRES', 'The key does not expire.');
  const expired = isExpired(key, at);
  if (expired && msBetween(from, at) > EXTENSION_GRACE_MS)
    throw new Refusal('KEY_EXPIRED', 'The key expired more than 7 days ago.');
  // An expired key is extended from now, not from its past expiry: else it could still be expired afterwards.
  const base = expired ? at : from;
  const to = 'days' in by ? addMs(base, by.days * DAY_MS, 'days') : by.until;
  const extensionMs = msBetween(base, to);
  if (extensionMs <= 0 || msBetween(at, to) < LIFE_MS_MIN)
    throw wrongField('until', 'must lie after the present expiry and at least 60 s ahead');
  if (extensionMs > EXTENSION_DAYS_MAX * DAY_MS)
    throw wrongField('until', `must lie at most ${EXTENSION_DAYS_MAX} days after the present expiry`);
  const extended: AliveKey = { ...key, expiresAt: to, expirySetAt: at };
  holdWithin(caller, extended);
  holdToExtension(policy, extensionMs);
  holdToPolicy(policy, extended);
  if (expired) holdToCounts(policy, counts);
  return [{ type: 'KeyExtended', data: { from, to, days: 'days' in by ? by.days : null } }];
}

function rotateKey({ overlapSeconds, secret, caller }: RotateKey, state: KeyState, at: string): KeyEvent[] {
  const key = unexpired(state, at);
  holdWithin(caller, key);
  const valid = validSecrets(key, at);
  if (valid.length >= VALID_SECRETS_MAX)
    throw new Refusal('SECRETS_MAX', 'Retire one of the two valid secrets, or wait for the end of the overlap.');
  const [first, ...others] = key.secrets;
  const newest = others.at(-1) ?? first;
  const previous = valid[0] ?? newest;
  const overlapEnd = addMs(at, overlapSeconds * 1_000, 'overlapSeconds');
  return [
    {
      type: 'KeyRotated',
      data: {
        version: newest.version + 1,
        pepperVersion: secret.pepperVersion,
        madeBy: secret.madeBy,
        previousVersion: previous.version,
        // A rotation never lengthens the old secret's life.
        previousRetiresAt: earliest(overlapEnd, previous.retiresAt, key.expiresAt),
      },
      private: verifierOf(secret),
    },
  ];
}

function retireSecret(version: number, state: KeyState, at: string): KeyEvent[] {
  const key = unexpired(state, at);
  const valid = validSecrets(key, at);
  if (!valid.some((secret) => secret.version === version))
    throw new Refusal('SECRET_UNKNOWN', `The key has no valid secret of version ${version}.`);
  if (valid.length === 1) throw new Refusal('SECRET_LAST', 'Rotate first, or revoke the key.');
  return [{ type: 'KeySecretRetired', data: { version } }];
}

function transferKey(command: TransferKey, state: KeyState, at: string): KeyEvent[] {
  const key = unexpired(state, at);
  const { owner, policy, counts, caller } = command;
  if (owner === null || key.projectId === null)
    throw new Refusal('OWNER_UNKNOWN', 'The new owner is no active member or service of the key’s project.');
  holdWithin(caller, key);
  if (sameOwner(owner, key.owner)) return [];
  holdToCounts({ ...policy, maxKeysPerProject: null }, counts);
  return [{ type: 'KeyOwnershipTransferred', data: { from: key.owner, to: owner } }];
}

function disableKey(state: KeyState, at: string): KeyEvent[] {
  const key = alive(state);
  if (key.disabled) return [];
  holdUnexpired(key, at);
  return [{ type: 'KeyDisabled', data: {} }];
}

function enableKey(caller: CallerBounds | null, state: KeyState, at: string): KeyEvent[] {
  const key = alive(state);
  holdWithin(caller, key);
  if (!key.disabled) return [];
  holdUnexpired(key, at);
  return [{ type: 'KeyEnabled', data: {} }];
}

/** A key that has gone to another owner meanwhile stays. */
function offboardKey(owner: Pick<KeyOwner, 'type' | 'id'> | null, state: KeyState): KeyEvent[] {
  if (state.kind !== 'alive') return [];
  const { type, id } = state.owner;
  if (owner !== null && (owner.type !== type || owner.id !== id)) return [];
  return [{ type: 'KeyRevoked', data: { reason: 'offboarded' } }];
}

function recordExpiry(expiresAt: string, state: KeyState, at: string): KeyEvent[] {
  const due = state.kind === 'alive' && state.expiresAt === expiresAt && isExpired(state, at) && !state.expiryRecorded;
  return due ? [{ type: 'KeyExpired', data: { expiresAt } }] : [];
}

function warnExpiry(expiresAt: string, thresholdDays: number, state: KeyState, at: string): KeyEvent[] {
  const due =
    state.kind === 'alive' && state.expiresAt === expiresAt && dueWarning(state, [thresholdDays], at) !== null;
  return due ? [{ type: 'KeyExpiryWarned', data: { thresholdDays, expiresAt } }] : [];
}

function upgradeVerifier(
  command: Extract<KeyCommand, { type: 'UpgradeVerifier' }>,
  state: KeyState,
  at: string,
): KeyEvent[] {
  const { version, from, to, hmac } = command;
  if (state.kind !== 'alive') return [];
  const stands = state.secrets.some(
    (secret) => secret.version === version && secret.pepperVersion === from && isValidSecret(secret, at),
  );
  return stands && from !== to
    ? [{ type: 'KeyVerifierUpgraded', data: { version, from, to }, private: { verifier: { hmac } } }]
    : [];
}

export function decide(command: KeyCommand, state: KeyState, at: string): KeyEvent[] {
  switch (command.type) {
    case 'CreateKey':
      return createKey(command, state, at);
    case 'ImportKey':
      return importKey(command, state, at);
    case 'UpdateKey':
      return updateKey(command, state, at);
    case 'ExtendKey':
      return extendKey(command, state, at);
    case 'RotateKey':
      return rotateKey(command, state, at);
    case 'RetireSecret':
      return retireSecret(command.version, state, at);
    case 'TransferKey':
      return transferKey(command, state, at);
    case 'DisableKey':
      return disableKey(state, at);
    case 'EnableKey':
      return enableKey(command.caller, state, at);
    case 'RevokeKey':
      return alreadyRevoked(state) ? [] : [{ type: 'KeyRevoked', data: { reason: command.reason } }];
    case 'OffboardKey':
      return offboardKey(command.owner, state);
    case 'DeleteKey':
      known(state);
      return [{ type: 'KeyDeleted', data: { dataKeys: [...command.dataKeys].sort() } }];
    case 'RecordExpiry':
      return recordExpiry(command.expiresAt, state, at);
    case 'WarnExpiry':
      return warnExpiry(command.expiresAt, command.thresholdDays, state, at);
    case 'UpgradeVerifier':
      return upgradeVerifier(command, state, at);
  }
}

const alreadyRevoked = (state: KeyState): boolean => known(state).kind === 'revoked';

export const keyDecider: Decider<KeyState, KeyCommand, KeyEvent> = {
  initialState: { kind: 'absent' },
  decide,
  evolve,
};

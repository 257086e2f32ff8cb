import { type FieldError, Refusal } from '#libs/eventsourcing';
import type { Principal } from '#libs/platform';
import type { ExpiryWish, ExtendKey, KeyEdits, KeyWish } from './domain/commands.js';
import { canonicalCidr } from './ip-ranges.js';
import type { BulkSelection, BulkWish } from './key-bulk.js';
import type { OwnerWish } from './key-facts.js';
import type { ClientMade } from './key.commands.js';
import type { BulkKeysBody, CreateKeyBody, ExtendKeyBody, TransferKeyBody, UpdateKeyBody } from './keys.dto.js';

/** From the fields of a request to what its commands wish: defaults, one form for each range, and which fields go together. */

export const plainWish: KeyWish = {
  name: null,
  description: null,
  labels: {},
  metadata: {},
  environment: 'live',
  scopes: null,
  audiences: [],
  ipAllow: [],
  ipDeny: [],
  notBefore: null,
  canManageKeys: false,
  expiry: { kind: 'default' },
};

function refuse(field: string, message: string): never {
  const errors: FieldError[] = [{ location: `body.${field}`, message }];
  throw new Refusal('VALIDATION', `body.${field} ${message}.`, { errors });
}

/** The fields were checked to be ranges when they were read. */
const canonical = (cidrs: readonly string[]): string[] => cidrs.map((cidr) => canonicalCidr(cidr) ?? cidr);

function expiryOf({ expiresAt, ttlDays }: Pick<CreateKeyBody, 'expiresAt' | 'ttlDays'>): ExpiryWish {
  if (ttlDays !== undefined) {
    if (expiresAt !== undefined) refuse('ttlDays', 'must not stand beside expiresAt');
    return { kind: 'days', days: ttlDays };
  }
  if (expiresAt === undefined) return { kind: 'default' };
  return expiresAt === null ? { kind: 'never' } : { kind: 'at', time: expiresAt };
}

type Given<Fields> = { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> };

/** Without the fields that are not there: an absent field leaves a default or a key as it is. */
const given = <Fields extends object>(fields: Fields): Given<Fields> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<Fields>;

export function wishOf(body: Partial<CreateKeyBody>): KeyWish {
  const { name, description, labels, metadata, environment, scopes, audiences, notBefore, canManageKeys } = body;
  return {
    ...plainWish,
    ...given({ name, description, labels, metadata, environment, scopes, audiences, notBefore, canManageKeys }),
    ipAllow: canonical(body.ipAllow ?? []),
    ipDeny: canonical(body.ipDeny ?? []),
    expiry: expiryOf(body),
  };
}

export function clientMadeOf({ keyId, secretDigest }: CreateKeyBody): ClientMade | null {
  if (keyId === undefined && secretDigest === undefined) return null;
  if (keyId === undefined) return refuse('keyId', 'is required with secretDigest');
  if (secretDigest === undefined) return refuse('secretDigest', 'is required with keyId');
  return { keyId, digest: Buffer.from(secretDigest, 'hex') };
}

/** The caller owns what names no other owner. */
export function ownerOf({ owner, role }: Pick<CreateKeyBody, 'owner' | 'role'>, caller: Principal): OwnerWish {
  const { type, id } = owner ?? caller;
  if (role !== undefined && type !== 'project')
    refuse('role', 'is for project-owned keys; others act in their owner’s');
  return { type, id, role };
}

export const newOwnerOf = ({ owner: { type, id }, role }: TransferKeyBody): OwnerWish => {
  if (role !== undefined && type !== 'project')
    refuse('role', 'is for project-owned keys; others act in their owner’s');
  return { type, id, role };
};

export function editsOf(body: UpdateKeyBody): KeyEdits {
  const { ipAllow, ipDeny, ...others } = body;
  return given({
    ...others,
    ipAllow: ipAllow && canonical(ipAllow),
    ipDeny: ipDeny && canonical(ipDeny),
  });
}

export function extensionOf({ days, until }: ExtendKeyBody): ExtendKey['by'] {
  if (days !== undefined) return until === undefined ? { days } : refuse('until', 'must not stand beside days');
  return until === undefined ? refuse('days', 'is required, or until') : { until };
}

export function bulkWishOf({ action, days, reason, comment }: BulkKeysBody): BulkWish {
  if (days !== undefined && action !== 'extend') refuse('days', 'is for extend');
  if (reason !== undefined && action !== 'revoke') refuse('reason', 'is for revoke');
  if (comment !== undefined && action !== 'revoke') refuse('comment', 'is for revoke');
  switch (action) {
    case 'delete':
      return { type: 'DeleteKey' };
    case 'disable':
      return { type: 'DisableKey' };
    case 'enable':
      return { type: 'EnableKey' };
    case 'extend':
      return { type: 'ExtendKey', by: { days: days ?? refuse('days', 'is required to extend') } };
    case 'revoke':
      return { type: 'RevokeKey', reason: reason ?? refuse('reason', 'is required to revoke') };
  }
}

export function selectionOf({ ids, filter, expectedCount }: BulkKeysBody): BulkSelection {
  if (ids !== undefined) {
    if (filter !== undefined) refuse('filter', 'must not stand beside ids');
    if (expectedCount !== undefined) refuse('expectedCount', 'is for a filter');
    return { ids };
  }
  if (filter === undefined) return refuse('ids', 'is required, or filter');
  return { filter, expectedCount: expectedCount ?? refuse('expectedCount', 'is required with filter') };
}

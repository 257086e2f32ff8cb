import type { QuotaScope } from '#libs/contracts';
import { validationRefusal } from '#libs/platform';
import type { SetCatalogueResource } from './domain/catalogue.js';
import type { BulkSetQuota } from './domain/commands.js';
import type { LimitChange, UsageWish } from './quota.commands.js';
import {
  type AllocateBody,
  type BulkSetLimitsBody,
  type ClearLimitBody,
  type CommitBody,
  type LimitItemBody,
  type ReserveBody,
  type ResizeBody,
  type ScopedBody,
  type SetCatalogueResourceBody,
  type SetLimitBody,
  TTL_SECONDS_DEFAULT,
} from './quotas.dto.js';

/** Requests, whichever transport brought them, as commands of the ledger. */

type Wish<Type extends UsageWish['type']> = Extract<UsageWish, { type: Type }>;

interface Name {
  readonly service: string;
  readonly resource: string;
}

export const ofProject: QuotaScope = { type: 'project', userId: null };
export const byDefault: QuotaScope = { type: 'memberDefault', userId: null };
export const ofMember = (userId: string): QuotaScope => ({ type: 'member', userId });

export const reservationOf = (body: ReserveBody): Wish<'Reserve'> => ({
  type: 'Reserve',
  id: body.id,
  userId: body.userId,
  items: body.items,
  ttlSeconds: body.ttlSeconds ?? TTL_SECONDS_DEFAULT,
  mode: body.mode ?? 'ENFORCE',
  resourceRef: body.resourceRef ?? null,
  labels: body.labels ?? {},
});

export const commitOf = (id: string, { items, resourceRef, onExpired }: CommitBody): Wish<'CommitReservation'> => ({
  type: 'CommitReservation',
  id,
  items: items ?? null,
  resourceRef: resourceRef ?? null,
  onExpired: onExpired ?? 'fail',
});

export const allocationOf = ({ id, userId, items, mode, resourceRef }: AllocateBody): Wish<'Allocate'> => ({
  type: 'Allocate',
  id,
  userId,
  items,
  mode: mode ?? 'ENFORCE',
  resourceRef: resourceRef ?? null,
});

export const resizeOf = (id: string, { items, mode }: ResizeBody): Wish<'ResizeAllocation'> => ({
  type: 'ResizeAllocation',
  id,
  items,
  mode: mode ?? 'ENFORCE',
});

/** A member's where a user is named, else the project's, unless told. */
export function scopeOf({ scope, userId }: ScopedBody, place = 'body'): QuotaScope {
  const type = scope ?? (userId === undefined ? 'project' : 'member');
  if (type === 'member' && userId !== undefined) return ofMember(userId);
  if (type !== 'member' && userId === undefined) return { type, userId: null };
  const message = type === 'member' ? 'is required for a member’s limit' : 'belongs to a member’s limit alone';
  throw validationRefusal([{ location: `${place}.userId`, message }]);
}

export const limitOf = (
  scope: QuotaScope,
  { service, resource }: Name,
  { limit, soft = null, force = false }: SetLimitBody,
  ifMatch: number | undefined,
): LimitChange => ({ type: 'SetQuota', scope, service, resource, limit, soft, force, ifMatch });

export const clearingOf = (
  scope: QuotaScope,
  { service, resource }: Name,
  { force = false }: ClearLimitBody,
  ifMatch: number | undefined,
): LimitChange => ({ type: 'ClearQuota', scope, service, resource, force, ifMatch });

const itemOf = (item: LimitItemBody, n: number): BulkSetQuota['items'][number] => ({
  scope: scopeOf(item, `body.items.${n}`),
  service: item.service,
  resource: item.resource,
  limit: item.limit,
  soft: item.soft ?? null,
  ifMatch: item.ifMatch,
});

export const bulkOf = ({ items, atomic = true, dryRun = false, force = false }: BulkSetLimitsBody): BulkSetQuota => ({
  type: 'BulkSetQuota',
  items: items.map(itemOf),
  atomic,
  dryRun,
  force,
});

export const catalogueChangeOf = (
  { service, resource }: Name,
  { unit, defaultProjectLimit = 'unlimited', defaultMemberLimit = 'unlimited' }: SetCatalogueResourceBody,
  ifMatch: number | undefined,
): SetCatalogueResource => ({
  type: 'SetCatalogueResource',
  service,
  resource,
  unit,
  defaultProjectLimit,
  defaultMemberLimit,
  ifMatch,
});

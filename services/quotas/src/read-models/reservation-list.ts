import type { Pool } from 'pg';
import { type Page, pageOf, placeOfCursor, type Principal } from '#libs/platform';
import type { Audience } from '../quota-rights.js';
import type { ReservationsQuery } from '../quotas.dto.js';
import type { ReservationView } from '../quotas.views.js';
import type { ReservationRow } from './quota-rows.js';

export type ReservationFilter = Pick<ReservationsQuery, 'userId' | 'status' | 'expiresBefore'>;

export interface ReservationListRequest {
  readonly projectId: string;
  /** Whose reservations the caller may see. */
  readonly audience: Audience;
  readonly principal: Principal;
  readonly filter: ReservationFilter;
  readonly limit: number;
  readonly cursor?: string | undefined;
  /** The present, by which one that is due has expired. */
  readonly at: string;
}

/** `$now` stands for the time. */
const STATUS = {
  open: `r.status = 'open' and r.expires_at > $now`,
  expired: `(r.status = 'expired' or (r.status = 'open' and r.expires_at <= $now))`,
  committed: `r.status = 'committed'`,
  released: `r.status = 'released'`,
} as const;

const time = (column: string): string => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** A page of the reservations that the caller may see, in the order of their ids, which is that of their making. */
export async function readReservations(
  pool: Pick<Pool, 'query'>,
  request: ReservationListRequest,
): Promise<Page<ReservationView>> {
  const { projectId, audience, filter, limit, at, principal } = request;
  const { userId, status = 'open', expiresBefore } = filter;
  const identity = [
    'reservations',
    projectId,
    { userId: userId ?? null, status, expiresBefore: expiresBefore ?? null },
    principal.type,
    principal.id,
  ];
  const place = placeOfCursor(identity, request.cursor);
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = [`r.project_id = ${bind(projectId)}`, STATUS[status].replaceAll('$now', () => bind(at))];
  if (audience.kind === 'own') conditions.push(`r.user_id = ${bind(audience.userId)}`);
  if (userId !== undefined) conditions.push(`r.user_id = ${bind(userId)}`);
  if (expiresBefore !== undefined) conditions.push(`r.expires_at < ${bind(expiresBefore)}`);
  if (place !== undefined) conditions.push(`r.id > ${bind(place.id)}`);
  const { rows } = await pool.query<Omit<ReservationRow, 'project_id' | 'resolved_at'>>(
    `select r.id, r.user_id, r.items, r.ttl_seconds, ${time('r.expires_at')} as expires_at, r.mode, r.resource_ref, r.labels,
       ${time('r.reserved_at')} as reserved_at
     from quotas.reservations r where ${conditions.join(' and ')} order by r.id limit ${limit + 1}`,
    values,
  );
  const views = rows.map((row): ReservationView => ({
    id: row.id,
    status,
    userId: row.user_id,
    items: row.items,
    ttlSeconds: row.ttl_seconds,
    expiresAt: row.expires_at,
    mode: row.mode,
    resourceRef: row.resource_ref,
    labels: row.labels,
    reservedAt: row.reserved_at,
    warnings: [],
  }));
  return pageOf(views, limit, identity, (last) => ({ values: [], id: last.id }));
}

import type { GrantMode, QuotaItem, QuotaScope } from '#libs/contracts';
import type { Actor } from '#libs/eventsourcing';

/** The rows of quotaTables as the fold writes them, and by what each is found. */

/** An amount as the tables have it: `Infinity` is unlimited, null is inherited. */
export type StoredLimit = number | 'Infinity' | null;

export interface ReservationRow {
  readonly project_id: string;
  readonly id: string;
  readonly user_id: string;
  readonly items: readonly QuotaItem[];
  readonly ttl_seconds: number;
  readonly expires_at: string;
  readonly mode: GrantMode;
  readonly resource_ref: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly reserved_at: string;
  readonly status: 'open' | 'committed' | 'released' | 'expired';
  readonly resolved_at: string | null;
}

export interface AllocationRow {
  readonly project_id: string;
  readonly id: string;
  readonly user_id: string;
  readonly items: readonly QuotaItem[];
}

export interface LimitName {
  readonly project_id: string;
  readonly scope: QuotaScope['type'];
  readonly user_id: string;
  readonly service: string;
  readonly resource: string;
}

export interface LimitRow extends LimitName {
  readonly amount: StoredLimit;
  readonly soft: number | null;
  readonly revision: number;
}

export interface LimitChangeRow extends LimitName {
  readonly revision: number;
  readonly n: number;
  readonly position: string;
  readonly recorded_at: string;
  readonly kind: 'set' | 'cleared' | 'memberRemoved';
  readonly before: StoredLimit;
  readonly after: StoredLimit;
  readonly soft: number | null;
  readonly effective: StoredLimit;
  readonly below_usage: boolean;
  readonly forced: boolean;
  readonly request_id: string | null;
  readonly actor: Actor;
  readonly correlation_id: string;
}

export interface LedgerRow {
  readonly project_id: string;
  readonly revision: number;
  readonly position: string;
  readonly recorded_at: string;
}

export interface CounterName {
  readonly project_id: string;
  readonly user_id: string;
  readonly service: string;
  readonly resource: string;
}

/** A project and something of it. */
export interface PlaceOf {
  readonly projectId: string;
  readonly id: string;
}

// No id holds a space.
export const placeKey = (projectId: string, id: string): string => `${projectId} ${id}`;

export const counterKey = ({ project_id, user_id, service, resource }: CounterName): string =>
  `${project_id} ${user_id} ${service} ${resource}`;

export const limitKey = ({ project_id, scope, user_id, service, resource }: LimitName): string =>
  [project_id, scope, user_id, service, resource].join(' ');

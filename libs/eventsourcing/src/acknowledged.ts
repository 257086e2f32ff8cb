import type { Position } from './event-store.js';

export const TENANTS_REMEMBERED_MAX = 10_000;

/**
 * The last position that this process acknowledged in each tenant: what a read without a position has to wait for.
 * A tenant that was forgotten for want of room is answered with the newest forgotten position: a longer wait, never a
 * staler answer.
 */
export class Acknowledged {
  private readonly byTenant = new Map<string | null, Position>();
  private newest: Position | undefined;
  private newestForgotten: Position | undefined;

  constructor(private readonly tenantsMax = TENANTS_REMEMBERED_MAX) {}

  note(tenantId: string | null, position: Position): void {
    const before = this.byTenant.get(tenantId) ?? this.newestForgotten;
    this.byTenant.delete(tenantId);
    this.byTenant.set(tenantId, later(before, position));
    this.newest = later(this.newest, position);
    if (this.byTenant.size <= this.tenantsMax) return;
    const [oldest] = this.byTenant;
    if (oldest === undefined) return;
    this.byTenant.delete(oldest[0]);
    this.newestForgotten = later(this.newestForgotten, oldest[1]);
  }

  /** Undefined if nothing was acknowledged there. */
  of(tenantId: string | null): Position | undefined {
    return this.byTenant.get(tenantId) ?? this.newestForgotten;
  }

  /** Over all tenants. */
  max(): Position | undefined {
    return this.newest;
  }
}

const later = (one: Position | undefined, other: Position): Position =>
  one !== undefined && one > other ? one : other;

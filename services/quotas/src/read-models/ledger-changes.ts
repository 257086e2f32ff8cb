import { idOf, type ProjectQuotaEvent, type QuotaItem, type QuotaLimit } from '#libs/contracts';
import type { OpenedEvent } from '#libs/eventsourcing';
import type { Level } from './hourly-usage.js';
import {
  type AllocationRow,
  counterKey,
  type CounterName,
  type LedgerRow,
  type LimitChangeRow,
  limitKey,
  type LimitName,
  type LimitRow,
  placeKey,
  type PlaceOf,
  type ReservationRow,
  type StoredLimit,
} from './quota-rows.js';

const stored = (limit: QuotaLimit | null): StoredLimit => (limit === 'unlimited' ? 'Infinity' : limit);

/** What one event does to one counter. */
export interface Move extends Level {
  readonly key: string;
  readonly counter: CounterName;
  readonly atMs: number;
}

/** What the tables hold of that which a page of events is about. */
export interface Standing {
  readonly reservations: ReadonlyMap<string, ReservationRow>;
  readonly allocations: ReadonlyMap<string, AllocationRow>;
  /** Of the members that the page removes. */
  readonly limits: readonly LimitRow[];
}

/** What must be known before the page can be applied: events about it do not repeat it. */
export function namedIn(events: readonly OpenedEvent[]) {
  const named = { reservations: [] as PlaceOf[], allocations: [] as PlaceOf[], removed: [] as PlaceOf[] };
  for (const event of events) {
    const projectId = idOf(event.stream);
    const of = (ids: readonly string[]): PlaceOf[] => ids.map((id) => ({ projectId, id }));
    const { type, data } = event as unknown as ProjectQuotaEvent;
    switch (type) {
      case 'ReservationCommitted':
      case 'ReservationReleased':
      case 'ReservationExtended':
      case 'ReservationExpired':
        named.reservations.push(...of([data.reservationId]));
        break;
      case 'UsageReconciled':
        named.allocations.push(...of([...data.removed, ...data.resized].map(({ allocationId }) => allocationId)));
        break;
      case 'QuotaMemberUsageTransferred':
        named.reservations.push(...of(data.reservations));
        named.allocations.push(...of(data.allocations));
        break;
      case 'QuotaMemberRemoved':
        named.removed.push(...of([data.userId]));
        break;
      case 'AllocationRecorded':
      case 'AllocationReleased':
      case 'AllocationResized':
      case 'OverQuotaCleared':
      case 'OverQuotaEntered':
      case 'ProjectQuotaClosed':
      case 'ProjectQuotaFrozen':
      case 'ProjectQuotaOpened':
      case 'ProjectQuotaUnfrozen':
      case 'QuotaCleared':
      case 'QuotaMemberClosed':
      case 'QuotaPolicySet':
      case 'QuotaReserved':
      case 'QuotaSet':
        break;
    }
  }
  return named;
}

type DataOf<Type extends ProjectQuotaEvent['type']> = Extract<ProjectQuotaEvent, { type: Type }>['data'];

/** Folds a page of events of many ledgers into rows that are written once, however often the page changes them. */
export class LedgerChanges {
  readonly ledgers = new Map<string, LedgerRow>();
  readonly reservations = new Map<string, ReservationRow>();
  /** Null for one that ended. */
  readonly allocations = new Map<string, AllocationRow | null>();
  readonly limits = new Map<string, LimitRow>();
  /** Whose limits are deleted before `limits` are written. */
  readonly removedMembers: PlaceOf[] = [];
  readonly limitChanges: LimitChangeRow[] = [];
  readonly moves: Move[] = [];
  /** By counter: an event moves each once, so that no level is counted that never was. */
  private readonly moving = new Map<string, { key: string; counter: CounterName; used: number; reserved: number }>();
  private projectId = '';

  constructor(private readonly standing: Standing) {}

  add(event: OpenedEvent): void {
    this.projectId = idOf(event.stream);
    const { revision, position, recordedAt } = event;
    this.apply(event as OpenedEvent & ProjectQuotaEvent);
    const atMs = Date.parse(recordedAt);
    for (const { key, counter, used, reserved } of this.moving.values())
      if (used !== 0 || reserved !== 0) this.moves.push({ key, counter, atMs, used, reserved });
    this.moving.clear();
    const ledger = { project_id: this.projectId, revision, position, recorded_at: recordedAt };
    this.ledgers.set(this.projectId, ledger);
  }

  private apply(event: OpenedEvent & ProjectQuotaEvent): void {
    const { type, data, recordedAt } = event;
    switch (type) {
      case 'QuotaReserved':
        this.reserved(data, recordedAt);
        return;
      case 'ReservationCommitted':
        this.committed(data, recordedAt);
        return;
      case 'ReservationReleased':
        this.resolved(data.reservationId, 'released', recordedAt);
        return;
      case 'ReservationExpired':
        this.resolved(data.reservationId, 'expired', recordedAt);
        return;
      case 'ReservationExtended':
        this.keep({ ...this.reservation(data.reservationId), expires_at: data.expiresAt });
        return;
      case 'AllocationRecorded':
        this.allocated(data.allocationId, data.userId, data.items);
        return;
      case 'AllocationResized':
        this.count(data.userId, data.before, -1, 0);
        this.allocated(data.allocationId, data.userId, data.after);
        return;
      case 'AllocationReleased':
        this.count(data.userId, data.items, -1, 0);
        this.forget(data.allocationId);
        return;
      case 'UsageReconciled':
        this.reconciled(data);
        return;
      case 'QuotaMemberUsageTransferred':
        this.transferred(data);
        return;
      case 'QuotaSet':
      case 'QuotaCleared':
        this.limited(event);
        return;
      case 'QuotaMemberRemoved':
        this.memberRemoved(event, data.userId);
        return;
      case 'QuotaMemberClosed':
      case 'OverQuotaEntered':
      case 'OverQuotaCleared':
      case 'ProjectQuotaOpened':
      case 'QuotaPolicySet':
      case 'ProjectQuotaFrozen':
      case 'ProjectQuotaUnfrozen':
      case 'ProjectQuotaClosed':
        return;
    }
  }

  /** For the member and the project at once, as the ledger counts. */
  private count(userId: string, items: readonly QuotaItem[], used: number, reserved: number): void {
    for (const { service, resource, amount } of items)
      for (const user_id of [userId, '']) {
        const counter = { project_id: this.projectId, user_id, service, resource };
        const key = counterKey(counter);
        let move = this.moving.get(key);
        if (move === undefined) {
          move = { key, counter, used: 0, reserved: 0 };
          this.moving.set(key, move);
        }
        move.used += used * amount;
        move.reserved += reserved * amount;
      }
  }

  private reservation(id: string): ReservationRow {
    const key = placeKey(this.projectId, id);
    const row = this.reservations.get(key) ?? this.standing.reservations.get(key);
    // What should be there and is not must park and alarm, not vanish.
    if (row === undefined) throw new Error(`The reservation ${id} is not there.`);
    return row;
  }

  private allocation(id: string): AllocationRow {
    const key = placeKey(this.projectId, id);
    const row = this.allocations.has(key) ? this.allocations.get(key) : this.standing.allocations.get(key);
    if (row === undefined || row === null) throw new Error(`The allocation ${id} is not there.`);
    return row;
  }

  private keep(row: ReservationRow): void {
    this.reservations.set(placeKey(row.project_id, row.id), row);
  }

  private forget(id: string): void {
    this.allocations.set(placeKey(this.projectId, id), null);
  }

  private allocated(id: string, userId: string, items: readonly QuotaItem[]): void {
    this.count(userId, items, 1, 0);
    const row = { project_id: this.projectId, id, user_id: userId, items };
    this.allocations.set(placeKey(this.projectId, id), row);
  }

  private reserved(data: DataOf<'QuotaReserved'>, recordedAt: string): void {
    const { reservationId, userId, items, ttlSeconds, expiresAt, mode, resourceRef, labels } = data;
    this.count(userId, items, 0, 1);
    this.keep({
      project_id: this.projectId,
      id: reservationId,
      user_id: userId,
      items,
      ttl_seconds: ttlSeconds,
      expires_at: expiresAt,
      mode,
      resource_ref: resourceRef,
      labels,
      reserved_at: recordedAt,
      status: 'open',
      resolved_at: null,
    });
  }

  private committed({ reservationId, userId, items, late }: DataOf<'ReservationCommitted'>, recordedAt: string): void {
    const reservation = this.reservation(reservationId);
    // What expired is not reserved any more, so only an open reservation gives back.
    if (!late) this.count(userId, reservation.items, 0, -1);
    this.keep({ ...reservation, status: 'committed', resolved_at: recordedAt });
    this.allocated(reservationId, userId, items);
  }

  private resolved(id: string, status: 'released' | 'expired', recordedAt: string): void {
    const reservation = this.reservation(id);
    if (reservation.status !== 'open') throw new Error(`The reservation ${id} is ${reservation.status} already.`);
    this.count(reservation.user_id, reservation.items, 0, -1);
    this.keep({ ...reservation, status, resolved_at: recordedAt });
  }

  private reconciled({ adopted, removed, resized }: DataOf<'UsageReconciled'>): void {
    for (const { allocationId } of removed) {
      const { user_id, items } = this.allocation(allocationId);
      this.count(user_id, items, -1, 0);
      this.forget(allocationId);
    }
    for (const { allocationId, after } of resized) {
      const { user_id, items } = this.allocation(allocationId);
      this.count(user_id, items, -1, 0);
      this.allocated(allocationId, user_id, after);
    }
    for (const { allocationId, userId, items } of adopted) this.allocated(allocationId, userId, items);
  }

  private transferred({ from, to, reservations, allocations }: DataOf<'QuotaMemberUsageTransferred'>): void {
    for (const reservation of reservations.map((id) => this.reservation(id))) {
      this.count(from, reservation.items, 0, -1);
      this.count(to, reservation.items, 0, 1);
      this.keep({ ...reservation, user_id: to });
    }
    for (const { id, items } of allocations.map((id) => this.allocation(id))) {
      this.count(from, items, -1, 0);
      this.allocated(id, to, items);
    }
  }

  private limited(event: OpenedEvent & Extract<ProjectQuotaEvent, { type: 'QuotaSet' | 'QuotaCleared' }>): void {
    const { scope, service, resource } = event.data;
    const isSet = event.type === 'QuotaSet';
    const row: LimitRow = {
      ...{ project_id: this.projectId, scope: scope.type, user_id: scope.userId ?? '', service, resource },
      amount: isSet ? stored(event.data.limit) : null,
      soft: isSet ? event.data.soft : null,
      revision: event.revision,
    };
    this.limits.set(limitKey(row), row);
    this.limitChanges.push({
      ...changeOf(event, row, 0),
      kind: isSet ? 'set' : 'cleared',
      before: stored(event.data.previous),
      after: row.amount,
      soft: row.soft,
      effective: stored(event.data.effective),
      below_usage: isSet && event.data.belowUsage,
      forced: isSet && event.data.forced,
      request_id: isSet ? event.data.requestId : null,
    });
  }

  /** Limits go with the member, and that is a change of each that was set. */
  private memberRemoved(event: OpenedEvent, userId: string): void {
    const isOf = (row: LimitRow): boolean =>
      row.project_id === this.projectId && row.scope === 'member' && row.user_id === userId;
    const wasRemoved = this.removedMembers.some((one) => one.projectId === this.projectId && one.id === userId);
    const before = new Map(
      wasRemoved ? [] : this.standing.limits.filter(isOf).map((row) => [limitKey(row), row] as const),
    );
    for (const [key, row] of this.limits)
      if (isOf(row)) {
        before.set(key, row);
        this.limits.delete(key);
      }
    const lost = [...before].filter(([, { amount }]) => amount !== null).sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [n, [, row]] of lost.entries())
      this.limitChanges.push({
        ...changeOf(event, row, n),
        ...{ kind: 'memberRemoved', before: row.amount, after: null, soft: null, effective: null },
        ...{ below_usage: false, forced: false, request_id: null },
      });
    this.removedMembers.push({ projectId: this.projectId, id: userId });
  }
}

const changeOf = (event: OpenedEvent, { project_id, scope, user_id, service, resource }: LimitName, n: number) => ({
  ...{ project_id, scope, user_id, service, resource, n },
  revision: event.revision,
  position: event.position,
  recorded_at: event.recordedAt,
  actor: event.actor,
  correlation_id: event.correlationId,
});

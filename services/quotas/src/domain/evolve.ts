import type { ProjectQuotaEvent, QuotaScope } from '#libs/contracts';
import {
  type Counter,
  impossible,
  type LiveAllocation,
  type OpenReservation,
  type ProjectQuota,
  type Resource,
  type Scope,
  type StandingLimit,
} from './project-quota.js';

/** What the ledger takes of an event beside its content; a RecordedEvent has it all. */
export interface QuotaEventMeta {
  readonly revision: number;
  readonly recordedAt: string;
  readonly commandId: string;
  readonly requestHash: string | null;
}

type DataOf<Type extends ProjectQuotaEvent['type']> = Extract<ProjectQuotaEvent, { type: Type }>['data'];

/** Folds one event into the state, which is changed in place. Nothing here decides: what stands in the stream is so. */
export function evolve(state: ProjectQuota, event: ProjectQuotaEvent, meta: QuotaEventMeta): void {
  const { revision, recordedAt: before } = state;
  // Events of one batch bear one time, and a million remembered times need not be a million texts.
  const recordedAt = meta.recordedAt === before ? before : meta.recordedAt;
  if (state.journal.isRecording)
    state.journal.record(() => {
      state.revision = revision;
      state.recordedAt = before;
    });
  state.revision = meta.revision;
  state.recordedAt = recordedAt;
  apply(state, event, meta.revision, recordedAt);
  remember(state, event, meta);
  state.resolved.pass(recordedAt);
  state.seen.pass(recordedAt);
}

const VERSION_DIGIT = 14;

/** A random commandId (version 4) never comes twice, and an expiry is known by its reservation. */
function remember(state: ProjectQuota, event: ProjectQuotaEvent, meta: QuotaEventMeta): void {
  const { commandId, requestHash, revision } = meta;
  if (commandId[VERSION_DIGIT] !== '5' || event.type === 'ReservationExpired') return;
  const before = state.commands.get(commandId);
  if (before === undefined) state.seen.push(commandId, meta.recordedAt);
  const firstRevision = before?.firstRevision ?? revision;
  state.journal.put(state.commands, commandId, { requestHash, firstRevision, lastRevision: revision });
}

function apply(state: ProjectQuota, event: ProjectQuotaEvent, revision: number, recordedAt: string): void {
  switch (event.type) {
    case 'QuotaReserved':
      reserved(state, event.data, recordedAt);
      return;
    case 'ReservationCommitted':
      committed(state, event.data, recordedAt);
      return;
    case 'ReservationReleased':
      resolve(state, event.data.reservationId, 'released', recordedAt);
      return;
    case 'ReservationExpired':
      resolve(state, event.data.reservationId, 'expired', recordedAt);
      return;
    case 'ReservationExtended': {
      const entry = openEntry(state, event.data.reservationId);
      state.replace(entry, { ...entry, expiresAt: event.data.expiresAt }, recordedAt);
      return;
    }
    case 'AllocationRecorded':
      recorded(state, event.data, recordedAt);
      return;
    case 'AllocationResized':
      resized(state, event.data.allocationId, event.data.after, recordedAt);
      return;
    case 'AllocationReleased':
      released(state, event.data.allocationId, recordedAt, recordedAt);
      return;
    case 'UsageReconciled':
      reconciled(state, event.data, recordedAt);
      return;
    case 'QuotaSet':
    case 'QuotaCleared':
      limited(state, event, revision);
      return;
    case 'OverQuotaEntered':
    case 'OverQuotaCleared':
      over(state, event);
      return;
    case 'QuotaMemberRemoved':
      memberRemoved(state, state.member(event.data.userId));
      return;
    case 'QuotaMemberUsageTransferred':
      transferred(state, event.data, recordedAt);
      return;
    case 'QuotaMemberClosed':
      // The last of an orphan's usage is gone; that it left is still so.
      return;
    case 'ProjectQuotaOpened':
    case 'QuotaPolicySet':
    case 'ProjectQuotaFrozen':
    case 'ProjectQuotaUnfrozen':
    case 'ProjectQuotaClosed':
      standing(state, event, revision);
  }
}

function standing(
  state: ProjectQuota,
  event: Extract<
    ProjectQuotaEvent,
    {
      type:
        'ProjectQuotaOpened' | 'QuotaPolicySet' | 'ProjectQuotaFrozen' | 'ProjectQuotaUnfrozen' | 'ProjectQuotaClosed';
    }
  >,
  revision: number,
): void {
  const { journal } = state;
  switch (event.type) {
    case 'ProjectQuotaOpened':
      journal.set(state, 'status', 'open');
      journal.set(state, 'overcommit', event.data.overcommit);
      return;
    case 'QuotaPolicySet':
      journal.set(state, 'overcommit', event.data.overcommit);
      journal.set(state, 'policyRevision', revision);
      return;
    case 'ProjectQuotaFrozen':
      journal.set(state, 'frozen', event.data.mode);
      return;
    case 'ProjectQuotaUnfrozen':
      journal.set(state, 'frozen', null);
      return;
    case 'ProjectQuotaClosed':
      journal.set(state, 'status', 'closed');
  }
}

function openEntry(state: ProjectQuota, id: string): OpenReservation {
  const entry = state.entries.get(id);
  return entry?.kind === 'open' ? entry : impossible(`${id} is no open reservation`);
}

function liveEntry(state: ProjectQuota, id: string): LiveAllocation {
  const entry = state.entries.get(id);
  return entry?.kind === 'live' ? entry : impossible(`${id} is no live allocation`);
}

/** Who is granted something is a member, so one who had left is back. */
function granted(state: ProjectQuota, userId: string): Scope {
  const member = state.member(userId);
  if (member.removed) state.journal.set(member, 'removed', false);
  return member;
}

function reserved(state: ProjectQuota, data: DataOf<'QuotaReserved'>, recordedAt: string): void {
  const lines = state.linesOf(data.items);
  const member = granted(state, data.userId);
  state.count(member, lines, 0, 1);
  const entry: OpenReservation = {
    kind: 'open',
    id: data.reservationId,
    userId: member.userId ?? data.userId,
    lines,
    ttlSeconds: data.ttlSeconds,
    expiresAt: data.expiresAt,
    mode: data.mode,
    resourceRef: data.resourceRef,
    labels: data.labels,
    bodyHash: data.bodyHash,
    reservedAt: recordedAt,
  };
  state.replace(null, entry, recordedAt);
}

function committed(state: ProjectQuota, data: DataOf<'ReservationCommitted'>, recordedAt: string): void {
  const before = state.entries.get(data.reservationId);
  const reservation = before?.kind === 'resolved' ? before.was : before;
  if (reservation?.kind !== 'open') return impossible(`${data.reservationId} was never reserved`);
  const isAll = data.returned.length === 0;
  const lines = isAll ? reservation.lines : state.linesOf(data.items);
  const member = state.member(data.userId);
  // What expired is not reserved any more, so only an open reservation gives back.
  if (before?.kind === 'open') state.count(member, reservation.lines, 0, -1);
  state.count(member, lines, 1, 0);
  const entry: LiveAllocation = {
    kind: 'live',
    id: reservation.id,
    userId: member.userId ?? data.userId,
    lines,
    mode: reservation.mode,
    resourceRef: data.resourceRef,
    bodyHash: reservation.bodyHash,
    knownAt: recordedAt,
    committed: { reservation, lines, late: data.late },
  };
  state.replace(before?.kind === 'open' ? before : null, entry, recordedAt);
}

function resolve(state: ProjectQuota, id: string, outcome: 'released' | 'expired', recordedAt: string): void {
  const was = openEntry(state, id);
  state.count(state.member(was.userId), was.lines, 0, -1);
  state.replace(was, { kind: 'resolved', id: was.id, outcome, was, resolvedAt: recordedAt }, recordedAt);
}

function recorded(state: ProjectQuota, data: DataOf<'AllocationRecorded'>, recordedAt: string): void {
  const lines = state.linesOf(data.items);
  state.count(granted(state, data.userId), lines, 1, 0);
  const { allocationId: id, userId, mode, resourceRef, bodyHash } = data;
  const entry: LiveAllocation = {
    kind: 'live',
    id,
    userId,
    lines,
    mode,
    resourceRef,
    bodyHash,
    knownAt: recordedAt,
    committed: null,
  };
  state.replace(null, entry, recordedAt);
}

function resized(state: ProjectQuota, id: string, after: DataOf<'AllocationResized'>['after'], knownAt: string): void {
  const entry = liveEntry(state, id);
  const lines = state.linesOf(after);
  const member = state.member(entry.userId);
  state.count(member, entry.lines, -1, 0);
  state.count(member, lines, 1, 0);
  state.journal.put(state.entries, id, { ...entry, lines, knownAt });
}

function released(state: ProjectQuota, id: string, recordedAt: string, knownAt: string): void {
  const was = liveEntry(state, id);
  state.count(state.member(was.userId), was.lines, -1, 0);
  state.replace(was, { kind: 'resolved', id: was.id, outcome: 'released', was, resolvedAt: recordedAt }, recordedAt);
  if (was.resourceRef !== null) state.journal.put(state.goneRefs, was.resourceRef, { id, knownAt });
}

function reconciled(state: ProjectQuota, data: DataOf<'UsageReconciled'>, recordedAt: string): void {
  const { source, sequence, observedAt, part, parts } = data;
  for (const { allocationId } of data.removed) released(state, allocationId, recordedAt, observedAt);
  for (const { allocationId, after } of data.resized) resized(state, allocationId, after, observedAt);
  for (const { allocationId: id, userId, items, resourceRef } of data.adopted) {
    const lines = state.linesOf(items);
    state.count(state.member(userId), lines, 1, 0);
    const entry: LiveAllocation = {
      kind: 'live',
      id,
      userId,
      lines,
      mode: 'FORCE',
      resourceRef,
      bodyHash: null,
      knownAt: observedAt,
      committed: null,
    };
    state.replace(null, entry, recordedAt);
  }
  if (part === parts) state.journal.put(state.reports, source, sequence);
}

type LimitEvent = Extract<ProjectQuotaEvent, { type: 'QuotaSet' | 'QuotaCleared' }>;

function limited(state: ProjectQuota, event: LimitEvent, revision: number): void {
  const { scope, service, resource: name } = event.data;
  const resource = state.resource(service, name);
  const standingLimit: StandingLimit =
    event.type === 'QuotaSet'
      ? { limit: event.data.limit, soft: event.data.soft, revision }
      : { limit: null, soft: null, revision };
  state.journal.put(limitsOf(state, scope), resource, standingLimit);
  if (state.touched === null) return;
  for (const counter of governed(state, scope, resource)) state.touched.counters.add(counter);
}

/** The limits set at a scope. */
export function limitsOf(state: ProjectQuota, scope: QuotaScope): Map<Resource, StandingLimit> {
  switch (scope.type) {
    case 'project':
      return state.project.limits;
    case 'memberDefault':
      return state.memberDefaults;
    case 'member':
      return state.member(scope.userId ?? impossible('a member’s limit without a member')).limits;
  }
}

/** The counters whose effective limit a limit of that scope decides. */
export function governed(state: ProjectQuota, scope: QuotaScope, resource: Resource): Counter[] {
  const scopes =
    scope.type === 'project'
      ? [state.project]
      : scope.type === 'member'
        ? [state.members.get(scope.userId ?? '')]
        : [...state.members.values()].filter((member) => (member.limits.get(resource)?.limit ?? null) === null);
  return scopes.flatMap((one) => one?.counters[resource.index] ?? []);
}

function over(
  state: ProjectQuota,
  { type, data }: Extract<ProjectQuotaEvent, { type: 'OverQuotaEntered' | 'OverQuotaCleared' }>,
): void {
  const scope = data.scope.type === 'project' ? state.project : state.member(data.scope.userId ?? '');
  const counter = state.counter(scope, state.resource(data.service, data.resource));
  state.journal.set(counter, 'over', type === 'OverQuotaEntered');
}

/** Limits of one who left would still take their part of a partitioned project. */
function memberRemoved(state: ProjectQuota, member: Scope): void {
  state.journal.set(member, 'removed', true);
  state.touched?.orphans.add(member);
  for (const resource of [...member.limits.keys()]) {
    state.journal.remove(member.limits, resource);
    const counter = member.counters[resource.index];
    if (counter !== undefined) state.touched?.counters.add(counter);
  }
}

function transferred(state: ProjectQuota, data: DataOf<'QuotaMemberUsageTransferred'>, at: string): void {
  const [from, to] = [state.member(data.from), granted(state, data.to)];
  for (const id of data.reservations) {
    const entry = openEntry(state, id);
    state.count(from, entry.lines, 0, -1);
    state.count(to, entry.lines, 0, 1);
    state.replace(entry, { ...entry, userId: data.to }, at);
  }
  for (const id of data.allocations) {
    const entry = liveEntry(state, id);
    state.count(from, entry.lines, -1, 0);
    state.count(to, entry.lines, 1, 0);
    state.replace(entry, { ...entry, userId: data.to }, at);
  }
}

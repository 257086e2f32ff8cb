import { Refusal } from '#libs/eventsourcing';
import type {
  AllocationAnswer,
  CheckAnswer,
  CommitReservation,
  QuotaCommand,
  ReservationAnswer,
  Reserve,
} from './commands.js';
import {
  check,
  holdOpen,
  holdRoomForEntry,
  holdRoomForReservation,
  holdStanding,
  holdToLimits,
  warningsOf,
} from './granting.js';
import { addMs, HOUR_MS, holdIdToWindow } from './id-time.js';
import { above, normalItems, sameItems } from './items.js';
import { type Entry, itemsOf, type LiveAllocation, type OpenReservation, type Resolved } from './project-quota.js';
import type { Trial } from './trial.js';
import { wrongField } from './wrong-field.js';

/** Reserve, then commit, release or let expire: a reservation is resolved once. */

export const TTL_SECONDS_MAX = 86_400;

type Command<Type extends QuotaCommand['type']> = Extract<QuotaCommand, { type: Type }>;

/** The reservation that the entry is, was or came from. */
function reservationOf(entry: Entry | undefined): OpenReservation | null {
  switch (entry?.kind) {
    case undefined:
      return null;
    case 'open':
      return entry;
    case 'live':
      return entry.committed?.reservation ?? null;
    case 'resolved':
      return reservationOf(entry.was);
  }
}

const statusOf = (entry: Entry): ReservationAnswer['status'] =>
  entry.kind === 'resolved' && entry.was.kind === 'open' ? entry.outcome : entry.kind === 'open' ? 'open' : 'committed';

/** The entry as the reservation that it is or was; null if it never was one. */
export function reservationAnswer(entry: Entry | undefined, replayed: boolean): ReservationAnswer | null {
  const reservation = reservationOf(entry);
  if (entry === undefined || reservation === null) return null;
  const { id, userId, lines, ttlSeconds, expiresAt, mode, resourceRef, labels, reservedAt } = reservation;
  const status = statusOf(entry);
  const items = itemsOf(lines);
  const said = { id, status, userId, items, ttlSeconds, expiresAt, mode, resourceRef, labels, reservedAt };
  return { kind: 'reservation', ...said, replayed, warnings: [] };
}

function known(trial: Trial, id: string): { readonly entry: Entry; readonly reservation: OpenReservation } {
  const entry = trial.state.entries.get(id);
  const reservation = reservationOf(entry);
  if (entry === undefined || reservation === null)
    throw new Refusal('RESERVATION_NOT_FOUND', 'There is no such reservation, or it is over for more than a day.');
  return { entry, reservation };
}

const answer = (trial: Trial, id: string, replayed: boolean): ReservationAnswer => {
  const { entry } = known(trial, id);
  return reservationAnswer(entry, replayed) as ReservationAnswer;
};

/** Refuses an id that stands for something else; true if this very request was granted before. */
export function isGranted(entry: Entry | undefined, bodyHash: string): boolean {
  if (entry === undefined) return false;
  const granted = entry.kind === 'resolved' ? entry.was : entry;
  if (granted.bodyHash !== bodyHash) throw new Refusal('IDEMPOTENCY_MISMATCH', 'The id was used with another request.');
  return true;
}

function holdTtl(ttlSeconds: number): void {
  if (ttlSeconds > TTL_SECONDS_MAX) throw new Refusal('TTL_TOO_LONG', 'A reservation lives 24 hours at most.');
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1) throw wrongField('ttlSeconds', 'must be a whole number from 1');
}

export function reserve(command: Reserve, trial: Trial): ReservationAnswer | CheckAnswer {
  const { id, userId, ttlSeconds, mode, resourceRef, labels, bodyHash, standing } = command;
  if (mode !== 'CHECK_ONLY' && isGranted(trial.state.entries.get(id), bodyHash)) {
    const before = reservationAnswer(trial.state.entries.get(id), true);
    if (before === null) throw new Refusal('IDEMPOTENCY_MISMATCH', 'The id is an allocation’s.');
    return before;
  }
  const items = normalItems(command.items, trial.catalogue);
  holdTtl(ttlSeconds);
  if (mode !== 'CHECK_ONLY') holdIdToWindow(id, trial.at, trial.state.forgottenMs);
  holdOpen(trial);
  holdStanding(trial, userId, standing, items);
  holdRoomForReservation(trial, userId);
  holdRoomForEntry(trial);
  if (mode === 'CHECK_ONLY') return check(trial, userId, items);
  holdToLimits(trial, userId, items, mode);
  const expiresAt = addMs(trial.at, ttlSeconds * 1_000);
  trial.emit({
    type: 'QuotaReserved',
    data: { reservationId: id, userId, items, ttlSeconds, expiresAt, mode, resourceRef, labels, bodyHash },
  });
  return { ...answer(trial, id, false), warnings: warningsOf(trial, userId, items) };
}

export function allocationAnswer(
  allocation: LiveAllocation,
  status: AllocationAnswer['status'],
  replayed: boolean,
): AllocationAnswer {
  const { id, userId, lines, mode, resourceRef, committed } = allocation;
  const returned = committed === null ? [] : above(itemsOf(committed.reservation.lines), itemsOf(committed.lines));
  return {
    kind: 'allocation',
    id,
    status,
    userId,
    items: itemsOf(lines),
    mode,
    resourceRef,
    late: committed?.late ?? false,
    returned,
    replayed,
    warnings: [],
  };
}

/** What is used by that name can be used once only; a report may have adopted it before its reservation was committed. */
export function holdRefFree({ state }: Trial, resourceRef: string | null): void {
  if (resourceRef !== null && state.liveByRef.has(resourceRef))
    throw new Refusal('RESOURCE_REF_TAKEN', `An allocation for ${resourceRef} stands already.`);
}

export function commitReservation(command: CommitReservation, trial: Trial): AllocationAnswer {
  const { id } = command;
  const { entry, reservation } = known(trial, id);
  const reserved = itemsOf(reservation.lines);
  const items = command.items === null ? reserved : normalItems(command.items, trial.catalogue);
  const resourceRef = command.resourceRef ?? reservation.resourceRef;
  const done = committedAs(entry);
  if (done !== null) {
    const isSame = done.resourceRef === resourceRef && sameItems(itemsOf((done.committed as Committed).lines), items);
    if (!isSame) throw new Refusal('ALREADY_COMMITTED', 'The reservation is committed, with other items or resource.');
    return allocationAnswer(done, entry.kind === 'live' ? 'live' : 'released', true);
  }
  if (above(items, reserved).length > 0)
    throw new Refusal('EXCEEDS_RESERVED', 'More would be committed than was reserved.');
  const late = entry.kind === 'resolved';
  if (late) holdLateCommit(command, trial, entry, reservation, items);
  else holdCommit(trial);
  holdRefFree(trial, resourceRef);
  const { userId } = reservation;
  trial.emit({
    type: 'ReservationCommitted',
    data: { reservationId: id, userId, items, returned: above(reserved, items), resourceRef, late },
  });
  const live = trial.state.entries.get(id) as LiveAllocation;
  return { ...allocationAnswer(live, 'live', false), warnings: warningsOf(trial, userId, items) };
}

type Committed = NonNullable<LiveAllocation['committed']>;

function committedAs(entry: Entry): LiveAllocation | null {
  const was = entry.kind === 'resolved' ? entry.was : entry;
  return was.kind === 'live' ? was : null;
}

/** What was granted before a freeze may still be used, unless the project is to run dry. */
function holdCommit({ state }: Trial): void {
  if (state.status === 'closed') throw new Refusal('PROJECT_CLOSED', 'The project’s quota is closed.');
  if (state.frozen === 'drain')
    throw new Refusal('PROJECT_FROZEN', 'The project is drained; its reservations can only be released.');
}

function holdLateCommit(
  command: CommitReservation,
  trial: Trial,
  entry: Resolved,
  { userId }: OpenReservation,
  items: ReturnType<typeof itemsOf>,
): void {
  if (entry.outcome === 'released') throw new Refusal('ALREADY_RELEASED', 'The reservation is released.');
  switch (command.onExpired) {
    case 'fail':
      throw new Refusal(
        'RESERVATION_EXPIRED',
        `The reservation expired at ${(entry.was as OpenReservation).expiresAt}.`,
      );
    case 'reacquire':
      holdOpen(trial);
      holdStanding(trial, userId, command.standing, items);
      holdRoomForEntry(trial);
      holdToLimits(trial, userId, items, 'ENFORCE');
      return;
    case 'force':
      holdCommit(trial);
      holdRoomForEntry(trial);
      holdToLimits(trial, userId, items, 'FORCE');
  }
}

export function releaseReservation({ id }: Command<'ReleaseReservation'>, trial: Trial): ReservationAnswer {
  const { entry, reservation } = known(trial, id);
  if (statusOf(entry) === 'committed')
    throw new Refusal('ALREADY_COMMITTED', 'The reservation is committed; release the allocation.');
  // What is released or expired holds nothing any more, which is all that was asked for.
  if (entry.kind !== 'open') return answer(trial, id, true);
  trial.emit({ type: 'ReservationReleased', data: { reservationId: id, userId: reservation.userId } });
  return answer(trial, id, false);
}

export function extendReservation({ id, ttlSeconds }: Command<'ExtendReservation'>, trial: Trial): ReservationAnswer {
  const { entry, reservation } = known(trial, id);
  holdTtl(ttlSeconds);
  const expiresAt = addMs(trial.at, ttlSeconds * 1_000);
  switch (statusOf(entry)) {
    case 'committed':
      throw new Refusal('ALREADY_COMMITTED', 'The reservation is committed and does not expire.');
    case 'released':
      throw new Refusal('ALREADY_RELEASED', 'The reservation is released.');
    case 'expired':
      throw new Refusal('RESERVATION_EXPIRED', `The reservation expired at ${reservation.expiresAt}.`);
    case 'open':
  }
  holdCommit(trial);
  if (expiresAt > addMs(reservation.reservedAt, 24 * HOUR_MS))
    throw new Refusal('TTL_TOO_LONG', 'A reservation ends 24 hours after it was made at the latest.');
  // An extension never takes time away, so a repeated or late one does no harm.
  if (expiresAt <= reservation.expiresAt) return answer(trial, id, true);
  const { userId } = reservation;
  trial.emit({ type: 'ReservationExtended', data: { reservationId: id, userId, expiresAt } });
  return answer(trial, id, false);
}

/** Told by the sweep: nothing happens if the reservation is resolved or was extended since. */
export function expireReservation({ reservationId, expiresAt }: Command<'ExpireReservation'>, trial: Trial): null {
  const entry = trial.state.entries.get(reservationId);
  if (entry?.kind === 'open' && entry.expiresAt === expiresAt && expiresAt <= trial.at)
    trial.emit({ type: 'ReservationExpired', data: { reservationId, userId: entry.userId, expiresAt } });
  return null;
}

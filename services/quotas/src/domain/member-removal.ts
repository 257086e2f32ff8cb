import type { QuotaItem } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import type { Catalogue } from './catalogue.js';
import type { RemovalAnswer, RemoveQuotaMember, Violation } from './commands.js';
import { violationsOf } from './granting.js';
import { byName, byText } from './items.js';
import { EVENTS_PER_APPEND_MAX, inParts, PARTS_PER_APPEND_MAX } from './parts.js';
import { itemsOf, type LiveAllocation, type OpenReservation, type ProjectQuota, type Scope } from './project-quota.js';
import { Trial } from './trial.js';
import { wrongField } from './wrong-field.js';

/**
 * A member leaves. `transfer` moves all that is reserved and used to another; else the open reservations are released,
 * because nobody is left to commit them, and what is used stays counted as an orphan's until it is released.
 */
export function removeQuotaMember(command: RemoveQuotaMember, trial: Trial): RemovalAnswer {
  const { userId, disposition, to, force, heldBefore = null } = command;
  const { state } = trial;
  if (disposition === 'transfer' && (to === null || to === userId))
    throw wrongField('to', 'must name another member to transfer to');
  const member = state.members.get(userId);
  if (!force) holdRemovable(command, trial, member);
  // Who has nothing here leaves no trace here.
  if (member === undefined || (isEmpty(member) && member.limits.size === 0))
    return { kind: 'removal', partsDone: command.partsDone, complete: true };
  const target = disposition === 'transfer' && to !== null && !hasLeft(trial, command) ? to : null;
  const isOrphaned = disposition === 'transfer' && target === null;
  // Who has limits again since it left had come back, and leaves once more.
  if (heldBefore === null && (!member.removed || member.limits.size > 0))
    trial.emit({
      type: 'QuotaMemberRemoved',
      data: { userId, disposition: isOrphaned ? 'orphan' : disposition, to: target },
    });
  return target === null ? releaseReservations(command, trial) : transferUsage(command, trial, target);
}

/** Why the member cannot leave so, as the ledger is now; null if nothing stands in the way. */
export function removalObjection(
  state: ProjectQuota,
  catalogue: Catalogue,
  removal: Pick<RemoveQuotaMember, 'userId' | 'disposition' | 'to'>,
): Refusal | null {
  const trial = new Trial(state, { at: state.recordedAt, catalogue, commandId: '', requestHash: null });
  try {
    holdRemovable({ ...removal, toIsMember: true }, trial, state.members.get(removal.userId));
    return null;
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  } finally {
    state.touched = null;
  }
}

/** All that the member reserves and uses, summed. */
export function holdingOf(state: ProjectQuota, userId: string): QuotaItem[] {
  const counters = state.members.get(userId)?.counters ?? [];
  return sumOf(
    counters
      .flatMap((counter) => counter ?? [])
      .map(({ resource: { service, resource }, used, reserved }) => ({ service, resource, amount: used + reserved })),
  );
}

const isEmpty = ({ open, live }: Scope): boolean => open + live === 0;

const hasLeft = ({ state }: Trial, { to, toIsMember }: Pick<RemoveQuotaMember, 'to' | 'toIsMember'>): boolean =>
  toIsMember !== true && to !== null && state.members.get(to)?.removed === true;

/** What is refused before the member has left, and no longer afterwards. */
function holdRemovable(
  removal: Pick<RemoveQuotaMember, 'userId' | 'disposition' | 'to' | 'toIsMember'>,
  trial: Trial,
  member: Scope | undefined,
): void {
  if (member === undefined || isEmpty(member)) return;
  const { userId, disposition, to } = removal;
  const holding = holdingOf(trial.state, userId);
  if (disposition === 'block')
    throw new Refusal(
      'MEMBER_HAS_USAGE',
      `${member.open} reservations are open and ${member.live} allocations live: ${told(holding)}.`,
      { extensions: { reservations: member.open, allocations: member.live, items: holding } },
    );
  if (disposition !== 'transfer' || to === null) return;
  if (hasLeft(trial, removal))
    throw new Refusal('MEMBER_REMOVED', 'Who should take the usage over has left the project.');
  // The project's sums stay as they are, so only the member's limits can stand in the way.
  const violations: Violation[] = violationsOf(trial, to, holding).filter(({ scope }) => scope.type === 'member');
  if (violations.length > 0)
    throw new Refusal('TARGET_OVER_QUOTA', `${to} would exceed a quota of its own.`, { extensions: { violations } });
}

const told = (items: readonly QuotaItem[]): string =>
  items.map(({ service, resource, amount }) => `${amount} ${service}/${resource}`).join(', ');

function sumOf(items: readonly QuotaItem[]): QuotaItem[] {
  const sums = new Map<string, QuotaItem>();
  for (const item of items) {
    if (item.amount === 0) continue;
    const name = `${item.service}/${item.resource}`;
    sums.set(name, { ...item, amount: (sums.get(name)?.amount ?? 0) + item.amount });
  }
  return [...sums.values()].sort(byName);
}

type Held = OpenReservation | LiveAllocation;

function held({ state }: Trial, { userId, heldBefore = null }: RemoveQuotaMember): Held[] {
  const found: Held[] = [];
  for (const entry of state.entries.values()) {
    if (entry.kind === 'resolved' || entry.userId !== userId) continue;
    const since = entry.kind === 'open' ? entry.reservedAt : entry.knownAt;
    if (heldBefore === null || since < heldBefore) found.push(entry);
  }
  return found.sort((a, b) => byText(a.id, b.id));
}

function releaseReservations(command: RemoveQuotaMember, trial: Trial): RemovalAnswer {
  const { userId, partsDone } = command;
  const open = held(trial, command).filter(({ kind }) => kind === 'open');
  const now = open.slice(0, EVENTS_PER_APPEND_MAX);
  for (const { id: reservationId } of now) trial.emit({ type: 'ReservationReleased', data: { reservationId, userId } });
  return { kind: 'removal', partsDone: partsDone + 1, complete: now.length === open.length };
}

function transferUsage(command: RemoveQuotaMember, trial: Trial, to: string): RemovalAnswer {
  const { userId: from, partsDone } = command;
  const all = held(trial, command);
  const byId = new Map(all.map((entry) => [entry.id, entry]));
  const pending = inParts(all.map(({ id }) => id));
  const now = pending.slice(0, PARTS_PER_APPEND_MAX);
  for (const [n, ids] of now.entries()) {
    const entries = ids.flatMap((id) => byId.get(id) ?? []);
    const idsOf = (kind: Held['kind']): string[] => entries.flatMap((entry) => (entry.kind === kind ? entry.id : []));
    trial.emit({
      type: 'QuotaMemberUsageTransferred',
      data: {
        from,
        to,
        part: partsDone + n + 1,
        parts: partsDone + pending.length,
        reservations: idsOf('open'),
        allocations: idsOf('live'),
        totals: sumOf(entries.flatMap(({ lines }) => itemsOf(lines))),
      },
    });
  }
  return { kind: 'removal', partsDone: partsDone + now.length, complete: now.length === pending.length };
}

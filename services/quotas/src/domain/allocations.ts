import { Refusal } from '#libs/eventsourcing';
import type { Allocate, AllocationAnswer, CheckAnswer, QuotaCommand, ResizeAllocation } from './commands.js';
import { check, holdOpen, holdRoomForEntry, holdStanding, holdToLimits, warningsOf } from './granting.js';
import { holdIdToWindow } from './id-time.js';
import { above, normalItems, sameItems } from './items.js';
import { itemsOf, type LiveAllocation } from './project-quota.js';
import { allocationAnswer, holdRefFree, isGranted } from './reservations.js';
import type { Trial } from './trial.js';

/** What is used: recorded, resized and released by id. Shrinking and releasing are never refused for a limit. */

type ReleaseAllocation = Extract<QuotaCommand, { type: 'ReleaseAllocation' }>;

export function allocate(command: Allocate, trial: Trial): AllocationAnswer | CheckAnswer {
  const { id, userId, mode, resourceRef, bodyHash, standing } = command;
  const { state } = trial;
  const entry = state.entries.get(id);
  if (mode !== 'CHECK_ONLY' && isGranted(entry, bodyHash)) {
    const was = entry?.kind === 'resolved' ? entry.was : entry;
    if (was?.kind !== 'live' || was.committed !== null)
      throw new Refusal('IDEMPOTENCY_MISMATCH', 'The id is a reservation’s.');
    return allocationAnswer(was, entry?.kind === 'live' ? 'live' : 'released', true);
  }
  const items = normalItems(command.items, trial.catalogue);
  if (mode !== 'CHECK_ONLY') holdIdToWindow(id, trial.at, state.forgottenMs);
  holdOpen(trial);
  holdStanding(trial, userId, standing, items);
  holdRoomForEntry(trial);
  holdRefFree(trial, resourceRef);
  if (mode === 'CHECK_ONLY') return check(trial, userId, items);
  holdToLimits(trial, userId, items, mode);
  trial.emit({ type: 'AllocationRecorded', data: { allocationId: id, userId, items, mode, resourceRef, bodyHash } });
  return { ...allocationAnswer(live(trial, id), 'live', false), warnings: warningsOf(trial, userId, items) };
}

function live({ state }: Trial, id: string): LiveAllocation {
  const entry = state.entries.get(id);
  if (entry?.kind !== 'live')
    throw new Refusal('ALLOCATION_NOT_FOUND', 'There is no such allocation, or it is released.');
  return entry;
}

export function resizeAllocation(command: ResizeAllocation, trial: Trial): AllocationAnswer | CheckAnswer {
  const { id, mode, standing } = command;
  const allocation = live(trial, id);
  const { userId } = allocation;
  const before = itemsOf(allocation.lines);
  const after = normalItems(command.items, trial.catalogue);
  if (mode !== 'CHECK_ONLY' && sameItems(before, after)) return allocationAnswer(allocation, 'live', true);
  const growth = above(after, before);
  if (trial.state.status === 'closed') throw new Refusal('PROJECT_CLOSED', 'The project’s quota is closed.');
  if (growth.length > 0) {
    holdOpen(trial);
    holdStanding(trial, userId, standing, growth);
  }
  if (mode === 'CHECK_ONLY') return check(trial, userId, growth);
  holdToLimits(trial, userId, growth, mode);
  trial.emit({ type: 'AllocationResized', data: { allocationId: id, userId, before, after } });
  return { ...allocationAnswer(live(trial, id), 'live', false), warnings: warningsOf(trial, userId, growth) };
}

export function releaseAllocation({ by }: ReleaseAllocation, trial: Trial): AllocationAnswer {
  const { state } = trial;
  const id = 'id' in by ? by.id : (state.liveByRef.get(by.resourceRef) ?? state.goneRefs.get(by.resourceRef)?.id);
  const entry = id === undefined ? undefined : state.entries.get(id);
  if (entry?.kind === 'resolved' && entry.was.kind === 'live') return allocationAnswer(entry.was, 'released', true);
  const allocation = live(trial, id ?? '');
  const { userId, lines } = allocation;
  trial.emit({
    type: 'AllocationReleased',
    data: { allocationId: allocation.id, userId, items: itemsOf(lines) },
  });
  return allocationAnswer(allocation, 'released', false);
}

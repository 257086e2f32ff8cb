import type { ProjectQuotaEvent } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import { allocate, releaseAllocation, resizeAllocation } from './allocations.js';
import type { QuotaAnswers, QuotaCommand } from './commands.js';
import { bulkSetQuota, clearQuota, setQuota, setQuotaPolicy, tellOverQuota } from './limit-setting.js';
import { removeQuotaMember } from './member-removal.js';
import { closeQuota, freezeQuota, unfreezeQuota } from './project-life.js';
import type { ProjectQuota } from './project-quota.js';
import { reconcile } from './reconcile.js';
import {
  commitReservation,
  expireReservation,
  extendReservation,
  releaseReservation,
  reserve,
} from './reservations.js';
import { type Moment, Trial } from './trial.js';

/** Of the size that they have, so many fit into one append. */
export const EVENTS_PER_COMMAND_MAX = 1_000;

export interface Decision<Type extends QuotaCommand['type'] = QuotaCommand['type']> {
  readonly events: readonly ProjectQuotaEvent[];
  readonly answer: QuotaAnswers[Type];
}

type Rules = {
  readonly [Type in QuotaCommand['type']]: (
    command: Extract<QuotaCommand, { type: Type }>,
    trial: Trial,
  ) => QuotaAnswers[Type];
};

const rules: Rules = {
  Reserve: reserve,
  CommitReservation: commitReservation,
  ReleaseReservation: releaseReservation,
  ExtendReservation: extendReservation,
  ExpireReservation: expireReservation,
  Allocate: allocate,
  ResizeAllocation: resizeAllocation,
  ReleaseAllocation: releaseAllocation,
  SetQuota: setQuota,
  ClearQuota: clearQuota,
  BulkSetQuota: bulkSetQuota,
  SetQuotaPolicy: setQuotaPolicy,
  Reconcile: reconcile,
  FreezeQuota: freezeQuota,
  UnfreezeQuota: (_, trial) => unfreezeQuota(trial),
  TellOverQuota: tellOverQuota,
  CloseQuota: closeQuota,
  RemoveQuotaMember: removeQuotaMember,
};

/**
 * Decides and leaves the events folded into the state, whose journal must record (`state.journal.begin()`): after the
 * append `journal.confirm()`, or `journal.undo()` back to what is confirmed. What is refused (a Refusal) changes
 * nothing. Reservations that are due must have expired first: `state.nextDue(at)`, command ExpireReservation.
 */
export function execute<Command extends QuotaCommand>(
  command: Command,
  state: ProjectQuota,
  moment: Moment,
): Decision<Command['type']> {
  if (!state.journal.isRecording) throw new Error('A decision needs a journal that records.');
  if (moment.at < state.recordedAt) throw new Error('A decision cannot be earlier than the last event.');
  if (command.type !== 'ExpireReservation' && state.nextDue(moment.at) !== undefined)
    throw new Error('Reservations are due; they expire before anything is decided.');
  const mark = state.journal.mark();
  const trial = new Trial(state, moment);
  try {
    const rule = rules[command.type] as (command: QuotaCommand, trial: Trial) => QuotaAnswers[Command['type']];
    const answer = rule(command, trial);
    if (trial.events.length > 0) trial.settle();
    if (trial.events.length > EVENTS_PER_COMMAND_MAX)
      throw new Refusal(
        'EVENT_TOO_LARGE',
        `More than ${EVENTS_PER_COMMAND_MAX} events would come of this; change less at once.`,
      );
    return { events: trial.events, answer };
  } catch (error) {
    state.journal.undo(mark);
    throw error;
  } finally {
    state.touched = null;
  }
}

/** Decides and leaves the state as it was. */
export function decide<Command extends QuotaCommand>(
  command: Command,
  state: ProjectQuota,
  moment: Moment,
): Decision<Command['type']> {
  const { journal } = state;
  const isOwn = !journal.isRecording;
  if (isOwn) journal.begin();
  const mark = journal.mark();
  try {
    return execute(command, state, moment);
  } finally {
    journal.undo(mark);
    if (isOwn) journal.confirm();
  }
}

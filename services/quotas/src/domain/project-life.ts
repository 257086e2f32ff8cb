import { Refusal } from '#libs/eventsourcing';
import type { PolicyAnswer, QuotaCommand } from './commands.js';
import type { Trial } from './trial.js';

/** Whether a project's ledger grants anything: frozen for a while, or closed for good. */

export function holdNotClosed({ state }: Trial): void {
  if (state.status === 'closed') throw new Refusal('PROJECT_CLOSED', 'The project’s quota is closed.');
}

export const policyAnswer = ({ state }: Trial): PolicyAnswer => ({
  kind: 'policy',
  overcommit: state.overcommit,
  frozen: state.frozen,
  closed: state.status === 'closed',
  revision: state.policyRevision,
});

type Freeze = Extract<QuotaCommand, { type: 'FreezeQuota' }>;

export function freezeQuota({ mode }: Freeze, trial: Trial): PolicyAnswer {
  holdNotClosed(trial);
  if (trial.state.frozen !== mode) trial.emit({ type: 'ProjectQuotaFrozen', data: { mode } });
  return policyAnswer(trial);
}

export function unfreezeQuota(trial: Trial): PolicyAnswer {
  holdNotClosed(trial);
  if (trial.state.frozen !== null) trial.emit({ type: 'ProjectQuotaUnfrozen', data: {} });
  return policyAnswer(trial);
}

/** A closed ledger grants nothing any more; releases, expiry and reports go on until it is empty. */
export function closeQuota({ force }: Extract<QuotaCommand, { type: 'CloseQuota' }>, trial: Trial): PolicyAnswer {
  const { state } = trial;
  if (state.status === 'closed') return policyAnswer(trial);
  if (!force && state.project.open + state.project.live > 0)
    throw new Refusal('PROJECT_HAS_USAGE', 'The project still uses or reserves something.');
  trial.emit({ type: 'ProjectQuotaClosed', data: {} });
  return policyAnswer(trial);
}

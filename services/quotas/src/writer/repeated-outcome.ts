import type { Catalogue } from '../domain/catalogue.js';
import type { MemberStanding, QuotaCommand } from '../domain/commands.js';
import { execute } from '../domain/decide.js';
import type { SeenCommand } from '../domain/project-quota.js';
import type { LoadedLedger } from './loaded-ledger.js';
import type { QuotaOutcome, WaitingCommand } from './mailbox.js';

/** What let the command through once is no question when it is answered again. */
const thenGranted: MemberStanding = { member: 'active', services: 'all' };

const asThen = (command: QuotaCommand): QuotaCommand =>
  'standing' in command ? { ...command, standing: thenGranted } : command;

/**
 * The answer to a command that was written before. The rules decide alike on the same history, so it is decided again on
 * the history that it met; `before` is a ledger with nothing folded yet.
 */
export async function repeatedOutcome(
  before: LoadedLedger,
  { firstRevision, lastRevision }: SeenCommand,
  { command, context }: Pick<WaitingCommand, 'command' | 'context'>,
  catalogue: Catalogue,
): Promise<QuotaOutcome> {
  await before.catchUp(firstRevision - 1);
  const own = await before.eventsBetween(firstRevision, lastRevision);
  const last = own.at(-1);
  if (last === undefined) throw new Error(`${before.stream} ends before revision ${lastRevision}.`);
  const { commandId, requestHash } = context;
  const { state } = before;
  state.journal.begin();
  const { answer } = execute(asThen(command), state, { at: last.recordedAt, catalogue, commandId, requestHash });
  const said = answer !== null && 'replayed' in answer ? { ...answer, replayed: true } : answer;
  return { answer: said, position: last.position, revision: lastRevision, replayed: true };
}

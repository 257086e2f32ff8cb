import { quotaCatalogueStream, type QuotaCatalogueEvent } from '#libs/contracts';
import { type CommandContext, type Ledger, type Position, Refusal } from '#libs/eventsourcing';
import { type Catalogue, catalogueDecider } from '../domain/catalogue.js';
import type { MemberStanding, QuotaCommand } from '../domain/commands.js';
import { execute } from '../domain/decide.js';
import type { SeenCommand } from '../domain/project-quota.js';
import { LoadedLedger } from './loaded-ledger.js';
import type { QuotaOutcome, WaitingCommand } from './mailbox.js';

/** What is asked again is mostly asked again soon. */
const RECENT_MAX = 1_000;
/** How many may wait for a long history to be folded; it is folded once for each. */
const WAITING_MAX = 16;

type Asked = Pick<WaitingCommand, 'command' | 'context'>;

/** What let the command through once is no question when it is answered again. */
const thenGranted: MemberStanding = { member: 'active', services: 'all' };

const asThen = (command: QuotaCommand): QuotaCommand =>
  'standing' in command ? { ...command, standing: thenGranted } : command;

function saidAgain(outcome: QuotaOutcome): QuotaOutcome {
  const { answer } = outcome;
  const said = answer !== null && 'replayed' in answer ? { ...answer, replayed: true } : answer;
  return { ...outcome, answer: said, replayed: true };
}

/** Answers commands that were written before as they were answered then, beside the mailbox. */
export class Repetitions {
  private readonly recent = new Map<string, QuotaOutcome>();
  private last: Promise<unknown> = Promise.resolve();
  private waiting = 0;

  constructor(
    private readonly ledger: Pick<Ledger, 'store' | 'codec'>,
    private readonly projectId: string,
  ) {}

  /** What was just written may be asked for again. */
  note({ commandId }: Pick<CommandContext, 'commandId'>, outcome: QuotaOutcome): void {
    this.recent.set(commandId, outcome);
    if (this.recent.size <= RECENT_MAX) return;
    for (const oldest of this.recent.keys()) {
      this.recent.delete(oldest);
      return;
    }
  }

  async answer(asked: Asked, seen: SeenCommand): Promise<QuotaOutcome> {
    if (seen.requestHash !== asked.context.requestHash)
      throw new Refusal('IDEMPOTENCY_MISMATCH', 'The Idempotency-Key came before with another request.');
    const recent = this.recent.get(asked.context.commandId);
    if (recent !== undefined) return saidAgain(recent);
    if (this.waiting >= WAITING_MAX)
      throw new Refusal('OVERLOADED', 'Too many old answers are being looked up.', { retryAfterSeconds: 1 });
    this.waiting += 1;
    const found = this.last.then(() => this.decidedAgain(asked, seen));
    this.last = found.catch(() => undefined);
    try {
      const outcome = await found;
      this.note(asked.context, outcome);
      return outcome;
    } finally {
      this.waiting -= 1;
    }
  }

  /** The rules decide alike on the same history, so the command is decided again on the one that it met. */
  private async decidedAgain({ command, context }: Asked, seen: SeenCommand): Promise<QuotaOutcome> {
    const { firstRevision, lastRevision } = seen;
    const { store, codec } = this.ledger;
    const before = new LoadedLedger(store, codec, this.projectId);
    await before.catchUp(firstRevision - 1);
    const own = await before.eventsBetween(firstRevision, lastRevision);
    const [first, last] = [own[0], own.at(-1)];
    if (first === undefined || last === undefined)
      throw new Error(`${before.stream} ends before revision ${lastRevision}.`);
    const { state } = before;
    const { commandId, requestHash } = context;
    const catalogue = await this.catalogueBefore(first.position);
    state.journal.begin();
    const moment = { at: last.recordedAt, catalogue, commandId, requestHash };
    const { answer } = execute(asThen(command), state, moment);
    return saidAgain({ answer, position: last.position, revision: lastRevision, replayed: true });
  }

  /** As it stood when the command was written: its defaults are limits, and may have been changed since. */
  private async catalogueBefore(position: Position): Promise<Catalogue> {
    const { store, codec } = this.ledger;
    let catalogue = catalogueDecider.initialState;
    for (const stored of await store.readStream(quotaCatalogueStream)) {
      if (stored.position > position) break;
      const event = codec.decode(stored);
      catalogue = catalogueDecider.evolve(catalogue, event as unknown as QuotaCatalogueEvent, event);
    }
    return catalogue;
  }
}

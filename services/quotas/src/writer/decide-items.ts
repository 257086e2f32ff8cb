import { AppendTooLarge, asRefusal, Refusal } from '#libs/eventsourcing';
import type { Batch } from './batch.js';
import type { LoadedLedger } from './loaded-ledger.js';
import type { WaitingCommand, WaitingItem } from './mailbox.js';
import type { Repetitions } from './repetitions.js';

export interface Decisions {
  /** Answers one item each, once what the batch decided stands in the stream. */
  readonly answers: (() => void)[];
  /** To be decided again after that. */
  readonly left: WaitingItem[];
}

/** Decides the items one after the other on what those before them leave, until the batch is full. */
export async function decideItems(
  items: readonly WaitingItem[],
  batch: Batch,
  ledger: LoadedLedger,
  repetitions: Repetitions,
): Promise<Decisions> {
  const answers: (() => void)[] = [];
  const left: WaitingItem[] = [];
  for (const [n, item] of items.entries()) {
    if (item.kind === 'look') {
      answers.push(() => {
        item.see(ledger.state, ledger.lastPosition);
      });
      continue;
    }
    const refusal = refusalOf(item, ledger);
    const seen = ledger.state.commands.get(item.context.commandId);
    if (refusal !== undefined)
      answers.push(() => {
        item.reject(refusal);
      });
    // Its twin is in this very batch; when that is written, this is its repetition.
    else if (seen !== undefined && seen.lastRevision > batch.expectedRevision) left.push(item);
    else if (seen !== undefined)
      answers.push(() => {
        repetitions.answer(item, seen).then(item.resolve, (error: unknown) => {
          item.reject(asRefusal(error));
        });
      });
    else {
      const answer = await decideItem(item, batch, ledger, repetitions);
      if (answer === 'full') {
        left.push(...items.slice(n));
        break;
      }
      answers.push(answer);
    }
  }
  return { answers, left };
}

function refusalOf({ hold }: WaitingCommand, { state }: LoadedLedger): Refusal | undefined {
  try {
    hold?.(state);
    return undefined;
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

async function decideItem(
  item: WaitingCommand,
  batch: Batch,
  ledger: LoadedLedger,
  repetitions: Repetitions,
): Promise<(() => void) | 'full'> {
  try {
    const decided = await batch.decide(item.command, item.context);
    if (decided === 'full') return decided;
    const { events, revision } = decided;
    const { answer } = decided.decision;
    const last = events.at(-1);
    if (last !== undefined) item.attempts.push({ lastLeafHash: last.leafHash.toString('hex'), answer });
    return () => {
      const stored = batch.stored[revision - batch.expectedRevision - 1];
      const position = stored?.position ?? ledger.lastPosition;
      const outcome = { answer, position, revision, replayed: false };
      if (ledger.state.commands.has(item.context.commandId)) repetitions.note(item.context, outcome);
      item.resolve(outcome);
    };
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof AppendTooLarge)) throw error;
    return () => {
      item.reject(asRefusal(error));
    };
  }
}

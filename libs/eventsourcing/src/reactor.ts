import type { StewardEvent } from '#libs/contracts';
import type { CommandContext, RecordedEvent } from './codec.js';
import { commandIdOf } from './envelope.js';

/**
 * A process manager: it follows the log and issues commands because of what it reads. A type of its own, beside
 * projections, so that no rebuild ever runs one again.
 *
 * An event is reacted to at least once, in log order among the events of one key. An event whose reaction throws waits
 * apart and is tried again, with growing pauses and for ever; those of its key wait behind it, all others go on. So a
 * reaction may be cut off anywhere and begun anew: its commands bear ids that `reactionContext` makes from the event,
 * and a command that was done answers as done.
 */
export interface Reactor {
  /** Part of every commandId, so it never changes; the actor of what it does. */
  readonly name: string;
  readonly types: readonly StewardEvent['type'][];
  /**
   * Where it begins when it runs for the first time: at the beginning where the rule holds for what happened before
   * there was a reactor, at the head where only news count.
   */
  readonly startsAt: 'beginning' | 'head';
  /** Events of one key are reacted to one after the other; the stream unless told otherwise. */
  readonly keyOf?: (event: RecordedEvent) => string;
  /** Resolves when every command that the event causes is done. The signal aborts when another process took over. */
  react(event: RecordedEvent, signal: AbortSignal): Promise<void>;
}

/**
 * What the command of a reaction brings to its events: caused by the event, in the chain that the event belongs to. A
 * reaction that is written in parts tells them apart by `part`.
 */
export function reactionContext(
  reactor: string,
  cause: Pick<RecordedEvent, 'id' | 'correlationId'>,
  targetStream: string,
  part?: number,
): CommandContext {
  return {
    commandId: commandIdOf(['react', reactor, cause.id, targetStream, ...(part === undefined ? [] : [part])]),
    correlationId: cause.correlationId,
    causationId: cause.id,
    requestHash: null,
    actor: { type: 'system', id: reactor, via: 'internal' },
    actorPart: null,
  };
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from './clock.js';
import type { Codec, CommandContext, RecordedEvent, StreamScope } from './codec.js';
import { type Decider, type DomainEvent, type EventMeta, Refusal } from './decider.js';
import {
  AppendTooLarge,
  type EventStore,
  type NewEvent,
  OutcomeUnknown,
  type Position,
  type StoredEvent,
  StoreUnavailable,
  WrongExpectedRevision,
} from './event-store.js';
import { traceCommand, traceEvents } from './traced.js';

export const ATTEMPTS_MAX = 16;
/** How long an unknown outcome is looked into before the caller is told that it is unknown. */
export const UNKNOWN_OUTCOME_MS = 800;

/** What run-command needs of the process it runs in. */
export interface Ledger {
  readonly store: EventStore;
  readonly codec: Codec;
  readonly clock: Clock;
  /** Told of what this process appended, before the command is answered: its own indexes apply it at once. */
  readonly onAppended: (events: readonly StoredEvent[]) => Promise<void>;
}

export interface CommandRun<State, Command, Event extends DomainEvent> {
  readonly stream: string;
  readonly decider: Decider<State, Command, Event>;
  readonly command: Command;
  readonly scope: StreamScope;
  readonly context: CommandContext;
  /** If-Match: the revision that the caller has seen. */
  readonly expectedRevision?: number | undefined;
}

export interface CommandOutcome<State> {
  /** The state that the command left, or found if it changed nothing. */
  readonly state: State;
  readonly revision: number;
  /** Of the command's last event; of the stream's last event if it wrote none; null on an absent stream. */
  readonly position: Position | null;
  readonly events: readonly RecordedEvent[];
  /** True when an earlier request did it: a secret made by this request was then never stored and must not be shown. */
  readonly replayed: boolean;
}

interface Folded<State> {
  readonly state: State;
  readonly revision: number;
  readonly last: StoredEvent | undefined;
  readonly lastRecordedAt: string;
  readonly own: readonly RecordedEvent[];
  /** The state just after the command's own last event. */
  readonly stateAfterOwn: State;
}

function fold<State, Command, Event extends DomainEvent>(
  codec: Codec,
  run: CommandRun<State, Command, Event>,
  history: readonly StoredEvent[],
): Folded<State> {
  let state = run.decider.initialState;
  let stateAfterOwn = state;
  let lastRecordedAt = '';
  const own: RecordedEvent[] = [];
  for (const stored of history) {
    const event = codec.decode(stored);
    state = run.decider.evolve(state, event as unknown as Event, event);
    lastRecordedAt = event.recordedAt;
    if (event.commandId === run.context.commandId) {
      own.push(event);
      stateAfterOwn = state;
    }
  }
  return { state, revision: history.length, last: history.at(-1), lastRecordedAt, own, stateAfterOwn };
}

/**
 * Load, fold, see one's own commandId, decide, append; again on a lost race, and on an unknown outcome until it is
 * known. Refuses with VERSION_CONFLICT, IDEMPOTENCY_MISMATCH, EVENT_TOO_LARGE, OVERLOADED, DISK_FULL,
 * STORE_UNAVAILABLE or OUTCOME_UNKNOWN, and with whatever the decider refuses.
 */
export function runCommand<State, Command, Event extends DomainEvent>(
  ledger: Ledger,
  run: CommandRun<State, Command, Event>,
): Promise<CommandOutcome<State>> {
  return traceCommand(run.command, run.context, (context) => tryUntilKnown(ledger, { ...run, context }));
}

async function tryUntilKnown<State, Command, Event extends DomainEvent>(
  ledger: Ledger,
  run: CommandRun<State, Command, Event>,
): Promise<CommandOutcome<State>> {
  const attempted = new Set<string>();
  let unknownSinceMs: number | undefined;
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    try {
      const done = await tryOnce(ledger, run, attempted);
      if (done !== undefined) return done;
    } catch (error) {
      if (error instanceof OutcomeUnknown) unknownSinceMs ??= performance.now();
      else if (unknownSinceMs === undefined || !(error instanceof StoreUnavailable)) throw asRefusal(error);
      if (performance.now() - unknownSinceMs > UNKNOWN_OUTCOME_MS) break;
      await sleep(Math.min(10 * 2 ** attempt, 200));
    }
  }
  if (unknownSinceMs !== undefined) throw outcomeUnknown();
  throw new Refusal('OVERLOADED', `${run.stream} is being changed by too many at once.`, { retryAfterSeconds: 1 });
}

async function tryOnce<State, Command, Event extends DomainEvent>(
  ledger: Ledger,
  run: CommandRun<State, Command, Event>,
  attempted: Set<string>,
): Promise<CommandOutcome<State> | undefined> {
  const { store, codec, clock } = ledger;
  const history = await store.readStream(run.stream);
  const folded = fold(codec, run, history);
  const lastOwn = folded.own.at(-1);
  if (lastOwn !== undefined) {
    if (lastOwn.requestHash !== run.context.requestHash)
      throw new Refusal('IDEMPOTENCY_MISMATCH', 'The Idempotency-Key came before with another request.');
    await ledger.onAppended(history.filter((event) => event.revision <= lastOwn.revision));
    return {
      state: folded.stateAfterOwn,
      revision: lastOwn.revision,
      position: lastOwn.position,
      events: folded.own,
      replayed: !folded.own.some((event) => attempted.has(event.leafHash.toString('hex'))),
    };
  }
  if (run.expectedRevision !== undefined && run.expectedRevision !== folded.revision)
    throw new Refusal('VERSION_CONFLICT', `The version is ${folded.revision}, not ${run.expectedRevision}.`);

  const now = clock.now();
  const recordedAt = now > folded.lastRecordedAt ? now : folded.lastRecordedAt;
  const decided = run.decider.decide(run.command, folded.state, recordedAt);
  if (decided.length === 0)
    return {
      state: folded.state,
      revision: folded.revision,
      position: folded.last?.position ?? null,
      events: [],
      replayed: false,
    };

  const prepared = await codec.encode({
    ...run.scope,
    stream: run.stream,
    lastRevision: folded.revision,
    lastChainHash: folded.last?.chainHash ?? null,
    recordedAt,
    context: run.context,
    events: decided,
  });
  for (const event of prepared) attempted.add(event.leafHash.toString('hex'));
  const appended = await append(store, run.stream, folded.revision, prepared);
  // A conflict or an earlier identical append: what stands in the stream decides, so it is read again.
  if (appended === undefined) return undefined;
  await ledger.onAppended(appended);
  const events = appended.map((stored) => codec.decode(stored));
  return {
    state: decided.reduce((state, event, n) => run.decider.evolve(state, event, events[n] as EventMeta), folded.state),
    revision: folded.revision + events.length,
    position: events.at(-1)?.position ?? null,
    events,
    replayed: false,
  };
}

async function append(
  store: EventStore,
  stream: string,
  expectedRevision: number,
  events: readonly NewEvent[],
): Promise<readonly StoredEvent[] | undefined> {
  try {
    const result = await traceEvents('append', events, () => store.append({ stream, expectedRevision, events }));
    return result.answeredAsDone ? undefined : result.events;
  } catch (error) {
    if (error instanceof WrongExpectedRevision) return undefined;
    throw error;
  }
}

const outcomeUnknown = (): Refusal =>
  new Refusal('OUTCOME_UNKNOWN', 'Repeat the request with the same Idempotency-Key to learn what became of it.', {
    retryAfterSeconds: 1,
  });

/** The store's errors in the words of the catalogue; anything else passes through. */
export function asRefusal(error: unknown): unknown {
  if (error instanceof AppendTooLarge) return new Refusal('EVENT_TOO_LARGE', error.detail);
  if (error instanceof OutcomeUnknown) return outcomeUnknown();
  if (error instanceof StoreUnavailable) {
    switch (error.reason) {
      case 'disk-full':
        return new Refusal('DISK_FULL', 'The disk is almost full; nothing was changed.', { retryAfterSeconds: 30 });
      case 'overloaded':
        return new Refusal('OVERLOADED', 'Too many changes are waiting; nothing was changed.', {
          retryAfterSeconds: 1,
        });
      case 'unreachable':
        return new Refusal('STORE_UNAVAILABLE', 'The event store cannot be reached; nothing was changed.', {
          retryAfterSeconds: 1,
        });
    }
  }
  return error;
}

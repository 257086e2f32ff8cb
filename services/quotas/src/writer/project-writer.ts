import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import {
  AppendTooLarge,
  asRefusal,
  type CommandContext,
  type Ledger,
  OutcomeUnknown,
  type Position,
  Refusal,
  type StoredEvent,
  StoreUnavailable,
  type StreamScope,
  traceCommand,
  traceEvents,
  WrongExpectedRevision,
} from '#libs/eventsourcing';
import type { Catalogue } from '../domain/catalogue.js';
import type { QuotaCommand } from '../domain/commands.js';
import type { ProjectQuota, SeenCommand } from '../domain/project-quota.js';
import { Batch } from './batch.js';
import { LoadedLedger } from './loaded-ledger.js';
import type { QuotaOutcome, WaitingCommand, WaitingItem } from './mailbox.js';
import { repeatedOutcome } from './repeated-outcome.js';
import { ATTEMPTS_MAX, UNKNOWN_OUTCOME_MS, type WriterLimits } from './writer-limits.js';

const RETRY_SWEEP_MS = 1_000;
const TIMER_MS_MAX = 60_000;

export interface WriterOptions {
  readonly ledger: Ledger;
  readonly scope: StreamScope & { readonly projectId: string };
  readonly catalogue: () => Catalogue;
  readonly limits: WriterLimits;
}

interface Round {
  readonly left: WaitingItem[];
  /** False if nothing was answered because another writer was first. */
  readonly progressed: boolean;
}

interface Decisions {
  readonly answers: (() => void)[];
  readonly left: WaitingItem[];
}

const overloaded = (detail: string): Refusal => new Refusal('OVERLOADED', detail, { retryAfterSeconds: 1 });

/**
 * The one writer of a project in this process. What comes while an append is under way goes together into the next one;
 * another process may write too, for the expected revision decides and not who is the writer.
 */
export class ProjectWriter {
  private mailbox: WaitingItem[] = [];
  private pump: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private loaded: LoadedLedger | undefined;
  /** By performance.now(): when the state was last known to be all that stands in the stream. */
  private confirmedMs = -Infinity;
  private isBehind = true;
  private closed = false;
  /** What was read while the batch in hand is decided, by leaf hash. */
  private readonly tail = new Map<string, StoredEvent>();
  /** How often another writer was first. */
  conflicts = 0;

  constructor(private readonly options: WriterOptions) {}

  get isIdle(): boolean {
    return this.pump === undefined;
  }

  /** Refuses with what the rules refuse, IDEMPOTENCY_MISMATCH, EVENT_TOO_LARGE, OVERLOADED and the store's codes. */
  run<Command extends QuotaCommand>(
    command: Command,
    context: CommandContext,
    deadlineMs = performance.now() + this.options.limits.deadlineMs,
  ): Promise<QuotaOutcome<Command['type']>> {
    const posted = (): Promise<QuotaOutcome<Command['type']>> =>
      new Promise((resolve, reject) => {
        const settle = resolve as (outcome: QuotaOutcome) => void;
        this.post({ kind: 'command', command, context, deadlineMs, attempts: [], resolve: settle, reject });
      });
    return traceCommand(command, context, posted);
  }

  /** Reads the confirmed state; what is due has expired in it. `see` must neither wait nor change it. */
  look<Seen>(see: (state: ProjectQuota, position: Position | null) => Seen, minPosition?: Position): Promise<Seen> {
    if (minPosition !== undefined && minPosition > (this.loaded?.lastPosition ?? '')) this.isBehind = true;
    return new Promise((resolve, reject) => {
      this.post({
        kind: 'look',
        deadlineMs: performance.now() + this.options.limits.deadlineMs,
        reject,
        see: (state, position) => {
          // The executor hands on what `see` throws.
          resolve(
            new Promise((seen) => {
              seen(see(state, position));
            }),
          );
        },
      });
    });
  }

  /** Answers what waits, then writes nothing more. */
  async close(): Promise<void> {
    this.closed = true;
    await this.pump;
    clearTimeout(this.timer);
  }

  private post(item: WaitingItem): void {
    if (this.closed) {
      item.reject(overloaded('This process is shutting down.'));
      return;
    }
    if (this.mailbox.length >= this.options.limits.mailboxMax) {
      item.reject(overloaded('Too many commands of this project are waiting; nothing was changed.'));
      return;
    }
    this.mailbox.push(item);
    this.pump ??= this.work();
  }

  private async work(): Promise<void> {
    clearTimeout(this.timer);
    let failed = false;
    for (;;) {
      // The callers that were just answered, and those of this turn, come along in the next batch.
      await nextTurn();
      if (this.mailbox.length === 0) break;
      failed = !(await this.process(this.mailbox.splice(0, this.options.limits.batchCommandsMax)));
    }
    this.pump = undefined;
    this.wakeWhenDue(failed);
  }

  private wakeWhenDue(failed: boolean): void {
    const due = this.loaded?.state.nextExpiry();
    if (due === undefined || this.closed) return;
    const dueInMs = Date.parse(due.expiresAt) - this.options.ledger.clock.nowMs();
    const waitMs = Math.min(Math.max(dueInMs, failed ? RETRY_SWEEP_MS : 1), TIMER_MS_MAX);
    this.timer = setTimeout(() => {
      this.look(() => undefined).catch(() => undefined);
    }, waitMs);
    this.timer.unref();
  }

  /** Until every item is answered; false if the store refused. */
  private async process(batch: WaitingItem[]): Promise<boolean> {
    let items = batch;
    let unknownSinceMs: number | undefined;
    this.tail.clear();
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      try {
        const { left, progressed } = await this.round(items);
        if (left.length === 0) return true;
        items = left;
        if (progressed) attempt = 0;
        // Writers that lost a few races in a row would else go on losing in step.
        else if (attempt > 2) await sleep(Math.random() * 2 * attempt);
      } catch (error) {
        this.undo(error);
        if (error instanceof OutcomeUnknown) unknownSinceMs ??= performance.now();
        else if (unknownSinceMs === undefined || !(error instanceof StoreUnavailable)) {
          for (const { reject } of items) reject(asRefusal(error));
          return false;
        }
        if (performance.now() - unknownSinceMs > UNKNOWN_OUTCOME_MS) break;
        await sleep(Math.min(10 * 2 ** attempt, 200));
      }
    }
    for (const item of items) this.giveUp(item, 'The project is being changed by too many at once.');
    return false;
  }

  private giveUp(item: WaitingItem, detail: string): void {
    const mayBeDone = item.kind === 'command' && item.attempts.length > 0;
    item.reject(mayBeDone ? asRefusal(new OutcomeUnknown()) : overloaded(detail));
  }

  /** Back to what is confirmed; what else stands in the stream is read before the next decision. */
  private undo(error?: unknown): void {
    this.isBehind = true;
    const journal = this.loaded?.state.journal;
    if (journal?.isRecording === true) {
      journal.undo();
      journal.confirm();
    }
    const isKnown =
      error === undefined ||
      error instanceof OutcomeUnknown ||
      error instanceof StoreUnavailable ||
      error instanceof Refusal;
    // A fault of the program may have left the state half folded.
    if (!isKnown) this.loaded = undefined;
  }

  /** One look at the items: answers those it can, and returns those that must be decided again. */
  private async round(batch: readonly WaitingItem[]): Promise<Round> {
    const ledger = await this.current();
    const items = batch.filter((item) => !this.isSettled(item));
    if (items.length === 0) return { left: [], progressed: true };
    const { state } = ledger;
    const now = this.options.ledger.clock.now();
    const batchOf = new Batch(
      ledger,
      this.options.ledger.codec,
      this.options.scope,
      now > state.recordedAt ? now : state.recordedAt,
      this.options.catalogue(),
      this.options.limits.batchBytesMax,
    );
    const isSweepLeft = await batchOf.sweep();
    const { answers, left } = isSweepLeft ? { answers: [], left: items } : await this.decideAll(batchOf, items);
    if (batchOf.events.length > 0 ? await this.append(batchOf, ledger) : await this.isFresh(ledger)) {
      for (const answer of answers) answer();
      return { left, progressed: true };
    }
    return { left: items, progressed: false };
  }

  /** The ledger with all that stood in the stream at this moment, where it is not known to be so already. */
  private async current(): Promise<LoadedLedger> {
    const { ledger, scope } = this.options;
    const loaded = (this.loaded ??= new LoadedLedger(ledger.store, ledger.codec, scope.projectId));
    if (this.isBehind) await this.catchUp(loaded);
    return loaded;
  }

  private async catchUp(ledger: LoadedLedger): Promise<boolean> {
    const sinceMs = performance.now();
    const tail = await ledger.catchUp();
    if (tail.length > 0) await this.options.ledger.onAppended(tail);
    for (const stored of tail) this.tail.set(stored.leafHash.toString('hex'), stored);
    this.isBehind = false;
    this.confirmedMs = sinceMs;
    return tail.length > 0;
  }

  /** True if the item was answered: it stands in the stream by an attempt whose outcome was unknown, or it is too late. */
  private isSettled(item: WaitingItem): boolean {
    const done = item.kind === 'command' ? item.attempts.find(({ lastLeafHash }) => this.tail.has(lastLeafHash)) : null;
    if (item.kind === 'command' && done !== undefined && done !== null) {
      const { position, revision } = this.tail.get(done.lastLeafHash) as StoredEvent;
      item.resolve({ answer: done.answer, position, revision, replayed: false });
      return true;
    }
    if (performance.now() <= item.deadlineMs) return false;
    // Nothing is reserved for somebody who has left.
    this.giveUp(item, 'The command waited too long; nothing was changed.');
    return true;
  }

  private async decideAll(batch: Batch, items: readonly WaitingItem[]): Promise<Decisions> {
    const decisions: Decisions = { answers: [], left: [] };
    const { answers, left } = decisions;
    for (const [n, item] of items.entries()) {
      if (item.kind === 'look') {
        answers.push(() => {
          const { state, lastPosition } = this.loaded as LoadedLedger;
          item.see(state, lastPosition);
        });
        continue;
      }
      const seen = this.loaded?.state.commands.get(item.context.commandId);
      if (seen !== undefined && seen.lastRevision > batch.expectedRevision) {
        // Its twin is in this very batch; when that is written, this is its repetition.
        left.push(item);
        continue;
      }
      if (seen !== undefined) {
        answers.push(() => {
          this.repeat(item, seen);
        });
        continue;
      }
      const answer = await this.decide(batch, item);
      if (answer === 'full') {
        left.push(...items.slice(n));
        break;
      }
      answers.push(answer);
    }
    return decisions;
  }

  private async decide(batch: Batch, item: WaitingCommand): Promise<(() => void) | 'full'> {
    try {
      const decided = await batch.decide(item.command, item.context);
      if (decided === 'full') return decided;
      const { events, revision } = decided;
      const { answer } = decided.decision;
      const last = events.at(-1);
      if (last !== undefined) item.attempts.push({ lastLeafHash: last.leafHash.toString('hex'), answer });
      return () => {
        const stored = batch.stored[revision - batch.expectedRevision - 1];
        const position = stored?.position ?? this.loaded?.lastPosition ?? null;
        item.resolve({ answer, position, revision, replayed: false });
      };
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof AppendTooLarge)) throw error;
      return () => {
        item.reject(asRefusal(error));
      };
    }
  }

  /** Reads history beside the mailbox: what was written stays as it is. */
  private repeat(item: WaitingCommand, seen: SeenCommand): void {
    const { ledger, scope, catalogue } = this.options;
    if (seen.requestHash !== item.context.requestHash) {
      item.reject(new Refusal('IDEMPOTENCY_MISMATCH', 'The Idempotency-Key came before with another request.'));
      return;
    }
    const before = new LoadedLedger(ledger.store, ledger.codec, scope.projectId);
    repeatedOutcome(before, seen, item, catalogue()).then(item.resolve, (error: unknown) => {
      item.reject(asRefusal(error));
    });
  }

  /** False if another writer was first, or if the outcome of an earlier append has to be looked up. */
  private async append(batch: Batch, ledger: LoadedLedger): Promise<boolean> {
    const { stream } = ledger;
    const { events, expectedRevision } = batch;
    const sinceMs = performance.now();
    try {
      const { store } = this.options.ledger;
      const result = await traceEvents('append', events, () => store.append({ stream, expectedRevision, events }));
      if (!result.answeredAsDone) {
        batch.stored = result.events;
        ledger.state.journal.confirm();
        ledger.endsWith(result.events.at(-1));
        this.confirmedMs = sinceMs;
        await this.options.ledger.onAppended(result.events);
        return true;
      }
    } catch (error) {
      if (!(error instanceof WrongExpectedRevision)) throw error;
      this.conflicts += 1;
    }
    this.undo();
    return false;
  }

  /** A denial may rest on a state that another writer has moved on from. */
  private async isFresh(ledger: LoadedLedger): Promise<boolean> {
    ledger.state.journal.undo();
    ledger.state.journal.confirm();
    if (performance.now() - this.confirmedMs <= this.options.limits.freshMs) return true;
    return !(await this.catchUp(ledger));
  }
}

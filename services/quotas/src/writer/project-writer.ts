import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import {
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
import type { ProjectQuota } from '../domain/project-quota.js';
import { Batch } from './batch.js';
import { decideItems } from './decide-items.js';
import { LoadedLedger } from './loaded-ledger.js';
import type { SnapshotShelf } from './quota-snapshots.js';
import type { QuotaOutcome, Terms, WaitingItem } from './mailbox.js';
import { Repetitions } from './repetitions.js';
import { SnapshotKeeper } from './snapshot-keeper.js';
import { ATTEMPTS_MAX, UNKNOWN_OUTCOME_MS, type WriterLimits } from './writer-limits.js';

const RETRY_SWEEP_MS = 1_000;
const TIMER_MS_MAX = 60_000;

/** Told of what a writer does, for the figures of the process. */
export interface WriterWatch {
  /** A batch was written, with so many commands answered by it. */
  appended(commands: number): void;
  /** Another writer was first. */
  lostRace(): void;
  /** So many more items wait, or fewer if negative. */
  waits(items: number): void;
}

export interface WriterOptions {
  readonly ledger: Ledger;
  readonly scope: StreamScope & { readonly projectId: string };
  readonly catalogue: () => Catalogue;
  readonly limits: WriterLimits;
  readonly snapshots?: SnapshotShelf;
  readonly watch?: WriterWatch;
  /** False while another process expires what is due here when nobody asks. */
  readonly owns?: () => boolean;
}

interface Round {
  readonly left: WaitingItem[];
  /** False if nothing was answered because another writer was first. */
  readonly progressed: boolean;
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
  private readonly snapshots: SnapshotKeeper | undefined;
  private readonly repetitions: Repetitions;
  /** What was read while the batch in hand is decided, by leaf hash. */
  private readonly tail = new Map<string, StoredEvent>();

  constructor(private readonly options: WriterOptions) {
    const { snapshots, limits, ledger, scope } = options;
    this.repetitions = new Repetitions(ledger, scope.projectId);
    this.snapshots = snapshots && new SnapshotKeeper(snapshots, limits.snapshotEvents);
  }

  get isIdle(): boolean {
    return this.pump === undefined;
  }

  /**
   * Refuses with what the rules and `hold` refuse, IDEMPOTENCY_MISMATCH, EVENT_TOO_LARGE, OVERLOADED and the store's
   * codes.
   */
  run<Command extends QuotaCommand>(
    command: Command,
    context: CommandContext,
    { hold, deadlineMs: callerMs = Infinity }: Terms = {},
  ): Promise<QuotaOutcome<Command['type']>> {
    const posted = (traced: CommandContext): Promise<QuotaOutcome<Command['type']>> =>
      new Promise((resolve, reject) => {
        const settle = resolve as (outcome: QuotaOutcome) => void;
        const arrivedMs = performance.now();
        const deadlineMs = Math.min(arrivedMs + this.options.limits.deadlineMs, callerMs);
        const waits = { arrivedMs, deadlineMs, resolve: settle, reject };
        this.post({ kind: 'command', command, context: traced, hold, attempts: [], ...waits });
      });
    return traceCommand(command, context, posted);
  }

  /**
   * What memory holds now, without a wait: it may lag behind other processes, and an append that is under way may take a
   * part of it back. Undefined until the ledger is loaded.
   */
  peek<Seen>(see: (state: ProjectQuota) => Seen): Seen | undefined {
    return this.loaded && see(this.loaded.state);
  }

  /** Reads the confirmed state; what is due has expired in it. `see` must neither wait nor change it. */
  look<Seen>(see: (state: ProjectQuota, position: Position | null) => Seen, minPosition?: Position): Promise<Seen> {
    if (minPosition !== undefined && minPosition > (this.loaded?.lastPosition ?? '')) this.isBehind = true;
    return new Promise((resolve, reject) => {
      const arrivedMs = performance.now();
      this.post({
        kind: 'look',
        arrivedMs,
        deadlineMs: arrivedMs + this.options.limits.deadlineMs,
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
    await this.snapshots?.close();
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
    this.options.watch?.waits(1);
    this.pump ??= this.work();
  }

  private async work(): Promise<void> {
    clearTimeout(this.timer);
    let failed = false;
    for (;;) {
      // The callers that were just answered, and those of this turn, come along in the next batch.
      await nextTurn();
      if (this.mailbox.length === 0) break;
      const items = this.mailbox.splice(0, this.options.limits.batchCommandsMax);
      this.options.watch?.waits(-items.length);
      failed = !(await this.process(items));
      if (this.loaded !== undefined) this.snapshots?.afterBatch(this.loaded);
    }
    this.pump = undefined;
    this.wakeWhenDue(failed);
  }

  private wakeWhenDue(failed: boolean): void {
    const state = this.loaded?.state;
    const isUntold = state !== undefined && state.untold.size > 0;
    const dueAt = state?.nextExpiry()?.expiresAt;
    if (this.closed || (dueAt === undefined && !isUntold)) return;
    const dueInMs = isUntold || dueAt === undefined ? 0 : Date.parse(dueAt) - this.options.ledger.clock.nowMs();
    const waitMs = Math.min(Math.max(dueInMs, failed ? RETRY_SWEEP_MS : 1), TIMER_MS_MAX);
    this.timer = setTimeout(() => {
      // Whoever has changed a limit tells all that comes of it: the owner need not know of it.
      if (!isUntold && this.options.owns?.() === false) return;
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
    const { answers, left } = isSweepLeft
      ? { answers: [], left: items }
      : await decideItems(items, batchOf, ledger, this.repetitions);
    const isWritten = batchOf.events.length > 0;
    if (isWritten ? await this.append(batchOf, ledger) : await this.isFresh(ledger, items)) {
      if (isWritten) this.options.watch?.appended(answers.length);
      for (const answer of answers) answer();
      return { left, progressed: true };
    }
    return { left: items, progressed: false };
  }

  /** The ledger with all that stood in the stream at this moment, where it is not known to be so already. */
  private async current(): Promise<LoadedLedger> {
    const { ledger, scope } = this.options;
    const loaded = (this.loaded ??= new LoadedLedger(
      ledger.store,
      ledger.codec,
      scope.projectId,
      this.options.snapshots,
    ));
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
      this.options.watch?.lostRace();
    }
    this.undo();
    return false;
  }

  /** Whoever is denied must have been denied by all that was written before the question came, by any process. */
  private async isFresh(ledger: LoadedLedger, items: readonly WaitingItem[]): Promise<boolean> {
    ledger.state.journal.undo();
    ledger.state.journal.confirm();
    if (items.every(({ arrivedMs }) => arrivedMs <= this.confirmedMs)) return true;
    return !(await this.catchUp(ledger));
  }
}

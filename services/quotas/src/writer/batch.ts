import type { ProjectQuotaEvent } from '#libs/contracts';
import {
  type Codec,
  type CommandContext,
  commandIdOf,
  type NewEvent,
  type StoredEvent,
  type StreamScope,
} from '#libs/eventsourcing';
import type { Catalogue } from '../domain/catalogue.js';
import type { QuotaCommand } from '../domain/commands.js';
import { type Decision, execute } from '../domain/decide.js';
import type { LoadedLedger } from './loaded-ledger.js';
import { SWEEP_EVENTS_MAX } from './writer-limits.js';

/** The part of the program that the ledger names for what time brings. */
const SWEEPER = 'quota-writer';

/** The same expiry is the same command, whichever process notices it and however often. */
export const contextOfExpiry = (stream: string, reservationId: string, expiresAt: string): CommandContext =>
  ownContext(commandIdOf(['time', stream, 'expiry', reservationId, expiresAt]));

function ownContext(commandId: string): CommandContext {
  return {
    commandId,
    correlationId: commandId,
    causationId: null,
    requestHash: null,
    actor: { type: 'system', id: SWEEPER, via: 'internal' },
    actorPart: null,
  };
}

export interface Decided {
  readonly decision: Decision;
  readonly events: readonly NewEvent[];
  readonly revision: number;
}

/** Decisions that are made on one another and appended together; the ledger's journal records while it lives. */
export class Batch {
  readonly events: NewEvent[] = [];
  /** The events again, once they are appended. */
  stored: readonly StoredEvent[] = [];
  private sizeBytes = 0;
  private lastChainHash: Buffer | null;
  readonly expectedRevision: number;

  constructor(
    private readonly ledger: LoadedLedger,
    private readonly codec: Codec,
    private readonly scope: StreamScope,
    private readonly at: string,
    private readonly catalogue: Catalogue,
    private readonly batchBytesMax: number,
  ) {
    this.expectedRevision = ledger.state.revision;
    this.lastChainHash = ledger.lastChainHash;
    ledger.state.journal.begin();
  }

  /** Expires what is due and tells what was left to be told; true if it is more than one append takes. */
  async sweep(): Promise<boolean> {
    const { state, stream } = this.ledger;
    for (let due = state.nextDue(this.at); due !== undefined; due = state.nextDue(this.at)) {
      // An expiry may bring an OverQuotaCleared or a QuotaMemberClosed with it.
      if (this.events.length >= SWEEP_EVENTS_MAX) return true;
      const context = contextOfExpiry(stream, due.reservationId, due.expiresAt);
      if ((await this.decide({ type: 'ExpireReservation', ...due }, context)) === 'full') return true;
    }
    for (const told of state.untold) {
      if (this.events.length >= SWEEP_EVENTS_MAX) return true;
      const { service, resource } = told;
      const context = ownContext(commandIdOf(['over-quota', stream, service, resource, state.revision]));
      const decided = await this.decide({ type: 'TellOverQuota', service, resource }, context);
      if (decided === 'full' || state.untold.has(told)) return true;
    }
    return false;
  }

  /** 'full' leaves the command for the next batch. Throws what the rules refuse, and AppendTooLarge; nothing is changed then. */
  async decide(command: QuotaCommand, context: CommandContext): Promise<Decided | 'full'> {
    const { state } = this.ledger;
    const mark = state.journal.mark();
    const lastRevision = state.revision;
    const { commandId, requestHash } = context;
    const moment = { at: this.at, catalogue: this.catalogue, commandId, requestHash };
    const decision = execute(command, state, moment);
    try {
      const events = await this.encoded(decision.events, lastRevision, context);
      const sizeBytes = events.reduce((sum, { envelope }) => sum + Buffer.byteLength(envelope, 'utf8'), 0);
      if (this.events.length > 0 && this.sizeBytes + sizeBytes > this.batchBytesMax) {
        state.journal.undo(mark);
        return 'full';
      }
      this.sizeBytes += sizeBytes;
      this.events.push(...events);
      this.lastChainHash = events.at(-1)?.chainHash ?? this.lastChainHash;
      return { decision, events, revision: state.revision };
    } catch (error) {
      state.journal.undo(mark);
      throw error;
    }
  }

  private async encoded(
    events: readonly ProjectQuotaEvent[],
    lastRevision: number,
    context: CommandContext,
  ): Promise<NewEvent[]> {
    if (events.length === 0) return [];
    const { stream } = this.ledger;
    const { scope, lastChainHash, at: recordedAt } = this;
    return this.codec.encode({ ...scope, stream, lastRevision, lastChainHash, recordedAt, context, events });
  }
}

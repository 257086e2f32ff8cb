import type { CommandContext, Position } from '#libs/eventsourcing';
import type { QuotaAnswers, QuotaCommand } from '../domain/commands.js';
import type { ProjectQuota } from '../domain/project-quota.js';

export interface QuotaOutcome<Type extends QuotaCommand['type'] = QuotaCommand['type']> {
  readonly answer: QuotaAnswers[Type];
  /** Of the command's last event; of the stream's last event if it wrote none; null on an absent stream. */
  readonly position: Position | null;
  readonly revision: number;
  /** True when an earlier request with the same commandId did it. */
  readonly replayed: boolean;
}

/** Asked on the very state that a command is decided on: throws the Refusal of one that must not be decided there. */
export type Hold = (state: ProjectQuota) => void;

/** What a command is run on, beside the rules. */
export interface Terms {
  readonly hold?: Hold | undefined;
  /** By performance.now(): when whoever asks waits no longer; not later than the writer's own deadline. */
  readonly deadlineMs?: number | undefined;
}

/** One try to append a command's events: known again by the leaf hash of the last. */
export interface Attempt {
  readonly lastLeafHash: string;
  readonly answer: QuotaOutcome['answer'];
}

interface Waiting {
  /** By performance.now(), as the deadline. */
  readonly arrivedMs: number;
  readonly deadlineMs: number;
  readonly reject: (error: unknown) => void;
}

export interface WaitingCommand extends Waiting {
  readonly kind: 'command';
  readonly command: QuotaCommand;
  readonly context: CommandContext;
  readonly hold: Hold | undefined;
  readonly attempts: Attempt[];
  readonly resolve: (outcome: QuotaOutcome) => void;
}

/** Somebody who reads the confirmed state, after what is due was swept. */
export interface WaitingLook extends Waiting {
  readonly kind: 'look';
  readonly see: (state: ProjectQuota, position: Position | null) => void;
}

export type WaitingItem = WaitingCommand | WaitingLook;

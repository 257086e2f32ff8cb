/** What one project's writer takes on (notes on the hot project: docs/architecture.md). */
export interface WriterLimits {
  /** More waiting commands are refused with OVERLOADED. */
  readonly mailboxMax: number;
  readonly batchCommandsMax: number;
  /** Of the envelopes in UTF-8; one command alone may be larger. */
  readonly batchBytesMax: number;
  /** How long a command may wait for its decision, unless its caller says otherwise. */
  readonly deadlineMs: number;
  /** A snapshot is kept after so many events, or as many as the state has entries. */
  readonly snapshotEvents: number;
  /** How many projects are kept in memory while nobody asks for them. */
  readonly idleProjectsMax: number;
}

export const WRITER_LIMITS: WriterLimits = {
  mailboxMax: 10_000,
  batchCommandsMax: 512,
  batchBytesMax: 256 * 1024,
  deadlineMs: 10_000,
  snapshotEvents: 1_000,
  idleProjectsMax: 1_000,
};

/** Sweeps are appended in pieces of so many events. */
export const SWEEP_EVENTS_MAX = 500;
export const ATTEMPTS_MAX = 16;
/** How long an unknown outcome is looked into before the caller is told that it is unknown. */
export const UNKNOWN_OUTCOME_MS = 800;
export const PAGE_EVENTS_MAX = 2_000;

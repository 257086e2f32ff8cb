import type { Position, StoredEvent } from './event-store.js';

/** An event as it is stored, nothing of it checked; the private parts are the stored text. */
export interface LedgerRow extends Omit<StoredEvent, 'privateParts'> {
  readonly privateText: string | null;
}

/** Where the log itself is broken. */
export interface PositionFault {
  readonly kind: 'gap' | 'time-backwards' | 'head';
  readonly position: Position;
  readonly detail: string;
}

/** The whole ledger, read page by page for a check: memory does not grow with its events. */
export interface LedgerRead {
  /** Every event up to a position, by stream and revision. */
  byStream(until: Position, streamPrefix?: string): AsyncGenerator<LedgerRow[], void, undefined>;
  /** What this store promises of positions and does not keep. */
  positionFaults(): AsyncGenerator<PositionFault, void, undefined>;
  /** The envelopes of the events of these types in these streams, as they are stored. */
  envelopes(streams: readonly string[], types: readonly string[]): Promise<string[]>;
}

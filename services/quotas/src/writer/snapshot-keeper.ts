import type { LoadedLedger } from './loaded-ledger.js';
import type { SnapshotShelf } from './quota-snapshots.js';

/** Has a ledger's state kept now and then, one at a time and beside the mailbox. */
export class SnapshotKeeper {
  private readonly closing = new AbortController();
  private running: Promise<void> | undefined;
  private lastRevision = 0;

  constructor(
    private readonly shelf: SnapshotShelf,
    private readonly everyEvents: number,
  ) {}

  /** One costs as much as the state is large, so a large state is kept after as many events more. */
  afterBatch({ state, stream, lastChainHash, resumedAt }: LoadedLedger): void {
    if (this.running !== undefined || lastChainHash === null || state.journal.isRecording) return;
    const since = Math.max(this.lastRevision, resumedAt);
    if (state.revision - since < Math.max(this.everyEvents, state.entries.size)) return;
    this.lastRevision = state.revision;
    this.running = this.shelf.keep(stream, { state, chainHash: lastChainHash }, this.closing.signal).finally(() => {
      this.running = undefined;
    });
  }

  async close(): Promise<void> {
    this.closing.abort();
    await this.running;
  }
}

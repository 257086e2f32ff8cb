import { projectQuotaStream, type ProjectQuotaEvent } from '#libs/contracts';
import type { Codec, EventStore, Position, RecordedEvent, StoredEvent } from '#libs/eventsourcing';
import { evolve } from '../domain/evolve.js';
import { ProjectQuota } from '../domain/project-quota.js';
import type { SnapshotShelf } from './quota-snapshots.js';
import { PAGE_EVENTS_MAX } from './writer-limits.js';

/** A project's folded stream and where it ends, as far as this process has read or written it. */
export class LoadedLedger {
  readonly stream: string;
  state = new ProjectQuota();
  lastChainHash: Buffer | null = null;
  lastPosition: Position | null = null;
  /** It may be long, and nobody waits for one of its events. */
  private isFirstLoad = true;
  /** Of the snapshot that it began with. */
  resumedAt = 0;

  constructor(
    private readonly store: Pick<EventStore, 'readStream'>,
    private readonly codec: Codec,
    projectId: string,
    private readonly snapshots?: Pick<SnapshotShelf, 'load'>,
  ) {
    this.stream = projectQuotaStream(projectId);
  }

  /** Folds what stands in the stream after what is folded, up to a revision; answers those events. */
  async catchUp(to = Number.MAX_SAFE_INTEGER): Promise<StoredEvent[]> {
    if (this.isFirstLoad && this.state.revision === 0) await this.resume();
    const read: StoredEvent[] = [];
    while (this.state.revision < to) {
      const from = this.state.revision + 1;
      const limit = Math.min(PAGE_EVENTS_MAX, to - from + 1);
      const page = await this.store.readStream(this.stream, { from, limit });
      for (const stored of page) {
        const event = this.codec.decode(stored);
        evolve(this.state, event as unknown as ProjectQuotaEvent, event);
      }
      this.endsWith(page.at(-1));
      if (!this.isFirstLoad) read.push(...page);
      if (page.length < limit) break;
    }
    this.isFirstLoad = false;
    return read;
  }

  /** Begins with the snapshot, if it is of this very history: one of a store that was restored since may not be. */
  private async resume(): Promise<void> {
    const kept = await this.snapshots?.load(this.stream);
    if (kept === undefined) return;
    const [last] = await this.store.readStream(this.stream, { from: kept.state.revision, limit: 1 });
    if (last === undefined || !last.chainHash.equals(kept.chainHash)) return;
    this.state = kept.state;
    this.resumedAt = kept.state.revision;
    this.endsWith(last);
  }

  async eventsBetween(from: number, to: number): Promise<RecordedEvent[]> {
    return (await this.store.readStream(this.stream, { from, to })).map((stored) => this.codec.decode(stored));
  }

  endsWith(last: StoredEvent | undefined): void {
    if (last === undefined) return;
    this.lastChainHash = last.chainHash;
    this.lastPosition = last.position;
  }
}

import { projectQuotaStream, type ProjectQuotaEvent } from '#libs/contracts';
import type { Codec, EventStore, Position, RecordedEvent, StoredEvent } from '#libs/eventsourcing';
import { evolve } from '../domain/evolve.js';
import { ProjectQuota } from '../domain/project-quota.js';
import { PAGE_EVENTS_MAX } from './writer-limits.js';

/** A project's folded stream and where it ends, as far as this process has read or written it. */
export class LoadedLedger {
  readonly stream: string;
  readonly state = new ProjectQuota();
  lastChainHash: Buffer | null = null;
  lastPosition: Position | null = null;
  /** It may be long, and nobody waits for one of its events. */
  private isFirstLoad = true;

  constructor(
    private readonly store: Pick<EventStore, 'readStream'>,
    private readonly codec: Codec,
    projectId: string,
  ) {
    this.stream = projectQuotaStream(projectId);
  }

  /** Folds what stands in the stream after what is folded, up to a revision; answers those events. */
  async catchUp(to = Number.MAX_SAFE_INTEGER): Promise<StoredEvent[]> {
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

  async eventsBetween(from: number, to: number): Promise<RecordedEvent[]> {
    return (await this.store.readStream(this.stream, { from, to })).map((stored) => this.codec.decode(stored));
  }

  endsWith(last: StoredEvent | undefined): void {
    if (last === undefined) return;
    this.lastChainHash = last.chainHash;
    this.lastPosition = last.position;
  }
}

import type { LedgerRead, LedgerRow, Position, PositionFault, StoredEvent } from '#libs/eventsourcing';
import type { KurrentEventStore } from './kurrent-event-store.js';

const LOG_PAGE = 1_000;
const STREAM_PAGE = 1_000;
const STREAMS_AT_ONCE = 16;

const rowOf = ({ privateParts, ...event }: StoredEvent): LedgerRow => ({
  ...event,
  privateText: Object.keys(privateParts).length === 0 ? null : JSON.stringify(privateParts),
});

/**
 * Reads the whole ledger for a check: the log once for the names of the streams, then each stream. Positions have gaps
 * here, and the time of a new leader may be behind the old one's, so neither is a fault.
 */
export class LedgerScan implements LedgerRead {
  constructor(private readonly store: KurrentEventStore) {}

  async *byStream(until: Position, streamPrefix = ''): AsyncGenerator<LedgerRow[], void, undefined> {
    const streams = await this.streamNames(until, streamPrefix);
    for (let n = 0; n < streams.length; n += STREAMS_AT_ONCE) {
      const some = streams.slice(n, n + STREAMS_AT_ONCE);
      const beginnings = await Promise.all(some.map((stream) => this.page(stream, 0, until)));
      for (const [m, stream] of some.entries())
        for (let page = beginnings[m] ?? []; page.length > 0;) {
          yield page;
          const last = page.at(-1)?.revision ?? 0;
          page = page.length < STREAM_PAGE ? [] : await this.page(stream, last, until);
        }
    }
  }

  // Nothing that this store promises of positions can be seen to be broken.
  async *positionFaults(): AsyncGenerator<PositionFault, void, undefined> {
    yield* await Promise.resolve<PositionFault[]>([]);
  }

  async envelopes(streams: readonly string[], types: readonly string[]): Promise<string[]> {
    const found: string[] = [];
    for (const stream of streams)
      for (const event of await this.store.readStream(stream))
        if (types.includes(event.type)) found.push(event.envelope);
    return found;
  }

  private async page(stream: string, after: number, until: Position): Promise<LedgerRow[]> {
    const events = await this.store.readStream(stream, { from: after + 1, limit: STREAM_PAGE });
    return events.filter(({ position }) => position <= until).map(rowOf);
  }

  private async streamNames(until: Position, prefix: string): Promise<string[]> {
    const names = new Set<string>();
    let after = this.store.origin;
    for (let caughtUp = false; !caughtUp;) {
      const page = await this.store.readAll({ after, until, limit: LOG_PAGE });
      for (const { stream } of page.events) if (stream.startsWith(prefix)) names.add(stream);
      ({ position: after, caughtUp } = page);
    }
    return [...names].sort();
  }
}

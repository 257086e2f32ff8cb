import type { StoredEvent } from '#libs/eventsourcing';

/** The beginnings of the streams, at most `limit` events each, in the order of the streams. */
export type ReadBeginnings = (streams: readonly string[], limit: number) => Promise<StoredEvent[][]>;

/** A query stays short: 32 streams, and of a long one its beginning alone. */
const STREAMS_MAX = 32;
export const BEGINNING_EVENTS = 200;

interface Wanted {
  readonly beginning: Promise<StoredEvent[]>;
  readonly resolve: (events: StoredEvent[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Every command begins with reading its stream. Those that are asked for in one turn of the event loop are read with
 * one query, so that commands that come together cost one round trip and not one each.
 */
export class StreamReads {
  private wanted = new Map<string, Wanted>();

  constructor(private readonly readBeginnings: ReadBeginnings) {}

  /** The stream's first events; if there are BEGINNING_EVENTS of them, there may be more. */
  beginning(stream: string): Promise<StoredEvent[]> {
    const already = this.wanted.get(stream);
    if (already !== undefined) return already.beginning;
    if (this.wanted.size === 0)
      setImmediate(() => {
        this.readAll();
      });
    let settle: Pick<Wanted, 'resolve' | 'reject'> | undefined;
    const beginning = new Promise<StoredEvent[]>((resolve, reject) => {
      settle = { resolve, reject };
    });
    if (settle !== undefined) this.wanted.set(stream, { beginning, ...settle });
    return beginning;
  }

  private readAll(): void {
    const wanted = [...this.wanted];
    this.wanted = new Map();
    for (let n = 0; n < wanted.length; n += STREAMS_MAX) void this.readSome(wanted.slice(n, n + STREAMS_MAX));
  }

  private async readSome(wanted: readonly (readonly [string, Wanted])[]): Promise<void> {
    try {
      const streams = wanted.map(([stream]) => stream);
      const beginnings = await this.readBeginnings(streams, BEGINNING_EVENTS);
      wanted.forEach(([, { resolve }], n) => {
        resolve(beginnings[n] ?? []);
      });
    } catch (error) {
      for (const [, { reject }] of wanted) reject(error);
    }
  }
}

/** An event as it is proposed: bytes that nobody looks into. */
export interface ProposedRecord {
  readonly id: string;
  readonly type: string;
  readonly contentType: string;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

export interface FakeRecord extends ProposedRecord {
  readonly stream: string;
  /** From 0. */
  readonly revision: number;
  /** Commit and prepare position: a place in bytes, so there are gaps. */
  readonly position: bigint;
  /** 100 ns since the epoch. */
  readonly createdTicks: bigint;
}

/** -1 = the stream must be new. */
export type FakeAppendOutcome =
  | { readonly kind: 'done'; readonly revision: number; readonly position: bigint }
  | { readonly kind: 'wrong-version'; readonly currentRevision: number }
  | { readonly kind: 'too-large'; readonly bytesMax: number };

const FIRST_POSITION = 167n;
const TICKS_PER_MS = 10_000n;

/** What the fake server keeps, with the rules of the real one for exact revisions: checked against 23.10 by hand. */
export class FakeLog {
  readonly records: FakeRecord[] = [];
  private readonly streams = new Map<string, FakeRecord[]>();
  private readonly watchers = new Set<() => void>();
  private next = FIRST_POSITION;

  constructor(private readonly appendBytesMax: number) {}

  stream(name: string): readonly FakeRecord[] {
    return this.streams.get(name) ?? [];
  }

  append(stream: string, expectedRevision: number, proposed: readonly ProposedRecord[]): FakeAppendOutcome {
    const bytes = proposed.reduce(
      (sum, { data, metadata, type }) => sum + data.length + metadata.length + type.length,
      0,
    );
    if (bytes > this.appendBytesMax) return { kind: 'too-large', bytesMax: this.appendBytesMax };
    const standing = this.stream(stream);
    const currentRevision = standing.length - 1;
    if (expectedRevision !== currentRevision) {
      const same = standing.slice(expectedRevision + 1, expectedRevision + 1 + proposed.length);
      const last = same.at(-1);
      // The very same events at the very same place were acknowledged before, and are again, as they were then.
      if (last !== undefined && same.length === proposed.length && same.every(({ id }, n) => id === proposed[n]?.id))
        return { kind: 'done', revision: last.revision, position: last.position };
      return { kind: 'wrong-version', currentRevision };
    }
    const createdTicks = this.now();
    const written = proposed.map((record, n): FakeRecord => {
      const position = this.next;
      this.next += BigInt(80 + record.data.length + record.metadata.length);
      return { ...record, stream, revision: currentRevision + 1 + n, position, createdTicks };
    });
    this.records.push(...written);
    this.streams.set(stream, [...standing, ...written]);
    for (const watcher of this.watchers) watcher();
    const last = written.at(-1);
    return { kind: 'done', revision: last?.revision ?? currentRevision, position: last?.position ?? 0n };
  }

  /** The index of the first record at or after a position. */
  indexAt(position: bigint): number {
    let low = 0;
    let high = this.records.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.records[middle]?.position ?? 0n) < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Calls back at every append until the returned function is called. */
  watch(callback: () => void): () => void {
    this.watchers.add(callback);
    return () => this.watchers.delete(callback);
  }

  private now(): bigint {
    const ticks = BigInt(Date.now()) * TICKS_PER_MS;
    const last = this.records.at(-1)?.createdTicks ?? ticks;
    return ticks > last ? ticks : last;
  }
}

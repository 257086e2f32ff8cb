import { type KeptOffsets, KeptPositions } from './kept-positions.js';

const TOPIC = 'usage';

/** Offsets as a database has them, which may be away. */
class Offsets implements KeptOffsets {
  readonly stored = new Map<number, bigint>();
  readonly gaps: bigint[] = [];
  failures = 0;
  read(): Promise<ReadonlyMap<number, bigint>> {
    if (this.failures === 0) return Promise.resolve(new Map(this.stored));
    this.failures -= 1;
    return Promise.reject(new Error('away'));
  }
  forget(_topic: string, partition: number): Promise<void> {
    this.stored.delete(partition);
    return Promise.resolve();
  }
  onGap = (_topic: string, _partition: number, messages: bigint): void => void this.gaps.push(messages);
}

const batch = (first: number, highWatermark: number, partition = 0) => ({
  topic: TOPIC,
  partition,
  highWatermark: String(highWatermark),
  messages: [{ offset: String(first) }],
});

describe('offsets that are kept elsewhere', () => {
  let offsets: Offsets;
  let seeks: string[];
  let positions: KeptPositions;
  beforeEach(() => {
    offsets = new Offsets();
    seeks = [];
    const seek = ({ partition, offset }: { partition: number; offset: string }): void =>
      void seeks.push(`${partition}@${offset}`);
    positions = new KeptPositions({ seek }, offsets, new AbortController().signal, () => undefined);
  });
  const joined = (): void => {
    positions.join({ [TOPIC]: [0, 1] });
  };

  it('begins at every join where they say, or at the very first message', async () => {
    offsets.stored.set(0, 7n);
    offsets.failures = 1;
    joined();
    expect(await positions.letsThrough(batch(7, 9))).toBe(true);
    expect(await positions.letsThrough(batch(0, 9, 1))).toBe(true);
    expect(seeks).toEqual(['0@7', '1@0']);
  });

  it('lets nothing through that begins behind or before, but fetches from where it must begin', async () => {
    offsets.stored.set(0, 7n);
    joined();
    expect(await positions.letsThrough(batch(9, 12))).toBe(false);
    expect(await positions.letsThrough(batch(7, 12))).toBe(true);
    positions.passed(TOPIC, 0, 7n);
    expect(await positions.letsThrough(batch(3, 12))).toBe(false);
    expect(seeks.slice(2)).toEqual(['0@7', '0@8']);
    expect([await positions.letsThrough(batch(8, 12)), offsets.gaps]).toEqual([true, []]);
  });

  it('goes on behind what the topic has no more, and tells how much that was', async () => {
    offsets.stored.set(0, 7n);
    joined();
    expect(await positions.letsThrough(batch(9, 12))).toBe(false);
    expect(await positions.letsThrough(batch(9, 12))).toBe(true);
    expect(offsets.gaps).toEqual([2n]);
  });

  it('begins anew with a topic that was made anew, and only then', async () => {
    offsets.stored.set(0, 7n);
    joined();
    expect(await positions.letsThrough(batch(0, 3))).toBe(false);
    expect(await positions.letsThrough(batch(0, 3))).toBe(true);
    expect(offsets.stored.has(0)).toBe(false);
    offsets.stored.set(1, 7n);
    joined();
    expect(await positions.letsThrough(batch(4, 20, 1))).toBe(false);
    expect(await positions.letsThrough(batch(4, 20, 1))).toBe(true);
    expect(offsets.stored.get(1)).toBe(7n);
  });
});

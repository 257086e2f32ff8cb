import type { KeyUsageBatch } from '#libs/contracts';
import { Metrics } from '#libs/platform';
import { KeyUsageSink, UsageBatchRefused } from './key-usage-sink.js';
import { KeyUsageRecorder, RESOLUTION_MS } from './key-usage.recorder.js';
import type { CountedKey } from './usage-tally.js';

const AT = Date.UTC(2026, 0, 1, 12);
const keyOf = (n: number): CountedKey => ({
  keyId: `key_${String(n).padStart(16, '0')}`,
  key: { place: { tenantId: 'acme', projectId: 'P' } },
  secret: { version: 1 },
});

/** Takes what it is given, and fails when it is told to: without the batch, or after it took it. */
class MemorySink extends KeyUsageSink {
  readonly taken: KeyUsageBatch[] = [];
  fails: 'never' | 'before' | 'after' | 'refuses' = 'never';
  isClosed = false;

  take(batch: KeyUsageBatch): Promise<void> {
    if (this.fails === 'before') return Promise.reject(new Error('away'));
    if (this.fails === 'refuses') return Promise.reject(new UsageBatchRefused());
    this.taken.push(batch);
    return this.fails === 'after' ? Promise.reject(new Error('unknown outcome')) : Promise.resolve();
  }
  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

const silent = { error: () => undefined, info: () => undefined, warn: () => undefined };
const total = (batches: readonly KeyUsageBatch[]): number =>
  batches.flatMap(({ counts }) => counts).reduce((sum, { count }) => sum + count, 0);

describe('the recorder', () => {
  let sink: MemorySink;
  let metrics: Metrics;
  let recorder: KeyUsageRecorder;
  beforeEach(() => {
    sink = new MemorySink();
    metrics = new Metrics();
    recorder = new KeyUsageRecorder(sink, metrics, silent);
  });

  const dropped = async (): Promise<number> =>
    (await metrics.registry.getSingleMetric('steward_key_usage_dropped_total')?.get())?.values[0]?.value ?? -1;

  it('gives nothing away when there is nothing, and numbers its batches from 1 without gaps', async () => {
    await recorder.flush();
    expect(sink.taken).toEqual([]);
    for (let n = 0; n < 2_500; n += 1) recorder.decided(keyOf(n), 'EXPIRED', 'gateway', AT);
    await recorder.flush();
    recorder.decided(undefined, 'MALFORMED', 'gateway', AT);
    await recorder.flush();
    expect(sink.taken.map(({ sequence, counts }) => [sequence, counts.length])).toEqual([
      [1, 1_000],
      [2, 1_000],
      [3, 500],
      [4, 1],
    ]);
    expect(new Set(sink.taken.map(({ source }) => source)).size).toBe(1);
  });

  it.each(['before', 'after'] as const)('a batch whose fate is unknown comes again as it was (%s)', async (fails) => {
    recorder.decided(keyOf(1), 'VALID', 'gateway', AT);
    sink.fails = fails;
    await recorder.flush();
    recorder.decided(keyOf(1), 'VALID', 'gateway', AT);
    await recorder.flush();
    sink.fails = 'never';
    await recorder.flush();
    await recorder.flush();
    const bySequence = new Map(sink.taken.map((batch) => [batch.sequence, batch]));
    expect([...bySequence.keys()]).toEqual([1, 2]);
    expect(total([...bySequence.values()])).toBe(2);
    for (const batch of sink.taken) expect(batch).toEqual(bySequence.get(batch.sequence));
  });

  it('gathers in few rows what waits for a sink that is away', async () => {
    sink.fails = 'before';
    for (let second = 0; second < 50; second += 1) {
      for (let n = 0; n < 10; n += 1) recorder.decided(keyOf(n), 'EXPIRED', 'gateway', AT + second * 1_000);
      await recorder.flush();
    }
    sink.fails = 'never';
    await recorder.flush();
    await recorder.flush();
    expect(sink.taken.map(({ counts }) => counts.length)).toEqual([10, 10]);
    expect([total(sink.taken), await dropped()]).toEqual([500, 0]);
  });

  it('drops a batch that can never be taken, counts it, and goes on', async () => {
    recorder.decided(keyOf(1), 'VALID', 'gateway', AT);
    sink.fails = 'refuses';
    await recorder.flush();
    sink.fails = 'never';
    recorder.decided(keyOf(2), 'VALID', 'gateway', AT);
    await recorder.flush();
    expect(sink.taken.map(({ sequence }) => sequence)).toEqual([2]);
    expect(await dropped()).toBe(1);
  });

  it('tells a last use once a minute', async () => {
    for (const afterMs of [0, RESOLUTION_MS - 1, RESOLUTION_MS]) {
      recorder.used(keyOf(1), AT + afterMs);
      await recorder.flush();
    }
    expect(sink.taken.flatMap(({ lastUses }) => lastUses.map(({ at }) => at))).toEqual([
      '2026-01-01T12:00:00.000Z',
      '2026-01-01T12:01:00.000Z',
    ]);
  });

  it('flushes when the process ends, and closes its sink', async () => {
    recorder.decided(keyOf(1), 'VALID', 'gateway', AT);
    await recorder.onApplicationShutdown();
    expect([total(sink.taken), sink.isClosed]).toEqual([1, true]);
  });

  it('flushes at the end what came after a batch that had to wait', async () => {
    recorder.decided(keyOf(1), 'VALID', 'gateway', AT);
    sink.fails = 'before';
    await recorder.flush();
    recorder.decided(keyOf(2), 'VALID', 'gateway', AT);
    sink.fails = 'never';
    await recorder.onApplicationShutdown();
    expect([total(sink.taken), sink.taken.map(({ sequence }) => sequence)]).toEqual([2, [1, 2]]);
  });
});

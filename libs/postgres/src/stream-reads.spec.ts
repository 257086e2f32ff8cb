import type { StoredEvent } from '#libs/eventsourcing';
import { StreamReads } from './stream-reads.js';

const event = (stream: string): StoredEvent => ({ stream }) as StoredEvent;

describe('whole streams that are read together', () => {
  it('are one query for all that were asked for in one turn, and a stream asked for twice is read once', async () => {
    const queries: (readonly string[])[] = [];
    const reads = new StreamReads((streams) => {
      queries.push(streams);
      return Promise.resolve(streams.map((stream) => [event(stream)]));
    });
    const answers = await Promise.all(['a', 'b', 'a'].map((stream) => reads.beginning(stream)));
    expect(answers).toEqual([[event('a')], [event('b')], [event('a')]]);
    expect(queries).toEqual([['a', 'b']]);
  });

  it('are read anew in the next turn, so that a read sees what was appended before it', async () => {
    let log: StoredEvent[] = [];
    const reads = new StreamReads((streams) => Promise.resolve(streams.map(() => log)));
    expect(await reads.beginning('a')).toEqual([]);
    log = [event('a')];
    expect(await reads.beginning('a')).toEqual([event('a')]);
  });

  it('share a failure only with those of the same query', async () => {
    const reads = new StreamReads((streams) =>
      streams.includes('s0') ? Promise.reject(new Error('gone')) : Promise.resolve(streams.map(() => [])),
    );
    const all = await Promise.allSettled(Array.from({ length: 40 }, (_, n) => reads.beginning(`s${n}`)));
    expect(all.filter((one) => one.status === 'rejected')).toHaveLength(32);
    expect(all.slice(32).map((one) => one.status)).toEqual(Array.from({ length: 8 }, () => 'fulfilled'));
  });
});

import { once } from 'node:events';
import { Refusal } from '#libs/eventsourcing';
import { ndjsonAnswer, wantsNdjson } from './ndjson-answer.js';

describe('whether NDJSON is wanted', () => {
  it.each([
    [undefined, false],
    ['*/*', false],
    ['application/json', false],
    ['application/x-ndjson', true],
    ['Application/X-NDJSON; charset=utf-8', true],
    ['application/json;q=0.5, application/x-ndjson', true],
    ['application/json, application/x-ndjson;q=0.5', false],
    ['application/x-ndjson;q=0', false],
    ['application/x-ndjson;q=nothing', false],
  ])('%s: %s', (accept, wanted) => {
    expect(wantsNdjson(accept)).toBe(wanted);
  });
});

describe('an answer of NDJSON', () => {
  const never = new AbortController().signal;

  it('is made as it is taken, and lets its source go when the reader is gone', async () => {
    let made = 0;
    let over = false;
    async function* source(): AsyncGenerator<object[]> {
      try {
        for (; made < 1_000; made += 1) yield await Promise.resolve([{ made, text: 'x'.repeat(10_000) }]);
      } finally {
        over = true;
      }
    }
    const answer = (await ndjsonAnswer(source(), { signal: never })).getStream();
    const reader = answer[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    expect(String((await reader.next()).value)).toMatch(/^\{"made":0,/);
    await new Promise(setImmediate);
    // What is not taken yet is bounded by the stream's own buffer, not by what there is.
    expect(made).toBeLessThan(20);
    await reader.return?.();
    expect(over).toBe(true);
  });

  it('is refused as a whole by what refuses its first batch', async () => {
    async function* source(): AsyncGenerator<object[]> {
      yield await Promise.reject<object[]>(new Refusal('FORBIDDEN', 'no'));
    }
    await expect(ndjsonAnswer(source(), { signal: never })).rejects.toMatchObject({ code: 'FORBIDDEN' });
  });

  it('breaks off when the process goes down and when its reader stalls', async () => {
    async function* source(): AsyncGenerator<object[]> {
      for (;;) yield await Promise.resolve([{}]);
    }
    const down = new AbortController();
    const first = (await ndjsonAnswer(source(), { signal: down.signal })).getStream();
    const broken = once(first, 'error');
    down.abort();
    expect(String(await broken)).toContain('going down');

    const second = (await ndjsonAnswer(source(), { signal: never, stallMsMax: 20 })).getStream();
    const stalled = once(second, 'error');
    second.read(0);
    expect(String(await stalled)).toContain('took nothing');
  });
});

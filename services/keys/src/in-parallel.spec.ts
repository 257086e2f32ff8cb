import { forEachInParallel, inParallel } from './in-parallel.js';

/** Lets other work go on, as waiting for a database does. */
const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function* counting(until: number, pulled: number[]): AsyncGenerator<number> {
  for (let n = 0; n < until; n += 1) {
    await pause();
    pulled.push(n);
    yield n;
  }
}

function busy() {
  let now = 0;
  const most = { value: 0 };
  const work = async <Result>(result: Result): Promise<Result> => {
    now += 1;
    most.value = Math.max(most.value, now);
    await pause();
    now -= 1;
    return result;
  };
  return { most, work };
}

describe('work in parallel', () => {
  it('never has more at once than the limit, and answers in order', async () => {
    const { most, work } = busy();
    expect(await inParallel([3, 1, 2], 2, (item, n) => work(`${n}:${item}`))).toEqual(['0:3', '1:1', '2:2']);
    expect(most.value).toBe(2);
    expect(await inParallel([], 2, work)).toEqual([]);
  });

  it('asks a stream for no more than it works on', async () => {
    const pulled: number[] = [];
    const done: number[] = [];
    const { most, work } = busy();
    await forEachInParallel(counting(50, pulled), 4, async (item) => {
      expect(pulled.length - done.length).toBeLessThanOrEqual(5);
      done.push(await work(item));
    });
    expect(most.value).toBeLessThanOrEqual(4);
    expect([...done].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, n) => n));
  });

  it('ends with the first failure and lets the stream go', async () => {
    const pulled: number[] = [];
    const failing = forEachInParallel(counting(1_000, pulled), 4, (item) =>
      item === 10 ? Promise.reject(new Error('no more')) : pause(),
    );
    await expect(failing).rejects.toThrow('no more');
    const { length } = pulled;
    for (let n = 0; n < 20; n += 1) await pause();
    expect(pulled.length).toBe(length);
    expect(length).toBeLessThan(30);
  });
});

import { oneAhead } from './one-ahead.js';

/** Counts what was read, and fails instead of giving the page `failsAt`. */
class CountedPages {
  read = 0;
  ended = false;

  async *pages(count: number, failsAt = 0): AsyncGenerator<number, void, undefined> {
    try {
      for (let page = 1; page <= count; page += 1) {
        await Promise.resolve();
        if (page === failsAt) throw new Error('The store is away.');
        this.read = page;
        yield page;
      }
    } finally {
      this.ended = true;
    }
  }
}

const aMoment = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('pages that are read one ahead', () => {
  it('come each once and in order', async () => {
    const taken: number[] = [];
    for await (const page of oneAhead(new CountedPages().pages(5))) taken.push(page);
    expect(taken).toEqual([1, 2, 3, 4, 5]);
  });

  it('are never read further than the one after that which is worked on', async () => {
    const counted = new CountedPages();
    for await (const page of oneAhead(counted.pages(5))) {
      await aMoment();
      expect(counted.read).toBe(Math.min(page + 1, 5));
    }
  });

  it('end with their failure only after the pages before it were taken', async () => {
    const taken: number[] = [];
    const taking = async (): Promise<void> => {
      for await (const page of oneAhead(new CountedPages().pages(5, 3))) {
        await aMoment();
        taken.push(page);
      }
    };
    await expect(taking()).rejects.toThrow('The store is away.');
    expect(taken).toEqual([1, 2]);
  });

  it('let go of what they read where the reader leaves early, and its failure then is nobody’s', async () => {
    const counted = new CountedPages();
    for await (const page of oneAhead(counted.pages(5, 2))) {
      expect(page).toBe(1);
      break;
    }
    await aMoment();
    expect(counted.ended).toBe(true);
  });

  it('are not waited for by a reader who leaves while the next one does not come', async () => {
    const silent = async function* (): AsyncGenerator<number, void, undefined> {
      yield 1;
      await new Promise(() => undefined);
    };
    for await (const page of oneAhead(silent())) {
      expect(page).toBe(1);
      break;
    }
  });
});

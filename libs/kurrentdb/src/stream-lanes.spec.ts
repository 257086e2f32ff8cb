import { StoreUnavailable } from '#libs/eventsourcing';
import { APPENDS_IN_FLIGHT_MAX, StreamLanes } from './stream-lanes.js';

/** An append that ends when it is told. */
class Held {
  started = false;
  private finish: (() => void) | undefined;

  readonly run = (): Promise<void> => {
    this.started = true;
    return new Promise((resolve) => {
      this.finish = resolve;
    });
  };

  end(): void {
    this.finish?.();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the lanes of appends', () => {
  it('let those of one stream pass one after the other, in their order, and of others at once', async () => {
    const lanes = new StreamLanes(Infinity);
    const [a, b, c, other] = [new Held(), new Held(), new Held(), new Held()];
    const all = [lanes.run('s', a.run), lanes.run('s', b.run), lanes.run('s', c.run), lanes.run('t', other.run)];
    await turn();
    expect([a, b, c, other].map(({ started }) => started)).toEqual([true, false, false, true]);
    a.end();
    await turn();
    expect([b, c].map(({ started }) => started)).toEqual([true, false]);
    b.end();
    await turn();
    c.end();
    other.end();
    await Promise.all(all);
  });

  it('let no more than so many pass at once, and everyone in the end', async () => {
    const lanes = new StreamLanes(Infinity);
    let running = 0;
    let most = 0;
    const order: string[] = [];
    const runs = Array.from({ length: 500 }, (_, n) => {
      const stream = `s${n % 40}`;
      return lanes.run(stream, async () => {
        running += 1;
        most = Math.max(most, running);
        order.push(`${stream}/${n}`);
        await turn();
        running -= 1;
      });
    });
    await Promise.all(runs);
    expect(most).toBe(APPENDS_IN_FLIGHT_MAX);
    for (let s = 0; s < 40; s += 1) {
      const own = order.filter((one) => one.startsWith(`s${s}/`)).map((one) => Number(one.split('/')[1]));
      expect(own).toEqual([...own].sort((x, y) => x - y));
    }
  });

  it('refuse what waits too long, which then is never begun', async () => {
    const lanes = new StreamLanes(20);
    const [first, late, next] = [new Held(), new Held(), new Held()];
    const done = lanes.run('s', first.run);
    await expect(lanes.run('s', late.run)).rejects.toThrow(StoreUnavailable);
    first.end();
    await done;
    const after = lanes.run('s', next.run);
    await turn();
    expect([late.started, next.started]).toEqual([false, true]);
    next.end();
    await after;
  });

  it('go on after an append that failed', async () => {
    const lanes = new StreamLanes(Infinity);
    await expect(lanes.run('s', () => Promise.reject(new Error('lost')))).rejects.toThrow('lost');
    expect(await lanes.run('s', () => Promise.resolve('done'))).toBe('done');
  });
});

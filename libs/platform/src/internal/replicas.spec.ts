import { packOutcome } from './internal-answer.js';
import { Replicas } from './replicas.js';
import { AUTHENTICATE } from './remote-credentials.js';

/** Two replicas, of which some take no connection. */
function world() {
  const gone = new Set<string>();
  const tried: string[] = [];
  const at = { nowMs: 0 };
  const calls = {
    isReady: (address: string) => {
      tried.push(address);
      return Promise.resolve(!gone.has(address));
    },
    send: () => Promise.resolve(packOutcome('known')),
  };
  const replicas = new Replicas(calls, 'keys', ['a:1', 'b:1'], () => at.nowMs);
  const ask = () => replicas.ask(AUTHENTICATE, {}, 1_000);
  const triedOf = (address: string) => tried.filter((one) => one === address).length;
  return { gone, at, ask, triedOf };
}

describe('a replica that did not answer', () => {
  it('is left alone for a while, and then tried by one question at a time until it is back', async () => {
    const { gone, at, ask, triedOf } = world();
    const askOften = () => Promise.all(Array.from({ length: 8 }, ask));
    gone.add('a:1');
    await ask();
    await askOften();
    expect(triedOf('a:1')).toBe(1);
    at.nowMs += 2_001;
    await askOften();
    expect(triedOf('a:1')).toBe(2);
    gone.clear();
    at.nowMs += 2_001;
    await askOften();
    expect(triedOf('a:1')).toBe(3);
    await askOften();
    expect(triedOf('a:1')).toBe(7);
  });

  it('is tried where no other answers', async () => {
    const { gone, ask, triedOf } = world();
    gone.add('a:1').add('b:1');
    for (let n = 0; n < 3; n += 1) await expect(ask()).rejects.toThrow('No replica of keys answered.');
    expect([triedOf('a:1'), triedOf('b:1')]).toEqual([3, 3]);
  });
});

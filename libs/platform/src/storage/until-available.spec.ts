import { StoreUnavailable } from '#libs/eventsourcing';
import { untilAvailable } from './until-available.js';

/** Fails so often, and answers then. */
function failing(times: number, error: Error) {
  const work = { calls: 0 };
  const run = (): Promise<string> => {
    work.calls += 1;
    return work.calls > times ? Promise.resolve('done') : Promise.reject(error);
  };
  return { work, run };
}

describe('untilAvailable', () => {
  it('does it again while the database is too slow for it, and says so', async () => {
    const { run } = failing(2, new StoreUnavailable('unreachable'));
    let told = 0;
    expect(await untilAvailable(run, { onRetry: () => (told += 1) })).toBe('done');
    expect(told).toBe(2);
  });

  it('gives up once its time is over', async () => {
    const { run } = failing(Infinity, new StoreUnavailable('overloaded'));
    await expect(untilAvailable(run, { msMax: 300 })).rejects.toThrow(StoreUnavailable);
  });

  it('tries nothing again that passes by no repetition', async () => {
    const { work, run } = failing(1, new Error('permission denied'));
    await expect(untilAvailable(run)).rejects.toThrow('permission denied');
    expect(work.calls).toBe(1);
  });
});

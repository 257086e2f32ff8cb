import { StoreClock } from './store-clock.js';

/** A store, a wall clock and a monotonic clock that stand still until they are told. */
function world() {
  const state = { storeMs: 1_000_000, wallMs: 1_000_000, monotonicMs: 0, samples: 0, down: false, errors: 0 };
  const options = {
    sample: () => {
      state.samples += 1;
      return state.down ? Promise.reject(new Error('down')) : Promise.resolve(state.storeMs);
    },
    wallMs: () => state.wallMs,
    monotonicMs: () => state.monotonicMs,
    onError: () => (state.errors += 1),
  };
  const pass = (ms: number): void => {
    state.storeMs += ms;
    state.wallMs += ms;
    state.monotonicMs += ms;
  };
  return { state, options, pass };
}

const settled = (): Promise<void> => new Promise((done) => setImmediate(done));

describe('StoreClock', () => {
  it('tells the time of the store and not of this machine', async () => {
    const { state, options, pass } = world();
    state.wallMs += 3_600_000;
    const clock = await StoreClock.start(options);
    pass(2500);

    expect(clock.nowMs()).toBe(1_002_500);
    expect(clock.now()).toBe('1970-01-01T00:16:42.500Z');
    expect(clock.skewMs).toBe(3_600_000);
    clock.stop();
  });

  it('asks at once when the wall clock is set, and takes over what the store says', async () => {
    const { state, options } = world();
    const clock = await StoreClock.start(options);
    state.wallMs += 60_000;
    state.storeMs += 59_000;

    expect(clock.nowMs()).toBe(1_000_000);
    expect(state.samples).toBe(2);
    await settled();
    expect(clock.nowMs()).toBe(1_059_000);
    expect(state.samples).toBe(2);
    clock.stop();
  });

  it('stands still rather than run back', async () => {
    const { state, options, pass } = world();
    const clock = await StoreClock.start(options);
    pass(10_000);
    expect(clock.nowMs()).toBe(1_010_000);
    state.storeMs -= 5000;
    state.wallMs -= 5000;
    clock.nowMs();
    await settled();

    pass(4000);
    expect(clock.nowMs()).toBe(1_010_000);
    pass(1500);
    expect(clock.nowMs()).toBe(1_010_500);
    clock.stop();
  });

  it('goes on from the last sample while the store cannot be asked, and does not press it', async () => {
    const { state, options, pass } = world();
    const clock = await StoreClock.start(options);
    state.down = true;
    state.wallMs += 5000;
    clock.nowMs();
    await settled();
    clock.nowMs();
    pass(700);
    expect(clock.nowMs()).toBe(1_000_700);
    expect([state.samples, state.errors]).toEqual([2, 1]);

    pass(400);
    clock.nowMs();
    await settled();
    expect([state.samples, state.errors]).toEqual([3, 2]);
    expect(clock.sampleAgeMs).toBe(1100);
    clock.stop();
  });

  it('asks again when the interval has passed, without being asked for the time', async () => {
    const { state, options, pass } = world();
    const clock = await StoreClock.start(options);
    pass(10_000);
    const end = performance.now() + 5000;
    while (state.samples < 2 && performance.now() < end) await new Promise((done) => setTimeout(done, 20));
    expect(state.samples).toBe(2);
    clock.stop();
  });

  it('refuses to start without one answer', async () => {
    const { state, options } = world();
    state.down = true;
    await expect(StoreClock.start(options)).rejects.toThrow('down');
  });
});

import { OutcomeUnknown, StoreUnavailable, type StoredEvent } from '#libs/eventsourcing';
import { TcpProxy } from '#libs/testing';
import { appendOf, newEvent, newEvents, newStream } from '../../eventsourcing/src/testing/contract-item.js';
import { KurrentEventStore } from './kurrent-event-store.js';
import { FakeEventStore } from './testing/fake-event-store.js';
import type { StoreTimers } from './timers.js';

const SOON_MS = 1_000;
const timers: StoreTimers = {
  appendMs: SOON_MS,
  waitMs: SOON_MS,
  shortReadMs: SOON_MS,
  longReadMs: SOON_MS,
  liveMs: SOON_MS,
};
/** The planted fault: what the client does where nobody watches it. */
const never: StoreTimers = {
  appendMs: Infinity,
  waitMs: Infinity,
  shortReadMs: Infinity,
  longReadMs: Infinity,
  liveMs: Infinity,
};
const PATIENCE_MS = 3 * SOON_MS;
const BOUND_MS = 20_000;

/** Waits for a state; false once the bound has passed. */
async function comesTrue(holds: () => boolean, boundMs: number): Promise<boolean> {
  for (const deadline = performance.now() + boundMs; !holds();) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return true;
}

let fake: FakeEventStore;
let proxy: TcpProxy;
let opened: KurrentEventStore[];
/** What a test leaves behind gives up when it ends. */
let over: AbortController;

beforeEach(async () => {
  fake = await FakeEventStore.start();
  proxy = await TcpProxy.start({ host: '127.0.0.1', port: fake.port });
  opened = [];
  over = new AbortController();
});

afterEach(async () => {
  over.abort();
  await Promise.all(opened.map((store) => store.close()));
  await proxy.close();
  await fake.stop();
});

function open(chosen: StoreTimers = timers): KurrentEventStore {
  const store = new KurrentEventStore({ url: `esdb://127.0.0.1:${proxy.port}?tls=false`, timers: chosen });
  opened.push(store);
  return store;
}

/** As a client does, it asks again until the answer comes: a busy machine may be slower than the timers here. */
async function eventually<T>(call: () => Promise<T>): Promise<T> {
  const { signal } = over;
  for (const deadline = performance.now() + BOUND_MS; ;)
    try {
      return await call();
    } catch (error) {
      if (signal.aborted || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

/** One event on a stream of its own. */
const one = (store: KurrentEventStore): Promise<unknown> => {
  const request = appendOf(newStream(), 0);
  return eventually(() => store.append(request));
};

interface Scenario {
  readonly name: string;
  /** Brings the fault about; ends when the store has got over it. Throws where it did the wrong thing. */
  readonly run: (store: KurrentEventStore) => Promise<void>;
}

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

const scenarios: readonly Scenario[] = [
  {
    name: 'an append that is neither done nor answered is an unknown outcome, and the next one is done',
    run: async (store) => {
      const request = appendOf(newStream(), 0);
      fake.faults.appends = 'stall';
      expect(await failure(store.append(request))).toBeInstanceOf(OutcomeUnknown);
      fake.faults.appends = 'answer';
      expect(fake.log.stream(request.stream)).toHaveLength(0);
      await eventually(() => store.append(request));
      expect(fake.log.stream(request.stream)).toHaveLength(1);
      expect(store.counters.rebuilds).toBeGreaterThan(0);
    },
  },
  {
    name: 'an append that is done and not answered is an unknown outcome, and is found done',
    run: async (store) => {
      const request = appendOf(newStream(), 0, ...newEvents(2));
      fake.faults.appends = 'swallow';
      expect(await failure(store.append(request))).toBeInstanceOf(OutcomeUnknown);
      fake.faults.appends = 'answer';
      expect(await eventually(() => store.append(request))).toMatchObject({ answeredAsDone: true });
      expect(fake.log.stream(request.stream)).toHaveLength(2);
    },
  },
  {
    name: 'a stream of appends that the server ends in peace is dead for ever, and the client is replaced',
    run: async (store) => {
      fake.faults.appends = 'end';
      expect(await failure(store.append(appendOf(newStream(), 0)))).toBeInstanceOf(OutcomeUnknown);
      fake.faults.appends = 'answer';
      await Promise.all(Array.from({ length: 20 }, () => one(store)));
      expect(fake.log.records).toHaveLength(20);
      expect(store.counters.rebuilds).toBeGreaterThan(0);
    },
  },
  {
    name: 'a read that is not answered is an unavailable store, and the next one is answered',
    run: async (store) => {
      fake.faults.reads = 'stall';
      for (const read of [
        () => store.head(),
        () => store.readStream('key-a'),
        () => store.readAll({ limit: 1 }),
        () => store.positionAt(new Date()),
      ])
        expect(await failure(read())).toBeInstanceOf(StoreUnavailable);
      fake.faults.reads = 'answer';
      expect(await eventually(() => store.readStream('key-a'))).toEqual([]);
    },
  },
  {
    name: 'a network that swallows everything is an unavailable store, and a new connection is made at once',
    run: async (store) => {
      await one(store);
      proxy.set('stall');
      expect(await failure(store.head())).toBeInstanceOf(StoreUnavailable);
      expect(await failure(store.nowMs())).toBeInstanceOf(StoreUnavailable);
      proxy.set('pass');
      expect(await eventually(() => store.head())).not.toBe(store.origin);
      expect(store.counters.rebuilds).toBeGreaterThan(0);
    },
  },
  {
    name: 'a subscription that stays open and silent is replaced by one that is not',
    run: async (store) => {
      const stop = new AbortController();
      const seen: StoredEvent[] = [];
      fake.faults.subscriptions = 'stall';
      const following = (async () => {
        for await (const page of store.follow({ after: store.origin, signal: stop.signal })) seen.push(...page.events);
      })();
      try {
        expect(await comesTrue(() => fake.streams.subscriptions === 1, BOUND_MS)).toBe(true);
        fake.faults.subscriptions = 'live';
        await one(store);
        await comesTrue(() => store.counters.subscriptions > 1, BOUND_MS);
        expect(store.counters.subscriptions).toBeGreaterThan(1);
        await one(store);
        expect(await comesTrue(() => seen.length === 2, BOUND_MS)).toBe(true);
      } finally {
        stop.abort();
        await following;
      }
    },
  },
];

describe('what the server leaves unanswered', () => {
  it.each(scenarios)('$name', async ({ run }) => {
    await run(open());
  });

  it.each(scenarios)('without our timers never comes to an end (planted): $name', async ({ run }) => {
    const ending = run(open(never));
    ending.catch(() => undefined);
    const ended = await Promise.race([
      ending.then(() => 'ended'),
      new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, 'hangs')),
    ]);
    expect(ended).toBe('hangs');
    over.abort();
    // Whatever hangs is let go by the server, so that nothing of it reaches the next test.
    Object.assign(fake.faults, { appends: 'answer', reads: 'answer', subscriptions: 'live' });
    await Promise.all(opened.map((store) => store.close()));
  });
});

describe('a server that is killed', () => {
  it('leaves each append done or not, and repeating all of them does each once', async () => {
    const store = open();
    await one(store);
    const requests = Array.from({ length: 120 }, () => appendOf(newStream(), 0, ...newEvents(2)));
    const first = Promise.all(requests.map((request) => failure(store.append(request))));
    await comesTrue(() => fake.log.records.length > 20, BOUND_MS);
    await fake.kill();
    for (const error of await first)
      if (error !== undefined) expect([OutcomeUnknown.name, StoreUnavailable.name]).toContain((error as Error).name);
    await fake.restart();
    for (const request of requests) await eventually(() => store.append(request));
    for (const { stream, events } of requests)
      expect(fake.log.stream(stream).map(({ id }) => id)).toEqual(events.map(({ id }) => id));
  });

  it('while more is to be written than the network takes leaves no rejection that nobody hears', async () => {
    const store = open();
    await one(store);
    proxy.set('stall');
    const burst = Array.from({ length: 200 }, () => {
      const event = newEvent(`"${'x'.repeat(50_000)}"`);
      return failure(store.append(appendOf(newStream(), 0, event)));
    });
    await comesTrue(() => false, SOON_MS / 2);
    proxy.cut();
    expect(await Promise.all(burst)).not.toContain(undefined);
    // Jest fails the test for each, and is told of them once every promise that waits has been served.
    await comesTrue(() => false, 50);
  });

  it('is told apart from one that may have taken the append: nothing can have been sent to it', async () => {
    const store = open();
    await one(store);
    await fake.kill();
    proxy.set('refuse');
    proxy.cut();
    const append = (): Promise<unknown> => failure(store.append(appendOf(newStream(), 0)));
    // The first to notice may still have been sent.
    await append();
    expect(await append()).toBeInstanceOf(StoreUnavailable);
    expect(await failure(store.head())).toBeInstanceOf(StoreUnavailable);
  });
});

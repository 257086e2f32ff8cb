import { setImmediate } from 'node:timers/promises';
import { eventTypes } from '#libs/contracts';
import { FixedClock } from './clock.js';
import { Codec, type CommandContext } from './codec.js';
import { MemoryDataKeys } from './data-keys.js';
import type { DomainEvent } from './decider.js';
import {
  type EventStore,
  type FollowOptions,
  type FollowPage,
  type Position,
  type ReadAllOptions,
  type StoredEvent,
  StoreUnavailable,
} from './event-store.js';
import { HeadUnreached, IndexFollower, type IndexFollowerOptions, REACH_HEAD_WAITERS_MAX } from './index-follower.js';
import { MemoryEventStore } from './memory-event-store.js';
import type { EventIndex, OpenedEvent } from './projection.js';

const disabled: DomainEvent = { type: 'KeyDisabled', data: {} };
const rotated: DomainEvent = {
  type: 'KeyRotated',
  data: { version: 2, pepperVersion: '1', madeBy: 'steward', previousVersion: 1, previousRetiresAt: null },
  private: { verifier: { hmac: 'ab'.repeat(32) } },
};

let commands = 0;
const context = (): CommandContext => {
  commands += 1;
  const commandId = `00000000-0000-4000-8000-${String(commands).padStart(12, '0')}`;
  return {
    commandId,
    correlationId: commandId,
    causationId: null,
    requestHash: null,
    actor: { type: 'system', id: 'test', via: 'internal' },
    actorPart: null,
  };
};

/** What stands of each stream, and the order in which it came. */
class StreamIndex implements EventIndex {
  readonly categories = ['key'];
  readonly parts = ['verifier'];
  readonly events: OpenedEvent[] = [];
  readonly revisions = new Map<string, number>();
  poisonRevision: number | undefined;

  apply(event: OpenedEvent): 'applied' | 'seen' | 'gap' {
    const last = this.revisions.get(event.stream) ?? 0;
    if (event.revision <= last) return 'seen';
    if (event.revision > last + 1) return 'gap';
    if (event.revision === this.poisonRevision) throw new RangeError('poison');
    this.revisions.set(event.stream, event.revision);
    this.events.push(event);
    return 'applied';
  }
}

/** The memory store, with faults on order. */
class FaultyStore extends MemoryEventStore {
  headReads = 0;
  follows = 0;
  headFault: (() => Promise<Position>) | undefined;
  /** Subscriptions opened while this is set never answer, not even when they are aborted. */
  mute = false;
  unreadable = false;

  override async head(): Promise<Position> {
    this.headReads += 1;
    return this.headFault === undefined ? super.head() : this.headFault();
  }

  override readAll(options: ReadAllOptions): Promise<FollowPage> {
    return this.unreadable ? Promise.reject(new StoreUnavailable('unreachable')) : super.readAll(options);
  }

  override follow(options: FollowOptions): ReturnType<MemoryEventStore['follow']> {
    this.follows += 1;
    if (!this.mute) return super.follow(options);
    const never = new Promise<never>(() => undefined);
    return { [Symbol.asyncIterator]: () => ({ next: () => never }) } as unknown as ReturnType<
      MemoryEventStore['follow']
    >;
  }
}

describe('the follower of in-memory indexes', () => {
  const dataKeys = new MemoryDataKeys();
  const codec = new Codec(eventTypes, dataKeys);
  let store: FaultyStore;
  let index: StreamIndex;
  let nowMs = 0;
  const followers: IndexFollower[] = [];

  beforeEach(() => {
    store = new FaultyStore(new FixedClock());
    index = new StreamIndex();
    nowMs = 0;
  });
  afterEach(async () => {
    await Promise.all(followers.splice(0).map((follower) => follower.close()));
  });

  const follow = (options: Partial<IndexFollowerOptions> = {}): IndexFollower => {
    const follower = new IndexFollower({ store, codec, indexes: [index], monotonicMs: () => nowMs, ...options });
    followers.push(follower);
    follower.start();
    return follower;
  };
  const append = async (
    stream: string,
    events: readonly DomainEvent[],
    to: EventStore = store,
  ): Promise<readonly StoredEvent[]> => {
    const last = (await to.readStream(stream, { backwards: true, limit: 1 })).at(-1);
    const prepared = await codec.encode({
      stream,
      tenantId: null,
      projectId: null,
      lastRevision: last?.revision ?? 0,
      lastChainHash: last?.chainHash ?? null,
      recordedAt: '2026-01-01T00:00:00.000Z',
      context: context(),
      events,
    });
    return (await to.append({ stream, expectedRevision: last?.revision ?? 0, events: prepared })).events;
  };
  const until = async (reached: () => boolean): Promise<void> => {
    const deadline = performance.now() + 5_000;
    while (!reached()) {
      if (performance.now() > deadline) throw new Error('The awaited state was not reached.');
      await setImmediate();
    }
  };

  test('is ready once the head is reached, with the parts opened that its indexes ask for', async () => {
    await append('key-a', [disabled, rotated]);
    await append('tenant-acme', [{ type: 'TenantSuspended', data: {} }]);
    const follower = follow();
    await follower.ready;
    expect(index.events.map(({ revision }) => revision)).toEqual([1, 2]);
    expect(index.events[1]?.opened).toEqual({ verifier: { value: { hmac: 'ab'.repeat(32) } } });
    expect(follower.position).toBe(await store.head());
    expect(follower.counters).toMatchObject({ eventsApplied: 2, eventsFollowed: 2 });
  });

  test('an empty store makes it ready', async () => {
    await follow().ready;
  });

  test('a destroyed or absent data key does not stop it', async () => {
    const [event] = await append('key-a', [rotated]);
    const name = event?.privateParts['verifier']?.key ?? '';
    await dataKeys.destroy([name]);
    await follow().ready;
    expect(index.events[0]?.opened).toEqual({ verifier: { erased: true } });

    const other = new StreamIndex();
    const elsewhere = follow({ indexes: [other], codec: new Codec(eventTypes, new MemoryDataKeys()) });
    await elsewhere.ready;
    expect(other.events[0]?.opened).toEqual({ verifier: { missing: true } });
  });

  test('applies what this process appended at once, and following skips it later', async () => {
    store.mute = true;
    const follower = follow();
    await follower.applyAppended(await append('key-a', [disabled, rotated]));
    expect(index.events.length).toBe(2);
    store.mute = false;
    const live = follow();
    await live.ready;
    expect(index.events.length).toBe(2);
    expect(live.counters.eventsApplied).toBe(0);
  });

  test('a gap in the stream waits for the follower, which brings both', async () => {
    const follower = follow();
    await follower.ready;
    await append('key-a', [disabled]);
    const own = await append('key-a', [rotated]);
    await follower.applyAppended(own);
    expect(index.revisions.get('key-a')).toBe(2);
  });

  test('a gap that nobody closes is waited for 2 s and the answer is given', async () => {
    store.mute = true;
    const follower = follow();
    await append('key-a', [disabled]);
    const started = performance.now();
    await follower.applyAppended(await append('key-a', [rotated]));
    expect(performance.now() - started).toBeGreaterThanOrEqual(1_900);
    expect(follower.counters.gaps).toBe(1);
    expect(index.events).toEqual([]);
  });

  describe('the head', () => {
    test('is reached with everything that stood in the store when it was asked for', async () => {
      const follower = follow();
      await follower.ready;
      for (let n = 0; n < 50; n += 1) {
        await append(`key-${n}`, [disabled]);
        await follower.reachHead();
        expect(index.revisions.has(`key-${n}`)).toBe(true);
      }
    });

    test('is read once for all who wait while a read is under way', async () => {
      const follower = follow();
      await follower.ready;
      await setImmediate();
      let answer: (() => void) | undefined;
      store.headFault = () =>
        new Promise((resolve) => {
          answer = () => {
            store.headFault = undefined;
            resolve(store.origin);
          };
        });
      const before = store.headReads;
      const waiters = Array.from({ length: 100 }, () => follower.reachHead());
      await setImmediate();
      expect(store.headReads - before).toBe(1);
      answer?.();
      await Promise.all(waiters);
      expect(store.headReads - before).toBe(2);
    });

    test('is waited for 250 ms at most', async () => {
      store.mute = true;
      const follower = follow();
      await append('key-a', [disabled]);
      const started = performance.now();
      await expect(follower.reachHead()).rejects.toMatchObject({ name: 'HeadUnreached', reason: 'timeout' });
      expect(performance.now() - started).toBeLessThan(1_000);
    });

    test('cannot be reached while the store is down or does not answer', async () => {
      const follower = follow();
      await follower.ready;
      store.headFault = () => Promise.reject(new StoreUnavailable('unreachable'));
      await expect(follower.reachHead()).rejects.toBeInstanceOf(HeadUnreached);
      store.headFault = () => new Promise(() => undefined);
      await expect(follower.reachHead()).rejects.toMatchObject({ reason: 'unavailable' });
    });

    test('has at most a thousand waiters', async () => {
      store.mute = true;
      const follower = follow();
      await append('key-a', [disabled]);
      const waiters = Array.from({ length: REACH_HEAD_WAITERS_MAX }, () => follower.reachHead());
      const late = Promise.allSettled(waiters);
      await expect(follower.reachHead()).rejects.toMatchObject({ reason: 'waiters' });
      await late;
      expect(follower.counters.headWaiters).toBe(0);
    });
  });

  test('waits for a position, and says when the time is over', async () => {
    const follower = follow();
    await follower.ready;
    const reached = follower.waitFor('00000000000000000002', 5_000);
    await append('key-a', [disabled, rotated]);
    expect(await reached).toBe(true);
    expect(await follower.waitFor('00000000000000000003', 20)).toBe(false);
  });

  test('is as stale as the newest head that it reached is old, and an idle store is not stale', async () => {
    const follower = follow();
    expect(follower.stalenessMs()).toBe(Number.POSITIVE_INFINITY);
    await follower.ready;
    expect(follower.stalenessMs()).toBe(0);
    nowMs += 900;
    expect(follower.stalenessMs()).toBe(900);
    await until(() => follower.stalenessMs() === 0);
  });

  test('gets stale while it is behind', async () => {
    const follower = follow();
    await follower.ready;
    store.unreadable = true;
    await append('key-a', [disabled]);
    nowMs += 1_000;
    await expect(follower.reachHead()).rejects.toBeInstanceOf(HeadUnreached);
    nowMs += 500;
    expect(follower.stalenessMs()).toBe(1_500);
    store.unreadable = false;
    await until(() => index.events.length === 1);
    await until(() => follower.stalenessMs() < 1_000);
  });

  test('a subscription that stands still for 2 s while behind is opened anew', async () => {
    store.mute = true;
    const follower = follow();
    await append('key-a', [disabled]);
    await expect(follower.reachHead()).rejects.toBeInstanceOf(HeadUnreached);
    store.mute = false;
    expect(store.follows).toBe(1);
    nowMs += 2_000;
    await until(() => index.events.length === 1);
    expect(follower.counters.stalls).toBe(1);
    expect(store.follows).toBe(2);
  });

  test('an index that throws stops it for good: it fails closed', async () => {
    index.poisonRevision = 2;
    const failures: Error[] = [];
    const follower = follow({ onFailure: (error) => failures.push(error) });
    await follower.ready;
    await append('key-a', [disabled, rotated]);
    await until(() => follower.failure !== undefined);
    expect(failures.map(({ message }) => message)).toEqual(['poison']);
    await expect(follower.reachHead()).rejects.toMatchObject({ reason: 'stopped' });
    nowMs += 60_000;
    expect(follower.stalenessMs()).toBeGreaterThanOrEqual(60_000);
    await follower.applyAppended(await append('key-b', [disabled]));
    expect(index.revisions.has('key-b')).toBe(false);
  });

  test('an event that this release cannot read stops it, and `ready` says so', async () => {
    await append('key-a', [disabled]);
    const older = new Codec({}, dataKeys);
    const follower = follow({ codec: older });
    await expect(follower.ready).rejects.toThrow('which this release cannot read');
    expect(follower.failure?.name).toBe('UnknownEvent');
  });
});

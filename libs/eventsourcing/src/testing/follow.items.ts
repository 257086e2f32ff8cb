import type { StoredEvent } from '../event-store.js';
import {
  appendOf,
  type ContractItem,
  digestOf,
  fill,
  followUntil,
  idsOf,
  newEvent,
  newEvents,
  newStream,
  readFrom,
} from './contract-item.js';

/** Waits for a state, at most five seconds. */
async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error('The state did not come about within 5 s.');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export const followItems: readonly ContractItem[] = [
  {
    number: 28,
    promises: 'following catches up and goes on live, without a gap or a double at the seam, while others write',
    async holds({ store, another }) {
      const before = await store.head();
      await fill(store, newStream(), 40);
      const other = await another();
      const writing = Promise.all([store, other].map((writer) => fill(writer, newStream(), 150)));
      const seen = await followUntil(store, before, (events) => events.length >= 340, { pageSize: 7 });
      await writing;
      expect(digestOf(seen)).toBe(digestOf(await readFrom(store, before, 1_000)));
      const waiting = followUntil(other, await store.head(), (events) => events.length === 1);
      const { events } = await store.append(appendOf(newStream(), 0));
      expect(idsOf(await waiting)).toEqual(idsOf(events));
    },
  },
  {
    number: 29,
    promises: 'following resumes after any position with the very next event',
    async holds({ store }) {
      const before = await store.head();
      const stored = await fill(store, newStream(), 12);
      for (const [n, position] of [before, ...stored.map((event) => event.position)].entries()) {
        const rest = stored.slice(n);
        const seen = await followUntil(store, position, (events, page) => page.caughtUp || events.length > 12, {
          pageSize: 5,
        });
        expect(idsOf(seen)).toEqual(idsOf(rest));
      }
    },
  },
  {
    number: 30,
    promises: 'a filtered follower advances past what it does not want and resumes there without a loss',
    async holds({ store }) {
      const before = await store.head();
      const category = 'catalogue';
      const filter = { categories: [category] };
      await fill(store, newStream(), 30);
      const [tail] = (await fill(store, newStream(), 1)) as [StoredEvent];
      let reached = before;
      await followUntil(
        store,
        before,
        (_, page) => {
          reached = page.position;
          return page.caughtUp;
        },
        { filter, pageSize: 3 },
      );
      expect(reached).toBe(tail.position);
      const waiting = followUntil(store, reached, (events) => events.length === 2, { filter });
      await fill(store, newStream(), 3);
      const [own] = await fill(store, newStream(category), 1);
      await fill(store, newStream(), 3);
      const [next] = await fill(store, newStream(category), 1);
      expect(await waiting).toEqual([own, next]);
    },
  },
  {
    number: 31,
    promises: 'a slow follower is never pushed: it takes page after page, none larger than asked, and misses nothing',
    async holds({ store }) {
      const before = await store.head();
      const stop = new AbortController();
      const seen: StoredEvent[] = [];
      let written = false;
      for await (const page of store.follow({ after: before, signal: stop.signal, pageSize: 4 })) {
        expect(page.events.length).toBeLessThanOrEqual(4);
        if (!written) await store.append(appendOf(newStream(), 0, ...newEvents(50)));
        written = true;
        seen.push(...page.events);
        await new Promise((resolve) => setImmediate(resolve));
        if (seen.length >= 50) stop.abort();
      }
      expect(digestOf(seen)).toBe(digestOf(await readFrom(store, before, 100)));
    },
  },
  {
    number: 32,
    promises: 'an aborted follower ends at once, wherever it stands, and lets go of what it held',
    async holds({ store, followSessions }) {
      const head = await store.head();
      const asleep = new AbortController();
      const ending = (async () => {
        for await (const page of store.follow({ after: head, signal: asleep.signal }))
          if (page.caughtUp)
            setImmediate(() => {
              asleep.abort();
            });
      })();
      await ending;
      for await (const page of store.follow({ after: store.origin, signal: new AbortController().signal }))
        if (page.events.length > 0) break;
      const dead = AbortSignal.abort();
      for await (const page of store.follow({ after: store.origin, signal: dead })) expect(page).toBeUndefined();
      if (followSessions !== undefined) await until(async () => (await followSessions()) === 0);
    },
  },
  {
    number: 33,
    promises: 'a follower outlives a restart of the server and misses nothing',
    needs: 'restartServer',
    async holds({ store, restartServer }) {
      const before = await store.head();
      const earlier = await fill(store, newStream(), 5);
      let caughtUp: () => void;
      const ready = new Promise<void>((resolve) => {
        caughtUp = resolve;
      });
      const seen = followUntil(
        store,
        before,
        (events, page) => {
          if (page.caughtUp) caughtUp();
          return events.length >= 10;
        },
        { boundMs: 40_000 },
      );
      await ready;
      await restartServer?.();
      const stream = newStream();
      for (let n = 0; n < 5; n += 1) {
        const request = appendOf(stream, n);
        await until(async () =>
          store.append(request).then(
            () => true,
            () => false,
          ),
        );
      }
      expect(idsOf(await seen)).toEqual(idsOf([...earlier, ...(await store.readStream(stream))]));
    },
  },
  {
    number: 34,
    promises: 'a follower is told that it has caught up, on an empty store too, and stands then at the head',
    needs: 'emptyStore',
    async holds({ empty }) {
      const { store } = await empty();
      const told: string[] = [];
      const take = (_: unknown, page: { caughtUp: boolean; position: string }): boolean => {
        if (page.caughtUp) told.push(page.position);
        return page.caughtUp;
      };
      await followUntil(store, store.origin, take);
      await followUntil(store, store.origin, take, { filter: { tenantId: 'nobody' } });
      const stored = await fill(store, newStream(), 7);
      await followUntil(store, store.origin, take, { pageSize: 7 });
      const last = stored.at(-1)?.position;
      expect(told).toEqual([store.origin, store.origin, last]);
      expect(await store.head()).toBe(last);
    },
  },
  {
    number: 35,
    promises: 'twenty followers see the same sequence',
    async holds({ store, another }) {
      const before = await store.head();
      const other = await another();
      const following = Array.from({ length: 20 }, (_, n) =>
        followUntil(n % 2 === 0 ? store : other, before, (events) => events.length >= 120, { pageSize: n + 1 }),
      );
      await Promise.all(
        [store, other].map(async (writer) => {
          for (let n = 0; n < 20; n += 1) await writer.append(appendOf(newStream(), 0, ...newEvents(2), newEvent()));
        }),
      );
      const all = digestOf(await readFrom(store, before, 1_000));
      expect((await Promise.all(following)).map(digestOf)).toEqual(following.map(() => all));
    },
  },
];

import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { jcs } from '../canonical-json.js';
import type { EventFilter, EventStore, StoredEvent } from '../event-store.js';
import { type ContractItem, appendOf, digestOf, fill, idsOf, newEvent, newStream, readFrom } from './contract-item.js';

const actors = ['alice', 'a"b', 'alice2', 'bob'];
const chains = ['6b1f8a52-0000-4000-8000-000000000001', '6b1f8a52-0000-4000-8000-000000000002'];

/** Events of two tenants, two projects, three categories, four types and as many actors, mixed. */
async function fillMixed(store: EventStore, count: number): Promise<StoredEvent[]> {
  const streams = ['key', 'tenant', 'project'].map((category) => newStream(category));
  const stored: StoredEvent[] = [];
  for (let n = 0; n < count; n += 1) {
    const stream = streams[n % 3] ?? '';
    const event = newEvent(String(n), {
      tenantId: [streams[0] ?? '', streams[1] ?? '', null][(n >> 1) % 3] ?? null,
      projectId: [streams[2] ?? '', null, streams[1] ?? ''][(n >> 2) % 3] ?? null,
      envelope: jcs({
        actor: { id: actors[(n >> 1) % 4], type: 'user', via: 'internal' },
        correlationId: chains[n % 2],
        data: { n, metadata: { correlationId: chains[0] } },
        id: randomUUID(),
      }),
      type: ['KeyUpdated', 'KeyDeleted', 'TenantCreated', 'KeyExpired'][n % 4] ?? '',
    });
    const { events } = await store.append(appendOf(stream, Math.floor(n / 3), event));
    stored.push(...events);
  }
  return stored;
}

const chainOf = (event: StoredEvent): string => (JSON.parse(event.envelope) as { correlationId: string }).correlationId;
const actorOf = (event: StoredEvent): string => (JSON.parse(event.envelope) as { actor: { id: string } }).actor.id;

const wanted = (event: StoredEvent, filter: EventFilter): boolean =>
  (filter.tenantId === undefined || event.tenantId === filter.tenantId) &&
  (filter.categories?.some((category) => event.stream.startsWith(`${category}-`)) ?? true) &&
  (filter.types?.includes(event.type) ?? true) &&
  (filter.streamPrefix === undefined || event.stream.startsWith(filter.streamPrefix)) &&
  (filter.stream === undefined || event.stream === filter.stream) &&
  (filter.projectId === undefined || event.projectId === filter.projectId) &&
  (filter.actorId === undefined || actorOf(event) === filter.actorId) &&
  (filter.correlationId === undefined || chainOf(event) === filter.correlationId) &&
  (filter.within === undefined ||
    filter.within.tenantIds.some((tenantId) => event.tenantId === tenantId) ||
    filter.within.projectIds.some((projectId) => event.projectId === projectId));

export const readItems: readonly ContractItem[] = [
  {
    number: 17,
    promises: 'a stream is read forwards and backwards, from, to and limited; an absent one is empty',
    async holds({ store }) {
      const stream = newStream();
      await fill(store, stream, 10);
      const revisions = async (options?: Parameters<EventStore['readStream']>[1]): Promise<number[]> =>
        (await store.readStream(stream, options)).map((event) => event.revision);
      expect(await revisions()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      expect(await revisions({ from: 4, to: 6 })).toEqual([4, 5, 6]);
      expect(await revisions({ from: 9, to: 99 })).toEqual([9, 10]);
      expect(await revisions({ limit: 3 })).toEqual([1, 2, 3]);
      expect(await revisions({ backwards: true, limit: 2 })).toEqual([10, 9]);
      expect(await revisions({ backwards: true, from: 4 })).toEqual([4, 3, 2, 1]);
      expect(await revisions({ backwards: true, from: 8, to: 6 })).toEqual([8, 7, 6]);
      expect(await revisions({ from: 11 })).toEqual([]);
      expect(await revisions({ limit: 0 })).toEqual([]);
      expect(await store.readStream(newStream())).toEqual([]);
      const long = newStream();
      for (const base of [0, 900, 1_800])
        await store.append(appendOf(long, base, ...Array.from({ length: 900 }, (_, n) => newEvent(String(n)))));
      const all = Array.from({ length: 2_700 }, (_, n) => n + 1);
      expect((await store.readStream(long)).map((event) => event.revision)).toEqual(all);
      const backwards = await store.readStream(long, { backwards: true });
      expect(backwards.map((event) => event.revision)).toEqual(all.reverse());
    },
  },
  {
    number: 18,
    promises: 'the log read in pages of any size is the same sequence, and every page tells how far it has looked',
    async holds({ store }) {
      const before = await store.head();
      const stored = await fillMixed(store, 25);
      for (let limit = 1; limit <= 27; limit += 1)
        expect(digestOf(await readFrom(store, before, limit))).toBe(digestOf(stored));
      const page = await store.readAll({ after: before, limit: 4 });
      expect(page).toMatchObject({ position: stored[3]?.position, caughtUp: false });
      const until = stored[9]?.position ?? '';
      const part = await store.readAll({ after: before, until, limit: 100 });
      expect(digestOf(part.events)).toBe(digestOf(stored.slice(0, 10)));
      expect(part.position).toBe(until);
    },
  },
  {
    number: 19,
    promises:
      'filters by place, category, type, stream and actor give what filtering afterwards would; no tenant leaks',
    async holds({ store }) {
      const before = await store.head();
      const stored = await fillMixed(store, 36);
      const [key = '', tenant = '', project = ''] = stored.map((event) => event.stream);
      const filters: EventFilter[] = [
        {},
        { tenantId: key },
        { tenantId: tenant, categories: ['key'] },
        { categories: ['key', 'project'] },
        { categories: [] },
        { types: ['KeyDeleted', 'KeyExpired'] },
        { streamPrefix: key.slice(0, 12) },
        { streamPrefix: 'ten%' },
        { categories: ['ke'] },
        { tenantId: key, types: ['KeyUpdated'], streamPrefix: 'key-' },
        { projectId: project },
        { projectId: tenant, tenantId: key },
        { within: { tenantIds: [key], projectIds: [tenant] } },
        { within: { tenantIds: [], projectIds: [project, tenant] }, types: ['KeyExpired'] },
        { within: { tenantIds: [], projectIds: [] } },
        { stream: key },
        { stream: project, tenantId: tenant },
        { stream: newStream() },
        ...['alice', 'alice2', 'a"b', 'ali'].map((actorId) => ({ actorId })),
        { stream: tenant, actorId: 'alice', projectId: project },
        ...[...chains, newStream()].map((correlationId) => ({ correlationId })),
        { correlationId: chains[0] as string, types: ['KeyUpdated'], tenantId: key },
      ];
      for (const filter of filters)
        for (const limit of [1, 5, 100]) {
          const found = await readFrom(store, before, limit, filter);
          expect(digestOf(found)).toBe(digestOf(stored.filter((event) => wanted(event, filter))));
        }
      const page = await store.readAll({ after: before, limit: 10, filter: { tenantId: newStream() } });
      expect(page).toEqual({ events: [], position: stored.at(-1)?.position, caughtUp: true });
    },
  },
  {
    number: 20,
    promises: 'the state as of a position is the fold of the events up to it',
    async holds({ store }) {
      const before = await store.head();
      const stored = await fillMixed(store, 12);
      for (const [n, { position }] of stored.entries()) {
        const { events } = await store.readAll({ after: before, until: position, limit: 100 });
        expect(idsOf(events)).toEqual(idsOf(stored.slice(0, n + 1)));
      }
    },
  },
  {
    number: 21,
    promises: 'the position of a moment is that of the last event stored at or before it, and never runs back',
    async holds({ store }) {
      const [first] = await fill(store, newStream(), 1);
      const stored = [first as StoredEvent];
      const deadline = performance.now() + 5_000;
      while (stored.at(-1)?.storedAt === first?.storedAt && performance.now() < deadline)
        stored.push(...(await fill(store, newStream(), 1)));
      stored.push(...(await fillMixed(store, 6)));
      const firstMs = Date.parse(first?.storedAt ?? '');
      const lastMs = Date.parse(stored.at(-1)?.storedAt ?? '');
      let previous = store.origin;
      for (let ms = firstMs; ms <= lastMs + 1; ms += 1) {
        const position = await store.positionAt(new Date(ms));
        const last = stored.filter((event) => Date.parse(event.storedAt) <= ms).at(-1);
        expect(position).toBe(last?.position);
        expect(position >= previous).toBe(true);
        previous = position;
      }
      expect(await store.positionAt(new Date(0))).toBe(store.origin);
    },
  },
  {
    number: 22,
    promises: 'positions are texts that sort as the log does, and the store knows its own',
    async holds({ store }) {
      const stored = await fill(store, newStream(), 12);
      const positions = stored.map((event) => event.position);
      expect([...positions].sort()).toEqual(positions);
      expect(new Set(positions).size).toBe(12);
      for (const position of [store.origin, ...positions]) expect(store.isPosition(position)).toBe(true);
      for (const text of ['', '1', `${positions[0] ?? ''}0`, positions[0]?.replace('0', 'x') ?? '', '٠'.repeat(20)])
        expect(store.isPosition(text)).toBe(false);
    },
  },
  {
    number: 23,
    promises: 'the log holds what was appended and nothing of the store itself; an empty one is at its origin',
    needs: 'emptyStore',
    async holds({ empty }) {
      const { store } = await empty();
      expect(await store.head()).toBe(store.origin);
      expect(await store.readAll({ limit: 10 })).toEqual({ events: [], position: store.origin, caughtUp: true });
      expect(await store.positionAt(new Date())).toBe(store.origin);
      const stored = await fillMixed(store, 5);
      expect(await readFrom(store, store.origin, 2)).toEqual(stored);
    },
  },
  {
    number: 24,
    promises: 'positions follow commits: while many write, a reader sees each event once, in order, and skips none',
    async holds({ store, another }) {
      const before = await store.head();
      const writers = [store, await another(), await another()];
      let open = writers.length * 16;
      const writing = Array.from({ length: open }, async (_, n) => {
        const stream = newStream();
        for (let revision = 0; revision < 12; revision += 1) {
          const count = 1 + ((n + revision) % 3);
          const [one, ...more] = Array.from({ length: count }, () => newEvent());
          const expected = revision % 4 === 3 ? 999 : await store.readStream(stream).then((events) => events.length);
          const request = appendOf(stream, expected, one as ReturnType<typeof newEvent>, ...more);
          await writers[n % writers.length]?.append(request).catch((error: unknown) => {
            if (expected !== 999) throw error;
          });
        }
        open -= 1;
      });
      const seen: StoredEvent[] = [];
      let position = before;
      for (let last = false; !last;) {
        last = open === 0;
        const page = await store.readAll({ after: position, limit: 50 });
        seen.push(...page.events);
        ({ position } = page);
        if (!page.caughtUp) last = false;
      }
      await Promise.all(writing);
      const all = await readFrom(store, before, 1_000);
      expect(digestOf(seen)).toBe(digestOf(all));
      const revisions = new Map<string, number>();
      for (const event of all) {
        expect(event.revision).toBe((revisions.get(event.stream) ?? 0) + 1);
        revisions.set(event.stream, event.revision);
      }
    },
  },
  {
    number: 25,
    promises: 'whatever is appended, the revisions of a stream are dense from 1 and in the order of positions',
    async holds({ store }) {
      const steps = fc.array(
        fc.record({
          stream: fc.nat(3),
          ahead: fc.integer({ min: -2, max: 2 }),
          events: fc.integer({ min: 1, max: 3 }),
        }),
        { maxLength: 25 },
      );
      await fc.assert(
        fc.asyncProperty(steps, async (plan) => {
          const before = await store.head();
          const streams = Array.from({ length: 4 }, () => newStream());
          const model = new Map<string, string[]>(streams.map((stream) => [stream, []]));
          const order: string[] = [];
          for (const step of plan) {
            const stream = streams[step.stream] ?? '';
            const standing = model.get(stream) ?? [];
            const expected = Math.max(0, standing.length + step.ahead);
            const [first, ...more] = Array.from({ length: step.events }, () => newEvent());
            const request = appendOf(stream, expected, first as ReturnType<typeof newEvent>, ...more);
            const done = await store.append(request).then(
              () => true,
              () => false,
            );
            expect(done).toBe(expected === standing.length);
            if (!done) continue;
            standing.push(...idsOf(request.events));
            order.push(...idsOf(request.events));
          }
          expect(idsOf(await readFrom(store, before, 7))).toEqual(order);
          for (const [stream, ids] of model) {
            const events = await store.readStream(stream);
            expect(idsOf(events)).toEqual(ids);
            expect(events.map((event) => event.revision)).toEqual(ids.map((_, n) => n + 1));
          }
        }),
        { numRuns: 25 },
      );
    },
  },
  {
    number: 26,
    promises: "the store's time never runs back along the log, and its clock is the one that it stamps with",
    async holds({ store, another }) {
      const before = await store.head();
      const beforeMs = await store.nowMs();
      const other = await another();
      for (let n = 0; n < 10; n += 1)
        await Promise.all([store, other].map((writer) => writer.append(appendOf(newStream(), 0))));
      const times = (await readFrom(store, before, 100)).map((event) => Date.parse(event.storedAt));
      expect(times).toHaveLength(20);
      expect([...times].sort((a, b) => a - b)).toEqual(times);
      expect(times[0]).toBeGreaterThanOrEqual(beforeMs);
      expect(await store.nowMs()).toBeGreaterThanOrEqual(times.at(-1) ?? Infinity);
    },
  },
];

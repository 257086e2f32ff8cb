import { APPEND_BYTES_MAX, ENVELOPE_BYTES_MAX } from '../envelope.js';
import {
  type AppendResult,
  AppendTooLarge,
  EventIdTaken,
  type NewEvent,
  OutcomeUnknown,
  WrongExpectedRevision,
} from '../event-store.js';
import {
  appendOf,
  type ContractItem,
  fill,
  followUntil,
  idsOf,
  newEvent,
  newEvents,
  newStream,
  readFrom,
} from './contract-item.js';

const conflict = (expected: number, actual: number): object => ({ name: WrongExpectedRevision.name, expected, actual });

/** An event whose envelope has just that many bytes. */
const eventOfBytes = (bytes: number): ReturnType<typeof newEvent> => {
  const frame = Buffer.byteLength(newEvent('""').envelope);
  return newEvent(`"${'x'.repeat(bytes - frame)}"`);
};

export const appendItems: readonly ContractItem[] = [
  {
    number: 1,
    promises: 'a new stream begins at revision 1, and what was appended is answered as it is read',
    async holds({ store }) {
      const stream = newStream();
      const events = [newEvent('1', { projectId: 'GOV112345' }), newEvent('2', { tenantId: null, type: 'KeyDeleted' })];
      const result = await store.append(appendOf(stream, 0, ...events));
      expect(result.answeredAsDone).toBe(false);
      expect(result.events).toEqual(
        events.map((event, n): unknown => expect.objectContaining({ ...event, revision: n + 1 })),
      );
      expect(result.events[0]?.storedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(await store.readStream(stream)).toEqual(result.events);
      const [first, second] = result.events.map(({ position }) => position);
      expect([second, first].sort()).toEqual([first, second]);
      expect(await store.head()).toBe(second);
    },
  },
  {
    number: 2,
    promises: 'a stream that should be new but is not is a conflict with the revision that it is at',
    async holds({ store }) {
      const stream = newStream();
      await fill(store, stream, 3);
      await expect(store.append(appendOf(stream, 0))).rejects.toMatchObject(conflict(0, 3));
    },
  },
  {
    number: 3,
    promises: 'at the right revision it appends, at a stale or a future one it is a conflict and writes nothing',
    async holds({ store }) {
      const stream = newStream();
      await fill(store, stream, 2);
      await expect(store.append(appendOf(stream, 1))).rejects.toMatchObject(conflict(1, 2));
      await expect(store.append(appendOf(stream, 7))).rejects.toMatchObject(conflict(7, 2));
      await expect(store.append(appendOf(newStream(), 1))).rejects.toMatchObject(conflict(1, 0));
      expect((await store.append(appendOf(stream, 2))).events[0]?.revision).toBe(3);
      expect(await store.readStream(stream)).toHaveLength(3);
    },
  },
  {
    number: 6,
    promises: 'an append without events, or at a revision that is none, is refused',
    async holds({ store }) {
      const stream = newStream();
      await expect(store.append({ stream, expectedRevision: 0, events: [] })).rejects.toThrow(RangeError);
      await expect(store.append(appendOf(stream, -1))).rejects.toThrow(RangeError);
      await expect(store.append(appendOf(stream, 0.5))).rejects.toThrow(RangeError);
      expect(await store.readStream(stream)).toEqual([]);
    },
  },
  {
    number: 7,
    promises: 'an append of 1 to 1,000 events is done whole or not at all',
    async holds({ store }) {
      for (const count of [1, 2, 10, 1_000]) {
        const stream = newStream();
        const events = newEvents(count);
        const { events: stored } = await store.append(appendOf(stream, 0, ...events));
        expect(stored).toHaveLength(count);
        expect(await store.readStream(stream)).toEqual(stored);
        await expect(store.append(appendOf(stream, count - 1, ...newEvents(5)))).rejects.toThrow(WrongExpectedRevision);
        expect(idsOf(await store.readStream(stream))).toEqual(idsOf(events));
      }
    },
  },
  {
    number: 8,
    promises: 'bytes come back as they went in, up to 64 KiB an event and 1 MiB an append, and more is refused by name',
    async holds({ store }) {
      const texts = [
        '"\\u0000\\u001f\\ud83d\\\\u0000"',
        '"\u{1f600} \u00e9 e\u0301 \u202e \ufeff \u2028 \uffff"',
        '{"metadata":{"10":1,"9":2,"a":1.5,"b":0,"c":1e+21,"d":5e-324,"e":0.1,"f":9007199254740991}}',
        '{"quotes":"\\"{},\\\\N NULL null"}',
      ];
      const parts = { actor: { key: 'user:"é"#00', iv: 'aXY=', ciphertext: '{",\\}', tag: '' } };
      const events = texts.map((text) => newEvent(text, { privateParts: parts }));
      const stream = newStream();
      await store.append(appendOf(stream, 0, ...events));
      const read = await store.readStream(stream);
      expect(read.map((event) => event.envelope)).toEqual(events.map((event) => event.envelope));
      expect(read.map((event) => event.privateParts)).toEqual(events.map(() => parts));

      const largest = eventOfBytes(ENVELOPE_BYTES_MAX);
      expect((await store.append(appendOf(newStream(), 0, largest))).events[0]?.envelope).toBe(largest.envelope);
      const tooLarge = eventOfBytes(ENVELOPE_BYTES_MAX + 1);
      await expect(store.append(appendOf(newStream(), 0, tooLarge))).rejects.toThrow(AppendTooLarge);
      const overfull = [...Array.from({ length: 16 }, () => eventOfBytes(ENVELOPE_BYTES_MAX)), newEvent()];
      await expect(store.append(appendOf(newStream(), 0, ...overfull))).rejects.toThrow(AppendTooLarge);
    },
  },
  {
    number: 9,
    promises: 'the same events again, at once, later or from another client, are answered with what stands',
    async holds({ store, another }) {
      const stream = newStream();
      await fill(store, stream, 1);
      const request = appendOf(stream, 1, ...newEvents(3));
      const { events } = await store.append(request);
      expect(await store.append(request)).toEqual({ answeredAsDone: true, events });
      await store.append(appendOf(stream, 4));
      expect(await store.append(request)).toEqual({ answeredAsDone: true, events });
      const other = await another();
      const rewritten = request.events.map((event) => newEvent('"other bytes"', { id: event.id }));
      expect(await other.append({ ...request, events: rewritten })).toEqual({ answeredAsDone: true, events });
      const together = appendOf(newStream(), 0, ...newEvents(2));
      const answers = await Promise.all(Array.from({ length: 8 }, () => store.append(together)));
      expect(answers.filter((answer) => !answer.answeredAsDone)).toHaveLength(1);
      expect(new Set(answers.map((answer) => answer.events[0]?.position)).size).toBe(1);
      expect(await store.readStream(stream)).toHaveLength(5);
    },
  },
  {
    number: 10,
    promises: 'events that stand there in part, or twice in one append, are refused and nothing of them is written',
    async holds({ store }) {
      const stream = newStream();
      const [a, b, c] = newEvents(3) as [
        ReturnType<typeof newEvent>,
        ReturnType<typeof newEvent>,
        ReturnType<typeof newEvent>,
      ];
      await store.append(appendOf(stream, 0, a, b));
      await expect(store.append(appendOf(stream, 0, a, c))).rejects.toMatchObject(conflict(0, 2));
      await expect(store.append(appendOf(stream, 1, b, c))).rejects.toMatchObject(conflict(1, 2));
      await expect(store.append(appendOf(newStream(), 0, c, c))).rejects.toThrow(EventIdTaken);
      expect(idsOf(await store.readStream(stream))).toEqual([a.id, b.id]);
      expect((await store.append(appendOf(stream, 2, c))).events[0]?.revision).toBe(3);
    },
  },
  {
    number: 12,
    promises: 'of appends that are committed together each has its own answer, and one stream keeps their order',
    async holds({ store }) {
      const lost = newStream();
      await fill(store, lost, 1);
      const chain = newStream();
      const good = Array.from({ length: 40 }, () => store.append(appendOf(newStream(), 0)));
      const bad = Array.from({ length: 20 }, () => store.append(appendOf(lost, 0)));
      const twice = newEvent();
      const poison = [1, 2].map(() => store.append(appendOf(newStream(), 0, twice, twice)));
      const links = Array.from({ length: 20 }, (_, n) => store.append(appendOf(chain, n)));
      const [goods, bads, poisons, chained] = await Promise.all(
        [good, bad, poison, links].map((appends) => Promise.allSettled<AppendResult>(appends)),
      );
      expect(goods?.map((one) => one.status)).toEqual(good.map(() => 'fulfilled'));
      for (const one of bads ?? []) expect(one).toMatchObject({ status: 'rejected', reason: conflict(0, 1) });
      for (const one of poisons ?? [])
        expect(one).toMatchObject({ status: 'rejected', reason: { name: EventIdTaken.name } });
      const revisions = chained?.map((one): unknown =>
        one.status === 'fulfilled' ? one.value.events[0]?.revision : one.reason,
      );
      expect(revisions).toEqual(links.map((_, n) => n + 1));

      const hot = newStream();
      const race = await Promise.allSettled(Array.from({ length: 50 }, () => store.append(appendOf(hot, 0))));
      expect(race.filter((one): unknown => one.status === 'fulfilled')).toHaveLength(1);
      for (const one of race) if (one.status === 'rejected') expect(one.reason).toMatchObject(conflict(0, 1));
      expect(await store.readStream(hot)).toHaveLength(1);
    },
  },
  {
    number: 13,
    promises: 'an append whose answer is lost is an unknown outcome, and repeating it changes nothing',
    needs: 'loseReplies',
    async holds({ store, another, loseReplies }) {
      const stream = newStream();
      await fill(store, stream, 1);
      const request = appendOf(stream, 1, ...newEvents(2));
      const restore = await loseReplies?.();
      await expect(store.append(request)).rejects.toThrow(OutcomeUnknown);
      await restore?.();
      const answer = await (await another()).append(request);
      expect(answer.answeredAsDone).toBe(true);
      expect((await store.append(request)).events).toEqual(answer.events);
      expect(await store.readStream(stream)).toHaveLength(3);
    },
  },
  {
    number: 51,
    promises: 'positions have no gaps: they count what was committed, and what was refused took none',
    needs: 'densePositions',
    async holds({ store }) {
      const before = await store.head();
      const stream = newStream();
      const { events } = await store.append(appendOf(stream, 0, ...newEvents(1_000)));
      const positions = events.map(({ position }) => BigInt(position) - BigInt(before));
      expect(positions).toEqual(events.map((_, n) => BigInt(n + 1)));
      const good = Array.from({ length: 40 }, () => store.append(appendOf(newStream(), 0)));
      const bad = Array.from({ length: 20 }, () => store.append(appendOf(stream, 0)));
      await Promise.allSettled([...good, ...bad]);
      expect(BigInt(await store.head()) - BigInt(before)).toBe(1_040n);
    },
  },
  {
    number: 52,
    promises: 'an id that stands elsewhere in the log is refused, alone or among good ones, whoever it comes with',
    needs: 'uniqueIds',
    async holds({ store }) {
      const stream = newStream();
      const [a, b, c] = newEvents(3) as [NewEvent, NewEvent, NewEvent];
      await store.append(appendOf(stream, 0, a, b));
      await expect(store.append(appendOf(stream, 2, c, b))).rejects.toThrow(EventIdTaken);
      await expect(store.append(appendOf(newStream(), 0, a))).rejects.toThrow(EventIdTaken);
      const other = newStream();
      const halfGood = appendOf(other, 0, ...newEvents(5), newEvent('0', { id: b.id }));
      const [refused, ...done] = await Promise.allSettled([
        store.append(halfGood),
        ...Array.from({ length: 20 }, () => store.append(appendOf(newStream(), 0))),
      ]);
      expect(refused).toMatchObject({ status: 'rejected', reason: { name: EventIdTaken.name } });
      expect(done.filter(({ status }) => status === 'rejected')).toEqual([]);
      expect(await store.readStream(other)).toEqual([]);
      expect(idsOf(await store.readStream(stream))).toEqual([a.id, b.id]);
    },
  },
  {
    number: 53,
    promises: 'text that is not canonical comes back to the byte all the same',
    needs: 'anyText',
    async holds({ store }) {
      const texts = ['{"b":-0,"a":1e21,"f":9007199254740993,"10":1,"9":2}', '[ 1.50,"\\u00e9" ]'];
      const events = texts.map((text) => newEvent(text));
      const stream = newStream();
      await store.append(appendOf(stream, 0, ...events));
      const read = await store.readStream(stream);
      expect(read.map((event) => event.envelope)).toEqual(events.map((event) => event.envelope));
    },
  },
  {
    number: 54,
    promises: 'an append takes envelopes of 1 MiB in all',
    needs: 'fullAppends',
    async holds({ store }) {
      const full = Array.from({ length: 16 }, () => eventOfBytes(ENVELOPE_BYTES_MAX));
      expect(16 * ENVELOPE_BYTES_MAX).toBeLessThanOrEqual(APPEND_BYTES_MAX);
      const stream = newStream();
      await store.append(appendOf(stream, 0, ...full));
      expect((await store.readStream(stream)).map(({ envelope }) => envelope)).toEqual(
        full.map(({ envelope }) => envelope),
      );
    },
  },
  {
    number: 55,
    promises: 'the trace context that an event came with is given back by every read, and none where none was',
    async holds({ store, another }) {
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
      const other = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
      const stream = newStream();
      const before = await store.head();
      const events = [newEvent('1', { traceparent }), newEvent('2'), newEvent('3', { traceparent: other })];
      const { events: answered } = await store.append(appendOf(stream, 0, ...events));
      await Promise.all([store.append(appendOf(newStream(), 0)), store.append(appendOf(newStream(), 0))]);
      const again = await store.append(appendOf(stream, 0, ...events));
      const elsewhere = await another();
      for (const read of [
        answered,
        again.events,
        await elsewhere.readStream(stream),
        await elsewhere.readStream(stream, { from: 1, to: 3 }),
        await readFrom(elsewhere, before, 2, { stream }),
        (await readFrom(elsewhere, before, 2)).filter((event) => event.stream === stream),
        await followUntil(elsewhere, before, (seen) => seen.length === 3, { filter: { stream } }),
      ])
        expect(read.map((event) => ['traceparent' in event, event.traceparent])).toEqual([
          [true, traceparent],
          [false, undefined],
          [true, other],
        ]);
    },
  },
  {
    number: 56,
    promises: 'what has not the form of a trace context is refused before anything is written',
    async holds({ store }) {
      const stream = newStream();
      for (const traceparent of ['', 'hunter2', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`, 'x'.repeat(55)])
        await expect(store.append(appendOf(stream, 0, newEvent('1', { traceparent })))).rejects.toThrow(RangeError);
      expect(await store.readStream(stream)).toEqual([]);
    },
  },
];

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventTypes } from '#libs/contracts';
import {
  type Actor,
  type AppendRequest,
  type AppendResult,
  Codec,
  commandIdOf,
  type CommandContext,
  FixedClock,
  MemoryDataKeys,
  MemoryEventStore,
  OutcomeUnknown,
  Refusal,
  StoreUnavailable,
} from '#libs/eventsourcing';
import { defaultCatalogue } from '../domain/catalogue.js';
import type { QuotaCommand } from '../domain/commands.js';
import {
  allocate,
  byDefault,
  commit,
  extend,
  gpu,
  id,
  limit,
  ofProject,
  release,
  reserve,
  T0,
} from '../testing/given-quota.js';
import { ProjectWriter } from './project-writer.js';
import { WRITER_LIMITS, type WriterLimits } from './writer-limits.js';

const actor: Actor = { type: 'service', id: 'compute', via: 'internal' };
const contextOf = (commandId: string, requestHash: string | null): CommandContext => ({
  commandId,
  correlationId: commandId,
  causationId: null,
  requestHash,
  actor,
  actorPart: null,
});
const context = (): CommandContext => contextOf(randomUUID(), null);
const keyed = (key: string, hash = 'hash'): CommandContext => contextOf(commandIdOf(['test', key]), hash);

/** What an append does instead of succeeding, once. */
type Fault = 'unavailable' | 'done, answer lost' | 'lost, answer too';

class FaultyStore extends MemoryEventStore {
  readonly faults: Fault[] = [];
  readonly appends: number[] = [];

  override async append(request: AppendRequest): Promise<AppendResult> {
    const fault = this.faults.shift();
    if (fault === 'unavailable') throw new StoreUnavailable('unreachable');
    if (fault === 'lost, answer too') throw new OutcomeUnknown();
    const result = await super.append(request);
    this.appends.push(request.events.length);
    if (fault === 'done, answer lost') throw new OutcomeUnknown();
    return result;
  }
}

function world(limits: Partial<WriterLimits> = {}) {
  const clock = new FixedClock(Date.parse(T0));
  const store = new FaultyStore(clock);
  const codec = new Codec(eventTypes, new MemoryDataKeys());
  const races = { lost: 0 };
  const watch = {
    appended: () => undefined,
    waits: () => undefined,
    lostRace: () => {
      races.lost += 1;
    },
  };
  const aWriter = (): ProjectWriter =>
    new ProjectWriter({
      ledger: { store, codec, clock, onAppended: () => Promise.resolve() },
      scope: { tenantId: 'acme', projectId: 'GOV1' },
      catalogue: () => defaultCatalogue,
      limits: { ...WRITER_LIMITS, ...limits },
      watch,
    });
  const types = async (): Promise<string[]> => (await store.readStream('projectQuota-GOV1')).map((event) => event.type);
  return { clock, store, races, aWriter, writer: aWriter(), types };
}

async function codeOf(run: Promise<unknown>): Promise<string> {
  try {
    await run;
    return 'done';
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
}

const run = (writer: ProjectWriter, command: QuotaCommand, as = context()) => writer.run(command, as);

describe('the writer of a project', () => {
  it('opens the ledger in the first command’s own append', async () => {
    const { writer, types, store } = world();
    const { revision, position } = await run(writer, reserve(1, 'ada', [gpu(1)]));
    expect(await types()).toEqual(['ProjectQuotaOpened', 'QuotaReserved']);
    expect(store.appends).toEqual([2]);
    expect([revision, position]).toEqual([2, await store.head()]);
  });

  it('appends together what comes together, and denies within it what no longer fits', async () => {
    const { writer, store } = world();
    await run(writer, limit(ofProject, 5));
    const codes = await Promise.all(
      Array.from({ length: 8 }, (_, n) => codeOf(run(writer, reserve(n, 'ada', [gpu(1)])))),
    );
    expect(codes.filter((code) => code === 'done')).toHaveLength(5);
    expect(store.appends).toEqual([2, 5]);
  });

  it('cuts a batch by its bytes without losing order', async () => {
    const { writer, store } = world({ batchBytesMax: 4_000 });
    await Promise.all(Array.from({ length: 20 }, (_, n) => run(writer, reserve(n, 'ada', [gpu(1)]))));
    expect(store.appends.length).toBeGreaterThan(3);
    const stored = await store.readStream('projectQuota-GOV1', { from: 2 });
    const ids = stored.map(({ envelope }) => (JSON.parse(envelope) as { data: { reservationId: string } }).data);
    expect(ids.map(({ reservationId }) => reservationId)).toEqual(Array.from({ length: 20 }, (_, n) => id(n)));
  });

  it.each(['done, answer lost', 'lost, answer too'] as const)(
    'finds out what became of an append: %s',
    async (fault) => {
      const { writer, store, types } = world();
      store.faults.push(fault);
      const { answer, replayed } = await run(writer, reserve(1, 'ada', [gpu(1)]));
      expect([answer, replayed]).toMatchObject([{ status: 'open', replayed: false }, false]);
      expect(await types()).toEqual(['ProjectQuotaOpened', 'QuotaReserved']);
    },
  );

  it('changes nothing when the store is out of reach, and goes on when it is back', async () => {
    const { writer, store } = world();
    store.faults.push('unavailable');
    expect(await codeOf(run(writer, reserve(1, 'ada', [gpu(1)])))).toBe('STORE_UNAVAILABLE');
    expect(await writer.look((state) => state.revision)).toBe(0);
    expect(await codeOf(run(writer, reserve(1, 'ada', [gpu(1)])))).toBe('done');
  });

  it('says that an outcome is unknown when it cannot be learned', async () => {
    const { writer, store } = world();
    store.faults.push(...Array.from({ length: 50 }, () => 'lost, answer too' as const));
    expect(await codeOf(run(writer, reserve(1, 'ada', [gpu(1)])))).toBe('OUTCOME_UNKNOWN');
  });

  it('decides again after another writer was first', async () => {
    const { writer, aWriter, races } = world();
    const other = aWriter();
    await run(writer, limit(ofProject, 2));
    await run(other, reserve(1, 'ada', [gpu(2)]));
    expect(await codeOf(run(writer, reserve(2, 'bo', [gpu(1)])))).toBe('QUOTA_EXCEEDED');
    expect(races.lost).toBe(1);
  });

  it('denies from no stale state', async () => {
    const { writer, aWriter } = world();
    const other = aWriter();
    await run(writer, limit(ofProject, 2));
    await run(writer, reserve(1, 'ada', [gpu(2)]));
    await run(other, release(1));
    expect(await codeOf(run(writer, reserve(2, 'bo', [gpu(2)])))).toBe('done');
  });

  it('sweeps what is due before it decides, in pieces, however many writers do', async () => {
    const { writer, aWriter, clock, store, types } = world();
    const other = aWriter();
    await run(writer, limit(ofProject, 700));
    await Promise.all(Array.from({ length: 700 }, (_, n) => run(writer, reserve(n, `user-${n % 7}`, [gpu(1)]))));
    clock.advance(900_000);
    store.appends.length = 0;
    const late = [run(writer, reserve(1_000, 'ada', [gpu(350)])), run(other, reserve(1_001, 'bo', [gpu(350)]))];
    await Promise.all(late);
    expect((await types()).filter((type) => type === 'ReservationExpired')).toHaveLength(700);
    expect(Math.max(...store.appends)).toBeLessThanOrEqual(500);
  });

  it('tells of all who are over a member default, with nobody asking, and after an end in between', async () => {
    const { writer, aWriter, store, types } = world();
    await run(writer, limit(ofProject, 'unlimited'));
    await Promise.all(Array.from({ length: 701 }, (_, n) => run(writer, allocate(n, `user-${n}`, [gpu(2)]))));
    store.appends.length = 0;
    await run(writer, limit(byDefault, 1, { force: true }));
    const count = async (name: string) => (await types()).filter((type) => type === name).length;
    await aWriter().look(() => undefined);
    expect(await count('OverQuotaEntered')).toBe(701);
    expect(Math.max(...store.appends)).toBeLessThanOrEqual(500);
    await run(writer, limit(byDefault, 2));
    for (let n = 0; n < 1_000 && (await count('OverQuotaCleared')) < 701; n += 1) await sleep(5);
    expect(await count('OverQuotaCleared')).toBe(701);
  });

  it('answers a repeated command as it was answered, here and elsewhere, and knows another request under its key', async () => {
    const { writer, aWriter, store } = world();
    await run(writer, reserve(1, 'ada', [gpu(3)]));
    const first = await run(writer, extend(1, 1_000), keyed('extend'));
    await run(writer, commit(1));
    const again = await run(writer, extend(1, 1_000), keyed('extend'));
    expect(again).toMatchObject({ replayed: true, revision: first.revision, position: first.position });
    expect(again.answer).toEqual({ ...first.answer, replayed: true });
    expect(await run(aWriter(), extend(1, 1_000), keyed('extend'))).toEqual(again);
    expect(await codeOf(run(writer, extend(1, 9), keyed('extend', 'other')))).toBe('IDEMPOTENCY_MISMATCH');
    const twins = await Promise.all([1, 2].map(() => run(writer, limit(ofProject, 9), keyed('twin'))));
    expect(twins.map(({ replayed }) => replayed)).toEqual([false, true]);
    expect(store.appends).toHaveLength(4);
  });

  it('reserves nothing for a caller who has left', async () => {
    const { writer, types } = world({ deadlineMs: -1 });
    expect(await codeOf(run(writer, reserve(1, 'ada', [gpu(1)])))).toBe('OVERLOADED');
    const patient = world();
    const left = (deadlineMs: number) =>
      codeOf(patient.writer.run(reserve(1, 'ada', [gpu(1)]), context(), { deadlineMs }));
    expect(await left(performance.now() - 1)).toBe('OVERLOADED');
    expect([await types(), await patient.types()]).toEqual([[], []]);
    expect(await left(performance.now() + 5_000)).toBe('done');
  });

  it('holds a command to what its caller saw, on the very state that it is decided on', async () => {
    const { writer, types } = world();
    expect(writer.peek(({ entries }) => entries.size)).toBeUndefined();
    await run(writer, reserve(1, 'ada', [gpu(1)]));
    expect(writer.peek(({ entries }) => entries.get(id(1))?.kind)).toBe('open');
    const held = (kind: string) =>
      writer.run(release(1), context(), {
        hold: ({ entries }) => {
          if (entries.get(id(1))?.kind !== kind) throw new Refusal('OVERLOADED', 'It is another one now.');
        },
      });
    // The commit before it in the batch has made it another one.
    const together = [run(writer, commit(1)), held('open'), held('live')];
    expect(await Promise.all(together.map(codeOf))).toEqual(['done', 'OVERLOADED', 'ALREADY_COMMITTED']);
    expect(await types()).toEqual(['ProjectQuotaOpened', 'QuotaReserved', 'ReservationCommitted']);
  });

  it('refuses what its mailbox cannot hold', async () => {
    const { writer } = world({ mailboxMax: 3 });
    const codes = await Promise.all(
      Array.from({ length: 5 }, (_, n) => codeOf(run(writer, reserve(n, 'ada', [gpu(1)])))),
    );
    expect(codes).toEqual(['done', 'done', 'done', 'OVERLOADED', 'OVERLOADED']);
  });

  it('refuses new work once it is closed, after answering what waits', async () => {
    const { writer } = world();
    const waiting = codeOf(run(writer, reserve(1, 'ada', [gpu(1)])));
    await writer.close();
    expect(await waiting).toBe('done');
    expect(await codeOf(run(writer, reserve(2, 'ada', [gpu(1)])))).toBe('OVERLOADED');
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Decider,
  type DomainEvent,
  FixedClock,
  type Ledger,
  reactionContext,
  type Reactor,
  type RecordedEvent,
  runCommand,
} from '#libs/eventsourcing';
import { type LeaseTimes, PostgresEventStore, ReactorHost, type ReactorListener } from '#libs/postgres';
import { createScratchLedger, type ExternalPostgres, type ScratchLedger, startExternalPostgres } from '#libs/testing';
import pg from 'pg';
import type { Database } from '../../libs/postgres/src/transaction.js';
import { FaultyDatabase, type Moment } from './faulty-database.js';
import { append, codec, disabled, enabled, streamOf } from './projection-fixture.js';

const leaseTimes: LeaseTimes = { ttlMs: 300, renewMs: 60 };
const REACHED_MS = 10_000;
const TARGETS = 3;

let server: ExternalPostgres;
let scratch: ScratchLedger;
let pool: pg.Pool;
let store: PostgresEventStore;
let hosts: ReactorHost[];

beforeAll(async () => {
  server = await startExternalPostgres();
});

afterAll(async () => {
  await server.stop();
});

beforeEach(async () => {
  scratch = await createScratchLedger(server.url);
  pool = new pg.Pool({ ...scratch.program, max: 20 });
  pool.on('error', () => undefined);
  store = new PostgresEventStore({ connection: scratch.program });
  hosts = [];
});

afterEach(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
  await store.close();
  await pool.end();
  await scratch.drop();
});

/** Writes an event whenever it is asked, so nothing but the commandId keeps a command from being done twice. */
const echo: Decider<number, object, DomainEvent> = {
  initialState: 0,
  decide: () => [{ type: 'KeyRevoked', data: { reason: 'other' } }],
  evolve: (count) => count + 1,
};

const targetOf = (stream: string, n: number): string => `key-Target${n}${stream.slice(-8)}`;

interface EchoOptions {
  readonly startsAt?: Reactor['startsAt'];
  /** Before the first command of an event (0), between two, and after the last. */
  readonly at?: (step: number, event: RecordedEvent) => Promise<void> | void;
}

/** Answers every KeyDisabled with an event on each of three other streams. */
function echoReactor({ startsAt = 'beginning', at }: EchoOptions = {}): Reactor {
  const ledger: Ledger = { store, codec, clock: new FixedClock(), onAppended: () => Promise.resolve() };
  return {
    name: 'echo',
    types: ['KeyDisabled'],
    startsAt,
    react: async (event) => {
      for (let n = 0; n < TARGETS; n += 1) {
        await at?.(n, event);
        const stream = targetOf(event.stream, n);
        await runCommand(ledger, {
          stream,
          decider: echo,
          command: {},
          scope: { tenantId: event.tenantId, projectId: event.projectId },
          context: reactionContext('echo', event, stream),
        });
      }
      await at?.(TARGETS, event);
    },
  };
}

async function start(
  reactor: Reactor,
  database: Database = pool,
  listener: ReactorListener = {},
): Promise<ReactorHost> {
  const host = new ReactorHost({ database, store, codec, leaseTimes, listener });
  host.register(reactor);
  hosts.push(host);
  await host.start();
  return host;
}

const disable = async (n: number): Promise<string> =>
  (await append(store, streamOf(n), [disabled, enabled]))[0]?.position ?? '';

async function expectReacted(host: ReactorHost): Promise<void> {
  expect(await host.reach('echo', await store.head(), REACHED_MS)).toBe(true);
  await until(() => host.status().every(({ waitingKeys }) => waitingKeys === 0));
}

/** Every target bears one event for each cause, in the order of the causes, and nothing else. */
async function expectExact(after = store.origin): Promise<void> {
  const { events } = await store.readAll({ limit: 10_000, filter: { types: ['KeyDisabled', 'KeyRevoked'] } });
  const recorded = events.map((stored) => codec.decode(stored));
  const causes = recorded.filter(({ type, position }) => type === 'KeyDisabled' && position > after);
  const expected = new Map<string, string[]>();
  for (const { stream, id } of causes)
    for (let n = 0; n < TARGETS; n += 1) {
      const target = targetOf(stream, n);
      expected.set(target, [...(expected.get(target) ?? []), id]);
    }
  const done = new Map<string, (string | null)[]>();
  for (const { type, stream, causationId } of recorded)
    if (type === 'KeyRevoked') done.set(stream, [...(done.get(stream) ?? []), causationId]);
  expect(Object.fromEntries(done)).toEqual(Object.fromEntries(expected));
}

async function until(reached: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + REACHED_MS;
  while (!(await reached())) {
    if (performance.now() > deadline) throw new Error('The awaited state was not reached.');
    await sleep(5);
  }
}

describe('each event is reacted to exactly once, wherever the process dies', () => {
  test.each([0, 1, 2, TARGETS])('before its command %s', async (dyingStep) => {
    const database = new FaultyDatabase(pool);
    const at = (step: number): void => {
      if (step === dyingStep) database.die();
      if (database.isDead) throw new Error('The process is dead.');
    };
    await disable(1);
    await start(echoReactor({ at }), database);
    await until(() => database.isDead);
    await disable(2);
    await expectReacted(await start(echoReactor()));
    await expectExact();
  });

  const points: [string, RegExp, Moment][] = [
    ['before it is registered', /insert into projections\.reactors/, 'before'],
    ['after it was registered', /insert into projections\.reactors/, 'after'],
    ['before it takes over', /update projections\.reactors r set epoch/, 'before'],
    ['after it took over', /update projections\.reactors r set epoch/, 'after'],
    ['before the checkpoint', /update projections\.reactors set position/, 'before'],
    ['after the checkpoint', /update projections\.reactors set position/, 'after'],
    ['before the commit', /^commit/, 'before'],
    ['after the commit, its answer lost', /^commit/, 'after'],
  ];

  test.each(points)('%s', async (_where, text, moment) => {
    const database = new FaultyDatabase(pool);
    database.dieAt(text, moment);
    await disable(1);
    await disable(2);
    await start(echoReactor(), database).catch(() => undefined);
    await until(() => database.isDead);
    await disable(1);
    await expectReacted(await start(echoReactor()));
    await expectExact();
  });

  const retryPoints: [string, RegExp, Moment][] = [
    ['before the failed event is set aside', /insert into projections\.waiting_reactions/, 'before'],
    ['after the failed event was set aside', /insert into projections\.waiting_reactions/, 'after'],
    ['before the next attempt is dated', /set attempts = attempts \+ 1/, 'before'],
    ['before what was done at last is taken out', /delete from projections\.waiting_reactions/, 'before'],
    ['after what was done at last was taken out', /delete from projections\.waiting_reactions/, 'after'],
  ];

  test.each(retryPoints)('%s', async (_where, text, moment) => {
    const database = new FaultyDatabase(pool);
    database.dieAt(text, moment);
    let failures = 3;
    const at = (step: number): void => {
      if (database.isDead) throw new Error('The process is dead.');
      if (step !== 1 || failures === 0) return;
      failures -= 1;
      throw new Error('Not now.');
    };
    await disable(1);
    await disable(2);
    await start(echoReactor({ at }), database);
    await until(() => database.isDead);
    await disable(1);
    await expectReacted(await start(echoReactor()));
    await expectExact();
  });

  test('when another process took over between the commands and the checkpoint', async () => {
    let steal = true;
    const at = async (step: number): Promise<void> => {
      if (step !== TARGETS || !steal) return;
      steal = false;
      await pool.query(
        `update projections.leases set owner = 'thief', epoch = epoch + 1, expires_at = clock_timestamp()`,
      );
      await pool.query('update projections.reactors set epoch = epoch + 1');
    };
    await disable(1);
    const host = await start(echoReactor({ at }));
    await until(() => !steal);
    await disable(2);
    await expectReacted(host);
    await expectExact();
  });
});

describe('a reaction that fails', () => {
  test('is tried again with growing pauses, holds up those of its key and nobody else', async () => {
    const attempts: number[] = [];
    let healed = false;
    const at = (_step: number, { stream }: RecordedEvent): void => {
      if (stream === streamOf(1) && !healed) throw new Error('The target is broken.');
    };
    const reactionFailed = (_reactor: string, _event: RecordedEvent, _error: Error, attempt: number): void => {
      attempts.push(attempt);
    };
    const host = await start(echoReactor({ at }), pool, { reactionFailed });
    await disable(1);
    await disable(1);
    const last = await disable(2);
    expect(await host.reach('echo', last, REACHED_MS)).toBe(true);
    expect(await store.readStream(targetOf(streamOf(2), 0))).toHaveLength(1);
    expect(await store.readStream(targetOf(streamOf(1), 0))).toHaveLength(0);
    await until(() => attempts.length >= 3);
    const { rows } = await pool.query<{ reason: string | null; attempts: number; pause: number }>(
      `select reason, attempts, extract(epoch from retry_at - clock_timestamp())::float8 as pause
       from projections.waiting_reactions order by position`,
    );
    expect(rows).toMatchObject([{ reason: 'Error: The target is broken.' }, { reason: null, attempts: 0 }]);
    healed = true;
    await expectReacted(host);
    await expectExact();
    expect(attempts).toEqual(attempts.map((_, n) => n + 1));
    expect(attempts.length).toBeLessThan(10);
  });

  test('waits through a restart', async () => {
    const broken = (): void => {
      throw new Error('The target is broken.');
    };
    const host = await start(echoReactor({ at: broken }));
    await disable(1);
    await until(() => host.status()[0]?.waitingKeys === 1);
    await host.stop();
    await disable(1);
    await expectReacted(await start(echoReactor()));
    await expectExact();
  });
});

describe('a reactor that runs for the first time', () => {
  test('begins at the beginning where it says so', async () => {
    await disable(1);
    await expectReacted(await start(echoReactor()));
    await expectExact();
  });

  test('begins at the head of its start else, and goes on from there after a restart', async () => {
    await disable(1);
    const after = await store.head();
    const host = await start(echoReactor({ startsAt: 'head' }));
    await host.stop();
    await disable(2);
    await expectReacted(await start(echoReactor({ startsAt: 'head' })));
    await expectExact(after);
  });

  test('begins anew where the log does not know its position, and does nothing twice', async () => {
    await disable(1);
    const host = await start(echoReactor());
    await expectReacted(host);
    await host.stop();
    await pool.query(`update projections.reactors set position = repeat('9', 20)`);
    await disable(2);
    await expectReacted(await start(echoReactor()));
    await expectExact();
  });
});

test('of two processes one reacts, and the other takes over when it is gone', async () => {
  const first = await start(echoReactor());
  await until(() => first.status()[0]?.state === 'leading');
  const second = await start(echoReactor());
  await disable(1);
  await expectReacted(first);
  expect(second.status()[0]?.state).toBe('standby');
  await first.stop();
  await disable(2);
  await expectReacted(second);
  await expectExact();
});

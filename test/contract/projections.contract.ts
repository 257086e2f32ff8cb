import { setImmediate } from 'node:timers/promises';
import { eventTypes } from '#libs/contracts';
import { Codec, type EventStore, MemoryDataKeys, type Projection } from '#libs/eventsourcing';
import { RebuildRunning } from '#libs/postgres';
import { seededRandom } from '#libs/testing';
import { FaultyDatabase, type Moment } from './faulty-database.js';
import { describeParking } from './parking.contract.js';
import { ProjectionGround, type StoreAndPool } from './projection-ground.js';
import { append, appendMany, disabled, enabled, readTally, revoked, streamOf } from './projection-fixture.js';

/** The runtime of projections on PostgreSQL over a store; the numbers are those of the contract. */
export function describeProjectionRuntime(name: string, make: () => Promise<StoreAndPool>): void {
  describe(`projections over ${name}`, () => {
    let ground: ProjectionGround;

    beforeEach(async () => {
      ground = new ProjectionGround(await make());
    });

    afterEach(() => ground.close());

    describe('(36) each event has its effect exactly once, wherever the process dies', () => {
      const points: [string, RegExp, Moment][] = [
        ['before the transaction', /^begin/, 'before'],
        ['before the handler', /^begin/, 'after'],
        ['before a write', /_seen_v1/, 'before'],
        ['between two writes', /_seen_v1/, 'after'],
        ['after the handler', /_sum_v1/, 'after'],
        ['before the checkpoint', /update projections\.checkpoints set position/, 'before'],
        ['after the checkpoint', /update projections\.checkpoints set position/, 'after'],
        ['before the commit', /^commit/, 'before'],
        ['after the commit, its answer lost', /^commit/, 'after'],
      ];

      test.each(points)('%s', async (_where, text, moment) => {
        const first = ground.hostOf([ground.tally()]);
        first.start();
        await ground.expectReached(first, await appendMany(ground.store, 20, 3));
        await first.stop();

        const database = new FaultyDatabase(ground.pool);
        const dying = ground.hostOf([ground.tally()], { database });
        dying.start();
        await ground.until(async () => (await dying.status())[0]?.state === 'leading');
        database.dieAt(text, moment);
        await appendMany(ground.store, 20, 3);
        await ground.until(() => database.isDead);
        const position = await appendMany(ground.store, 20, 3);

        const next = ground.hostOf([ground.tally()]);
        next.start();
        await ground.expectReached(next, position);
        await ground.expectExact();
      });

      test('when the lease is lost between the handler and the commit', async () => {
        const { pool, store } = ground;
        let steal = false;
        const after = async (): Promise<void> => {
          if (!steal) return;
          steal = false;
          await pool.query(
            `update projections.leases set owner = 'thief', epoch = epoch + 1, expires_at = clock_timestamp()`,
          );
          await pool.query('update projections.checkpoints set epoch = epoch + 1');
        };
        const host = ground.hostOf([ground.tally({ after })]);
        host.start();
        await ground.expectReached(host, await appendMany(store, 10, 2));
        steal = true;
        await ground.expectReached(host, await appendMany(store, 10, 2));
        expect(steal).toBe(false);
        await ground.expectExact();
      });
    });

    test('(36) a process that was killed holds nothing up: its lease is free long before it runs out', async () => {
      const leaseTimes = { ttlMs: 60_000, renewMs: 100 };
      const database = new FaultyDatabase(ground.pool);
      const killed = ground.hostOf([ground.tally()], { database, leaseTimes });
      killed.start();
      await ground.expectReached(killed, await appendMany(ground.store, 10, 2));
      const next = ground.hostOf([ground.tally()], { leaseTimes });
      next.start();
      database.die();
      await ground.expectReached(next, await appendMany(ground.store, 10, 2));
      await ground.expectExact();
    });

    test('(36) an event that the database refuses twice in passing is applied once it takes it', async () => {
      let failures = 3;
      const after = (): void => {
        failures -= 1;
        if (failures >= 0) throw Object.assign(new Error('deadlock detected'), { severity: 'ERROR', code: '40P01' });
      };
      const host = ground.hostOf([ground.tally({ after })]);
      host.start();
      await ground.expectReached(host, await appendMany(ground.store, 10, 2));
      await ground.expectExact();
      expect(await host.listParked()).toEqual([]);
    });

    test.each([
      ['in its handler', 'before' as const],
      ['with its rows written', 'after' as const],
    ])('(37) what a leader commits that was paused beyond its lease, %s, fails', async (_where, moment) => {
      const { pool, store } = ground;
      const database = new FaultyDatabase(pool);
      let thaw: (() => void) | undefined;
      let pausing = false;
      const pause = (): void => {
        if (!pausing) return;
        pausing = false;
        thaw = database.freeze();
      };
      const paused = ground.hostOf([ground.tally({ [moment]: pause })], { database });
      paused.start();
      await ground.expectReached(paused, await appendMany(store, 10, 2));
      const { rows } = await pool.query<{ epoch: string; position: string }>(
        'select epoch, position from projections.checkpoints',
      );
      const [before] = rows;
      pausing = true;
      const position = await appendMany(store, 20, 2);
      await ground.until(() => thaw !== undefined);

      let admit: () => void = () => undefined;
      const admitted = new Promise<void>((resolve) => {
        admit = resolve;
      });
      const successor = ground.hostOf([ground.tally({ before: () => admitted })]);
      successor.start();
      const checkpoint = async () =>
        (await pool.query<{ epoch: string; position: string }>('select epoch, position from projections.checkpoints'))
          .rows[0];
      await ground.until(async () => Number((await checkpoint())?.epoch) > Number(before?.epoch));
      thaw?.();
      await ground.until(async () => (await paused.status())[0]?.state === 'standby');
      const afterwards = await checkpoint();
      admit();
      expect(afterwards?.position).toBe(before?.position);
      await ground.expectReached(successor, await appendMany(store, 10, 2));
      await ground.expectReached(paused, position);
      await ground.expectExact();
      expect((await successor.status())[0]?.state).toBe('leading');
    });

    test('(38) a rebuild gives the rows of the live tables, whatever the pages', async () => {
      const { pool, store } = ground;
      const { seed, random } = seededRandom();
      const position = await appendMany(store, 300, 7);
      const host = ground.hostOf([ground.tally()]);
      host.start();
      await ground.expectReached(host, position);
      const live = await readTally(pool, ground.schema);
      for (let run = 0; run < 3; run += 1) {
        const pageEventsMax = 1 + Math.floor(random() * 60);
        const paged: EventStore = Object.assign(Object.create(store) as EventStore, {
          readAll: (options: Parameters<EventStore['readAll']>[0]) =>
            store.readAll({ ...options, limit: pageEventsMax }),
        });
        const result = await ground.hostOf([ground.tally()], { store: paged }).rebuild('tally');
        expect({ seed, pageEventsMax, eventsApplied: result.eventsApplied }).toEqual({
          seed,
          pageEventsMax,
          eventsApplied: 300,
        });
        expect(await readTally(pool, ground.schema)).toEqual(live);
      }
      await ground.expectReached(host, await appendMany(store, 10, 7));
      await ground.expectExact();
    });

    test('(38) one rebuild at a time, and an interrupted one leaves nothing', async () => {
      const { pool, store } = ground;
      await appendMany(store, 100, 5);
      const host = ground.hostOf([ground.tally()]);
      host.start();
      await ground.expectReached(host, await store.head());
      const stop = new AbortController();
      let second: Promise<unknown> | undefined;
      const interrupted = host.rebuild(
        'tally',
        () => {
          second ??= ground
            .hostOf([ground.tally()])
            .rebuild('tally')
            .catch((error: unknown) => {
              stop.abort(new Error('enough'));
              return error;
            });
        },
        stop.signal,
      );
      const slow = append(store, streamOf(1), [disabled]);
      await expect(interrupted.then(() => second)).resolves.toBeInstanceOf(RebuildRunning);
      await slow;
      const tables = await pool.query('select 1 from pg_tables where schemaname = $1', [ground.schema]);
      expect(tables.rowCount).toBe(2);
    });

    test('(39) under load every query sees one version, never fewer events than before, and none fails', async () => {
      const { pool, store } = ground;
      await appendMany(store, 400, 5);
      const old = ground.hostOf([ground.tally()]);
      old.start();
      await ground.expectReached(old, await store.head());

      const ending = new AbortController();
      const over = ending.signal;
      let appended = 0;
      const writer = (async () => {
        for (; !over.aborted; appended += 2) {
          await append(store, streamOf(appended % 5), [disabled, enabled]);
          // A store in memory answers without ever letting the readers in.
          await setImmediate();
        }
      })();
      const flips = new Set<number>();
      const reader = async (): Promise<void> => {
        let most = 400;
        while (!over.aborted) {
          const { rows } = await pool.query<{ versions: number; version: number; events: number }>(
            `select count(distinct version)::int as versions, max(version)::int as version, count(*)::int as events
             from ${ground.schema}.tally_seen`,
          );
          const [row] = rows;
          expect(row?.versions).toBe(1);
          expect(row?.events).toBeGreaterThanOrEqual(most);
          most = row?.events ?? 0;
          flips.add(row?.version ?? 0);
        }
      };
      const readers = [reader(), reader(), reader()];
      const late = Promise.allSettled(readers);
      await old.rebuild('tally');
      const renewed = ground.hostOf([ground.tally({ version: 2 })]);
      renewed.start();
      await ground.until(async () => (await renewed.status())[0]?.state === 'leading');
      await renewed.rebuild('tally');
      ending.abort();
      await writer;
      await late;
      await Promise.all(readers);
      expect([...flips]).toEqual([1, 2]);
      await old.stop();
      await ground.expectReached(renewed, await store.head());
      await ground.expectExact();
      expect((await renewed.status())[0]).toMatchObject({ generation: 4, liveVersion: 2, state: 'leading' });
    }, 20_000);

    describeParking(() => ground);

    test('(41) an event that this release cannot read stops its projection and is never skipped', async () => {
      const { store, pool } = ground;
      const older = new Codec(
        { ...eventTypes, KeyRevoked: undefined } as unknown as Readonly<Record<string, { schemaVersion: number }>>,
        new MemoryDataKeys(),
      );
      const others: Projection = { ...ground.tally({ name: 'others' }), categories: ['project'] };
      const failed: string[] = [];
      const host = ground.hostOf([ground.tally(), others], {
        codec: older,
        listener: { failed: (name, error) => failed.push(`${name} ${error.name}`) },
      });
      host.start();
      const before = await appendMany(store, 10, 2);
      await append(store, streamOf(0), [disabled, revoked, enabled]);
      await append(store, 'project-GOV112345', [{ type: 'ProjectClosed', data: {} }]);
      await ground.expectReached(host, await store.head(), 'others');
      await ground.until(() => failed.length > 0);
      expect(failed).toEqual(['tally UnknownEvent']);
      expect((await readTally(pool, ground.schema)).seen.length).toBe(11);
      expect((await host.status()).map(({ name, state }) => [name, state])).toEqual([
        ['tally', 'failed'],
        ['others', 'leading'],
      ]);
      expect(await host.reach('tally', await store.head(), 50)).toBe(false);
      expect(await host.reach('tally', before, 50)).toBe(true);

      const newer = ground.hostOf([ground.tally()]);
      newer.start();
      await ground.expectReached(newer, await store.head());
      await ground.expectExact();
    });

    test('(42) events of older versions are read through their upcasters', async () => {
      const { store } = ground;
      await append(store, streamOf(0), [
        { type: 'KeyExtended', data: { from: null, to: '2027-01-01T00:00:00.000Z', days: 30 } },
      ]);
      const upcasting = new Codec({ ...eventTypes, KeyExtended: { schemaVersion: 3 } }, new MemoryDataKeys(), {
        'KeyExtended@1': (data) => ({ ...data, days: String((data as { days: number }).days) }),
        'KeyExtended@2': (data) => ({ ...data, unit: 'day' }),
      });
      await append(
        store,
        streamOf(0),
        [{ type: 'KeyExtended', data: { from: null, to: null, days: '1', unit: 'day' } }],
        upcasting,
      );
      const seen: unknown[] = [];
      const projection = ground.tally({
        before: (events) => void seen.push(...events.map(({ data, schemaVersion }) => [schemaVersion, data])),
      });
      const host = ground.hostOf([projection], { codec: upcasting });
      host.start();
      await ground.expectReached(host, await store.head());
      expect(seen).toEqual([
        [3, { from: null, to: '2027-01-01T00:00:00.000Z', days: '30', unit: 'day' }],
        [3, { from: null, to: null, days: '1', unit: 'day' }],
      ]);
    });

    describe('(43) a read that waits for a position', () => {
      test('sees what stands at that position, also when another process projects', async () => {
        const { store, pool } = ground;
        const here = ground.hostOf([ground.tally()]);
        here.start();
        const elsewhere = ground.hostOf([ground.tally()]);
        for (let n = 0; n < 20; n += 1) {
          const [event] = await append(store, streamOf(n), [disabled]);
          const host = n % 2 === 0 ? here : elsewhere;
          await ground.expectReached(host, event?.position ?? '');
          const { seen } = await readTally(pool, ground.schema);
          expect(seen).toContain(event?.position);
        }
      });

      test('is answered where the position is not of its events', async () => {
        const { store } = ground;
        const here = ground.hostOf([ground.tally()]);
        here.start();
        const elsewhere = ground.hostOf([ground.tally()]);
        const [event] = await append(store, 'tenant-acme', [{ type: 'TenantSuspended', data: {} }]);
        await ground.expectReached(here, event?.position ?? '');
        await ground.expectReached(elsewhere, event?.position ?? '');
      });

      test('is told when the time is over', async () => {
        const host = ground.hostOf([ground.tally()]);
        host.start();
        await appendMany(ground.store, 2, 1);
        expect(await host.reach('tally', '99999999999999999999', 30)).toBe(false);
      });
    });
  });
}

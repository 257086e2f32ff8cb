import type { OpenedEvent } from '#libs/eventsourcing';
import { appendMany, foldTally, readTally, streamOf } from './projection-fixture.js';
import type { ProjectionGround } from './projection-ground.js';

/** What becomes of an event that cannot be applied, and of those behind it. */
export function describeParking(current: () => ProjectionGround): void {
  describe('(40) a poison event', () => {
    let ground: ProjectionGround;
    beforeEach(() => {
      ground = current();
    });

    const poisonOf = (stream: string, revision: number) => (events: readonly OpenedEvent[]) => {
      if (events.some((event) => event.stream === stream && event.revision === revision))
        throw new RangeError('poison');
    };

    test('parks its key alone, in order, and a retry drains it', async () => {
      const { store } = ground;
      let broken = true;
      const poison = poisonOf(streamOf(1), 3);
      const projection = ground.tally({
        before: (events) => {
          if (broken) poison(events);
        },
      });
      const parked: string[] = [];
      const host = ground.hostOf([projection], {
        listener: { parked: (name, key, event, reason) => parked.push(`${name} ${key} ${event.revision} ${reason}`) },
      });
      host.start();
      await ground.expectReached(host, await appendMany(store, 60, 3));
      await ground.expectReached(host, await appendMany(store, 6, 3));
      expect(parked).toEqual([`tally ${streamOf(1)} 3 RangeError: poison`]);
      expect(
        (await host.listParked('tally')).map(({ stream, revision, reason }) => [stream, revision, reason]),
      ).toEqual(Array.from({ length: 20 }, (_, n) => [streamOf(1), n + 3, n === 0 ? 'RangeError: poison' : null]));
      expect((await host.status())[0]).toMatchObject({ parkedCount: 20, state: 'leading' });
      expect(await readTally(ground.pool, ground.schema)).toEqual(
        await foldTally(store, ({ stream, revision }) => stream !== streamOf(1) || revision < 3),
      );

      expect(await host.retryParked('tally', streamOf(1))).toEqual({
        applied: 0,
        remaining: 20,
        reason: 'RangeError: poison',
      });
      broken = false;
      expect(await ground.hostOf([projection]).retryParked('tally', streamOf(1))).toEqual({
        applied: 20,
        remaining: 0,
      });
      await ground.expectReached(host, await appendMany(store, 6, 3));
      await ground.expectExact();
      expect(await host.listParked()).toEqual([]);
    });

    test('keeps its order while a retry races with the runner', async () => {
      const { store } = ground;
      let broken = true;
      const host = ground.hostOf([
        ground.tally({
          before: (events) => {
            if (broken) poisonOf(streamOf(0), 1)(events);
          },
        }),
      ]);
      host.start();
      await ground.expectReached(host, await appendMany(store, 20, 2));
      const writer = appendMany(store, 200, 2);
      broken = false;
      await host.retryParked('tally', streamOf(0));
      await ground.expectReached(host, await writer);
      await ground.expectExact();
    });

    test('is left out for good once an operator skips it, in a rebuild too', async () => {
      const { store, pool } = ground;
      const host = ground.hostOf([ground.tally({ before: poisonOf(streamOf(1), 3) })]);
      host.start();
      await ground.expectReached(host, await appendMany(store, 40, 2));
      expect(await host.skipParked('tally', streamOf(1), 'known bad')).toEqual({ applied: 17, remaining: 0 });
      const expected = await foldTally(store, ({ stream, revision }) => stream !== streamOf(1) || revision !== 3);
      expect(await readTally(pool, ground.schema)).toEqual(expected);
      await host.rebuild('tally');
      expect(await readTally(pool, ground.schema)).toEqual(expected);
      expect(await host.listParked()).toEqual([]);
      await expect(host.skipParked('tally', streamOf(1), 'again')).rejects.toThrow('nothing parked');
    });
  });
}

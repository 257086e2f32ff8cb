import type { QuotaItem } from '#libs/contracts';
import {
  after,
  allocate,
  byDefault,
  commit,
  cpu,
  free,
  given,
  gpu,
  id,
  idAt,
  ledgerAfter,
  limit,
  of,
  release,
  removal,
  reserve,
  standings,
  type Step,
  T0,
} from '../testing/given-quota.js';
import { execute } from './decide.js';
import { holdingOf, removalObjection } from './member-removal.js';
import type { ProjectQuota } from './project-quota.js';
import { restored, type Snapshot, snapshotOf } from './snapshot.js';

const held: Step[] = [
  [T0, limit(of('alice'), 4000)],
  [T0, reserve(1, 'alice', [gpu(1000)])],
  [T0, allocate(2, 'alice', [gpu(500), cpu(2)])],
];
const left = { force: true };

describe('before a member leaves', () => {
  it('block refuses while anything is used or reserved', () => {
    given(...held)
      .when(T0, removal('alice', 'block'))
      .isRefused('MEMBER_HAS_USAGE');
    given(...held, [T0, release(1)], [T0, free(2)])
      .when(T0, removal('alice', 'block'))
      .gives('QuotaMemberRemoved', 'QuotaMemberClosed');
  });

  it('transfer refuses what the other may not have, with all violations', () => {
    given(...held, [T0, limit(of('bob'), 1499)], [T0, limit(of('bob'), 1, { resource: 'cpu' })])
      .when(T0, removal('alice', 'transfer', { to: 'bob' }))
      .isRefused('TARGET_OVER_QUOTA', {
        violations: [
          { scope: of('bob'), resource: 'cpu', requested: 2 },
          { scope: of('bob'), resource: 'gpu', requested: 1500, available: 1499 },
        ],
      });
    given(...held)
      .when(T0, removal('alice', 'transfer'))
      .isRefused('VALIDATION');
    given(...held)
      .when(T0, removal('alice', 'transfer', { to: 'alice' }))
      .isRefused('VALIDATION');
    given(...held, [T0, allocate(3, 'bob', [cpu(1)])], [T0, removal('bob', 'orphan', left)])
      .when(T0, removal('alice', 'transfer', { to: 'bob' }))
      .isRefused('MEMBER_REMOVED');
  });

  it('what stands in the way is told without a decision', () => {
    const { state, catalogue } = ledgerAfter([...held, [T0, limit(of('bob'), 1499)]]);
    const objection = (disposition: 'block' | 'transfer', to: string | null) =>
      removalObjection(state, catalogue, { userId: 'alice', disposition, to });
    expect(objection('block', null)).toMatchObject({
      code: 'MEMBER_HAS_USAGE',
      extra: { extensions: { reservations: 1, allocations: 1, items: [cpu(2), gpu(1500)] } },
    });
    expect(objection('transfer', 'bob')).toMatchObject({ code: 'TARGET_OVER_QUOTA' });
    expect(objection('transfer', 'carol')).toBeNull();
    expect(holdingOf(state, 'alice')).toEqual([cpu(2), gpu(1500)]);
    expect(removalObjection(state, catalogue, { userId: 'bob', disposition: 'block', to: null })).toBeNull();
  });
});

describe('a member that has left', () => {
  it('with transfer hands over reservations and allocations under their ids', () => {
    given(...held)
      .when(T0, removal('alice', 'transfer', { ...left, to: 'bob' }))
      .gives(
        { type: 'QuotaMemberRemoved', data: { userId: 'alice', disposition: 'transfer', to: 'bob' } },
        {
          type: 'QuotaMemberUsageTransferred',
          data: {
            from: 'alice',
            to: 'bob',
            part: 1,
            parts: 1,
            reservations: [id(1)],
            allocations: [id(2)],
            totals: [cpu(2), gpu(1500)],
          },
        },
        { type: 'QuotaMemberClosed', data: { userId: 'alice' } },
      );
    given(...held, [T0, removal('alice', 'transfer', { ...left, to: 'bob' })])
      .when(T0, commit(1))
      .answers({ userId: 'bob', items: [gpu(1000)] });
  });

  it('may bring the other over quota, which the ledger says', () => {
    given(...held, [T0, limit(of('bob'), 1)])
      .when(T0, removal('alice', 'transfer', { ...left, to: 'bob' }))
      .gives('QuotaMemberRemoved', 'QuotaMemberUsageTransferred', 'OverQuotaEntered', 'QuotaMemberClosed');
  });

  it('with orphan loses the reservations, keeps what is used counted, and is closed with the last of it', () => {
    given(...held)
      .when(T0, removal('alice', 'orphan', left))
      .gives('QuotaMemberRemoved', { type: 'ReservationReleased', data: { reservationId: id(1), userId: 'alice' } });
    given(...held, [T0, removal('alice', 'orphan', left)])
      .when(T0, commit(1))
      .isRefused('ALREADY_RELEASED');
    given(...held, [T0, removal('alice', 'orphan', left)])
      .when(T0, free(2))
      .gives('AllocationReleased', { type: 'QuotaMemberClosed', data: { userId: 'alice' } });
  });

  it('with block treats as an orphan’s what slipped in between; so does transfer to one who has left as well', () => {
    given(...held)
      .when(T0, removal('alice', 'block', left))
      .gives('QuotaMemberRemoved', 'ReservationReleased');
    given(...held, [T0, allocate(3, 'bob', [cpu(1)])], [T0, removal('bob', 'orphan', left)])
      .when(T0, removal('alice', 'transfer', { ...left, to: 'bob' }))
      .gives(
        { type: 'QuotaMemberRemoved', data: { userId: 'alice', disposition: 'orphan', to: null } },
        'ReservationReleased',
      );
  });

  it('that joined again keeps what it has had since, and what was of before follows the disposition', () => {
    const rejoined = after(5);
    given(...held, [after(6), limit(of('alice'), 8000)], [after(6), reserve(3, 'alice', [gpu(1)])])
      .when(after(7), removal('alice', 'orphan', { ...left, heldBefore: rejoined }))
      .gives({ type: 'ReservationReleased', data: { reservationId: id(1), userId: 'alice' } });
    given([after(6), reserve(3, 'alice', [gpu(1)])])
      .when(after(7), removal('alice', 'orphan', { ...left, heldBefore: rejoined }))
      .changesNothing();
  });

  it('hands over to one who had left and is a member again', () => {
    given(...held, [T0, allocate(3, 'bob', [cpu(1)])], [T0, removal('bob', 'orphan', left)], [T0, free(3)])
      .when(T0, removal('alice', 'transfer', { ...left, to: 'bob', toIsMember: true }))
      .gives('QuotaMemberRemoved', 'QuotaMemberUsageTransferred', 'QuotaMemberClosed');
  });

  it('is closed once, whatever happens to the limits that it inherited', () => {
    const ledger = ledgerAfter([
      [T0, allocate(1, 'alice', [gpu(1)])],
      [T0, removal('alice', 'orphan', left)],
      [T0, free(1)],
    ]);
    const kept = restored(JSON.parse(JSON.stringify(snapshotOf(ledger.state))) as Snapshot) as ProjectQuota;
    const changed = [{ type: 'QuotaSet' }];
    expect(ledger.run(after(1), limit(byDefault, 5)).events).toMatchObject(changed);
    kept.journal.begin();
    const moment = { at: after(1), catalogue: ledger.catalogue, commandId: 'c', requestHash: null };
    expect(execute(limit(byDefault, 5), kept, moment).events).toMatchObject(changed);
  });

  it('is told of once, however often it is said, and leaves no trace without usage or limits', () => {
    given(...held, [T0, removal('alice', 'orphan', left)])
      .when(T0, removal('alice', 'orphan', left))
      .changesNothing();
    given()
      .when(T0, removal('nobody', 'orphan', left))
      .changesNothing();
  });

  it('gets nothing, until it is a member again', () => {
    const removed: Step[] = [...held, [T0, removal('alice', 'orphan', left)]];
    given(...removed)
      .when(T0, reserve(4, 'alice', [gpu(1)], { standing: standings.gone }))
      .isRefused('MEMBER_REMOVED');
    given(...removed)
      .when(T0, reserve(4, 'alice', [gpu(1)]))
      .gives('QuotaReserved');
    given(...removed, [T0, reserve(4, 'alice', [gpu(1)])], [T0, free(2)])
      .when(T0, release(4))
      .gives('ReservationReleased');
  });

  it('takes its own limits along', () => {
    given([T0, limit(byDefault, 10)], [T0, limit(of('alice'), 20)], [T0, removal('alice', 'orphan', left)])
      .when(T0, reserve(1, 'alice', [gpu(11)]))
      .isRefused('QUOTA_EXCEEDED', { violations: [{ limit: 10 }] });
  });

  it('with much is written in parts over many appends', () => {
    const ledger = ledgerAfter([]);
    const many = (each: (n: number) => void) => {
      for (let n = 1; n <= 9_000; n += 1) each(n);
    };
    many((n) => ledger.run(T0, allocate(n, 'alice', [gpu(1)])));
    let partsDone = 0;
    let appends = 0;
    for (let complete = false; !complete; appends += 1) {
      const { answer, events } = ledger.run(T0, removal('alice', 'transfer', { ...left, to: 'bob', partsDone }));
      expect(events.length).toBeLessThanOrEqual(6);
      ({ partsDone, complete } = answer);
    }
    expect(appends).toBeGreaterThan(1);
    expect(ledger.state.members.get('alice')?.live).toBe(0);
    expect(ledger.state.members.get('bob')?.live).toBe(9_000);
    const parts = ledger.events.flatMap(({ type, data }) => (type === 'QuotaMemberUsageTransferred' ? [data] : []));
    expect(parts.map(({ part }) => part)).toEqual(parts.map((_, n) => n + 1));
    expect(parts.every(({ totals }) => (totals[0] as QuotaItem).amount <= 9_000)).toBe(true);
  });
});

it('ids that resolved early are forgotten, and nothing as old as they are is accepted any more', () => {
  const ledger = ledgerAfter([], undefined, 2);
  for (const n of [1, 2, 3]) {
    ledger.run(after(n), reserve(n, 'alice', [gpu(1)], { id: idAt(after(n), n) }));
    ledger.run(after(n), { type: 'ReleaseReservation', id: idAt(after(n), n) });
  }
  const again = (seconds: number) => reserve(9, 'alice', [gpu(1)], { id: idAt(after(seconds), 9) });
  expect(() => ledger.run(after(10), again(1))).toThrow('ID_TOO_OLD');
  expect(ledger.run(after(10), again(1.001)).events).toHaveLength(1);
  expect(ledger.run(after(10), reserve(2, 'alice', [gpu(1)], { id: idAt(after(2), 2) })).answer).toMatchObject({
    status: 'released',
    replayed: true,
  });
});

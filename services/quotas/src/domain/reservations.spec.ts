import {
  active,
  after,
  allocate,
  byDefault,
  commit,
  cpu,
  extend,
  free,
  given,
  gpu,
  id,
  idAt,
  ledgerAfter,
  limit,
  of,
  ofProject,
  release,
  reserve,
  standings,
  type Step,
  T0,
} from '../testing/given-quota.js';
import { ENTRIES_MAX } from './granting.js';

const four: Step = [T0, limit(of('alice'), 4000)];
const reserved: Step = [T0, reserve(1, 'alice', [gpu(3000)])];

describe('reserve', () => {
  it('opens the ledger with its first event, in the same append', () => {
    given()
      .when(T0, reserve(1, 'alice', [gpu(3000)]))
      .gives(
        { type: 'ProjectQuotaOpened', data: { catalogueRevision: 0, overcommit: 'shared' } },
        {
          type: 'QuotaReserved',
          data: {
            reservationId: id(1),
            userId: 'alice',
            items: [gpu(3000)],
            ttlSeconds: 900,
            expiresAt: after(900),
            mode: 'ENFORCE',
            resourceRef: null,
            labels: {},
            bodyHash: 'hash 1',
          },
        },
      );
  });

  it('grants up to the limit and not one more', () => {
    given(four, reserved)
      .when(T0, reserve(2, 'alice', [gpu(1000)]))
      .gives('QuotaReserved');
    given(four, reserved)
      .when(T0, reserve(2, 'alice', [gpu(1001)]))
      .isRefused('QUOTA_EXCEEDED', {
        violations: [
          {
            scope: of('alice'),
            service: 'container-compute',
            resource: 'gpu',
            limit: 4000,
            used: 0,
            reserved: 3000,
            requested: 1001,
            available: 1000,
          },
        ],
      });
  });

  it('tells all violations, by service and resource, the project before the member', () => {
    const tight: Step[] = [
      [T0, limit(ofProject, 5000)],
      [T0, limit(of('alice'), 1000)],
      [T0, limit(of('alice'), 10, { resource: 'cpu' })],
    ];
    given(...tight)
      .when(T0, reserve(1, 'alice', [gpu(6000), cpu(11)]))
      .isRefused('QUOTA_EXCEEDED', {
        violations: [
          { resource: 'cpu', scope: of('alice'), available: 10 },
          { resource: 'gpu', scope: ofProject, available: 5000 },
          { resource: 'gpu', scope: of('alice'), available: 1000 },
        ],
      });
  });

  it('grants nothing of several items if one is denied', () => {
    const ledger = ledgerAfter([four]);
    expect(() => ledger.run(T0, reserve(1, 'alice', [cpu(5), gpu(4001)]))).toThrow('QUOTA_EXCEEDED');
    expect(ledger.state.project.counters.every((counter) => counter?.reserved === 0)).toBe(true);
  });

  it('holds an unlimited member to the project', () => {
    given([T0, limit(ofProject, 100)], [T0, limit(of('alice'), 'unlimited')])
      .when(T0, reserve(1, 'alice', [gpu(101)]))
      .isRefused('QUOTA_EXCEEDED', { violations: [{ scope: ofProject }] });
  });

  it('holds members without a limit of their own to the member default', () => {
    given([T0, limit(byDefault, 10)])
      .when(T0, reserve(1, 'bob', [gpu(11)]))
      .isRefused('QUOTA_EXCEEDED', { violations: [{ scope: of('bob'), limit: 10 }] });
  });

  it('answers a repetition as before, whatever became of it, and refuses the id for another body', () => {
    const again = reserve(1, 'alice', [gpu(3000)]);
    given(four, reserved)
      .when(after(5), again)
      .answers({ status: 'open', replayed: true, expiresAt: after(900) });
    given(four, reserved, [T0, commit(1)])
      .when(after(5), again)
      .answers({ status: 'committed', replayed: true });
    given(four, reserved, [T0, commit(1)], [T0, free(1)])
      .when(after(5), again)
      .answers({ status: 'committed', replayed: true });
    given(four, reserved, [T0, release(1)])
      .when(after(5), again)
      .answers({ status: 'released', replayed: true });
    given(four, reserved).when(after(1000), again).answers({ status: 'expired', replayed: true });
    given(four, reserved)
      .when(T0, reserve(1, 'alice', [gpu(1)], { bodyHash: 'other' }))
      .isRefused('IDEMPOTENCY_MISMATCH');
    given([T0, allocate(1, 'alice', [gpu(3000)])])
      .when(T0, again)
      .isRefused('IDEMPOTENCY_MISMATCH');
  });

  it('checks without a trace, and tells how often the items would fit', () => {
    const check = (amount: number) => reserve(2, 'alice', [gpu(amount)], { mode: 'CHECK_ONLY' });
    given(four, reserved).when(T0, check(400)).answers({ kind: 'check', allowed: true, violations: [], fits: 2 });
    given(four, reserved).when(T0, check(1001)).answers({ kind: 'check', allowed: false, fits: 0 });
    given(four, reserved).when(T0, check(1001)).changesNothing();
    given().when(T0, check(1)).answers({ kind: 'check', allowed: true, fits: 'unlimited' });
  });

  it('is forced above the limit, and the ledger says so in the same append', () => {
    given(four)
      .when(T0, reserve(1, 'alice', [gpu(4001)], { mode: 'FORCE' }))
      .gives('QuotaReserved', {
        type: 'OverQuotaEntered',
        data: {
          scope: of('alice'),
          service: 'container-compute',
          resource: 'gpu',
          limit: 4000,
          used: 0,
          reserved: 4001,
        },
      });
    given(four, [T0, reserve(1, 'alice', [gpu(4001)], { mode: 'FORCE' })])
      .when(T0, release(1))
      .gives('ReservationReleased', 'OverQuotaCleared');
  });

  it('warns beyond a soft limit without refusing', () => {
    given([T0, limit(of('alice'), 4000, { soft: 2000 })])
      .when(T0, reserve(1, 'alice', [gpu(3000)]))
      .answers({
        warnings: [
          { scope: of('alice'), service: 'container-compute', resource: 'gpu', soft: 2000, used: 0, reserved: 3000 },
        ],
      });
  });

  it.each([
    ['ZERO_AMOUNT', [gpu(0)]],
    ['VALIDATION', [gpu(-1)]],
    ['VALIDATION', [gpu(0.5)]],
    ['VALIDATION', []],
    ['VALIDATION', [gpu(1), gpu(1)]],
    ['AMOUNT_OVERFLOW', [gpu(2 ** 53)]],
    ['UNKNOWN_RESOURCE', [{ service: 'container-compute', resource: 'tpu', amount: 1 }]],
    ['UNKNOWN_RESOURCE', [{ service: 'nothing', resource: 'gpu', amount: 1 }]],
    ['TOO_MANY_ITEMS', Array.from({ length: 17 }, (_, n) => ({ ...gpu(1), resource: `r${n}` }))],
  ])('refuses with %s the items %j', (code, items) => {
    given()
      .when(T0, reserve(1, 'alice', items))
      .isRefused(code);
  });

  it('refuses sums beyond 2^53-1, forced or not', () => {
    const most: Step = [T0, reserve(1, 'alice', [gpu(Number.MAX_SAFE_INTEGER)])];
    for (const mode of ['ENFORCE', 'FORCE', 'CHECK_ONLY'] as const)
      given(most)
        .when(T0, reserve(2, 'bob', [gpu(1)], { mode }))
        .isRefused('AMOUNT_OVERFLOW');
  });

  it.each([
    [0, 'VALIDATION'],
    [-5, 'VALIDATION'],
    [1.5, 'VALIDATION'],
    [86_401, 'TTL_TOO_LONG'],
  ])('refuses a life of %d seconds with %s', (ttlSeconds, code) => {
    given()
      .when(T0, reserve(1, 'alice', [gpu(1)], { ttlSeconds }))
      .isRefused(code);
  });

  it('refuses ids whose time is more than 24 hours back or 5 minutes ahead, and ids that bear none', () => {
    const at = after(86_400);
    const withId = (newId: string) => reserve(1, 'alice', [gpu(1)], { id: newId });
    given()
      .when(at, withId(idAt(T0, 1)))
      .isRefused('ID_TOO_OLD');
    given()
      .when(at, withId(idAt(after(0.001), 1)))
      .gives('ProjectQuotaOpened', 'QuotaReserved');
    given()
      .when(at, withId(idAt(after(86_700), 1)))
      .gives('ProjectQuotaOpened', 'QuotaReserved');
    given()
      .when(at, withId(idAt(after(86_700.001), 1)))
      .isRefused('ID_TOO_OLD');
    given().when(at, withId('6e9d2f4e-0a5b-5c0e-9f57-0c3e5f1a2b3c')).isRefused('VALIDATION');
  });

  it('is refused to who is suspended, has left, is unknown or lacks the service', () => {
    const by = (standing: typeof active) => reserve(2, 'alice', [gpu(1)], { standing });
    given().when(T0, by(standings.suspended)).isRefused('MEMBER_SUSPENDED');
    given().when(T0, by(standings.gone)).isRefused('MEMBER_UNKNOWN');
    given()
      .when(T0, by({ member: 'active', services: new Set(['virtual-compute']) }))
      .isRefused('SERVICE_NOT_GRANTED');
    given()
      .when(T0, by({ member: 'active', services: new Set(['container-compute']) }))
      .gives('ProjectQuotaOpened', 'QuotaReserved');
  });
});

describe('commit', () => {
  it('uses what was asked and returns the rest', () => {
    given(four, reserved)
      .when(T0, commit(1, { items: [gpu(2500)], resourceRef: 'pod/1' }))
      .gives({
        type: 'ReservationCommitted',
        data: {
          reservationId: id(1),
          userId: 'alice',
          items: [gpu(2500)],
          returned: [gpu(500)],
          resourceRef: 'pod/1',
          late: false,
        },
      });
    given(four, reserved, [T0, commit(1, { items: [gpu(2500)] })])
      .when(T0, reserve(2, 'alice', [gpu(2000)]))
      .isRefused('QUOTA_EXCEEDED', {
        violations: [{ limit: 4000, used: 2500, reserved: 0, requested: 2000, available: 1500 }],
      });
  });

  it('answers a repetition with the same items and refuses other ones', () => {
    const done: Step[] = [four, reserved, [T0, commit(1, { items: [gpu(2500)] })]];
    given(...done)
      .when(T0, commit(1, { items: [gpu(2500)] }))
      .answers({ replayed: true, items: [gpu(2500)], returned: [gpu(500)] });
    given(...done)
      .when(T0, commit(1))
      .isRefused('ALREADY_COMMITTED');
    given(...done)
      .when(T0, commit(1, { items: [gpu(2500)], resourceRef: 'pod/2' }))
      .isRefused('ALREADY_COMMITTED');
  });

  it('refuses more than was reserved, what is unknown and what was released', () => {
    given(four, reserved)
      .when(T0, commit(1, { items: [gpu(3001)] }))
      .isRefused('EXCEEDS_RESERVED');
    given(four, reserved)
      .when(T0, commit(1, { items: [gpu(1), cpu(1)] }))
      .isRefused('EXCEEDS_RESERVED');
    given(four).when(T0, commit(1)).isRefused('RESERVATION_NOT_FOUND');
    given(four, reserved, [T0, release(1)])
      .when(T0, commit(1))
      .isRefused('ALREADY_RELEASED');
  });

  it('after expiry fails, reacquires or is forced', () => {
    const at = after(900);
    given(four, reserved).when(at, commit(1)).isRefused('RESERVATION_EXPIRED');
    given(four, reserved)
      .when(at, commit(1, { onExpired: 'reacquire' }))
      .answers({ late: true, status: 'live' });
    given(four, reserved)
      .when(at, commit(1, { onExpired: 'reacquire', standing: standings.closed }))
      .isRefused('PROJECT_CLOSED');
    const taken: Step = [at, reserve(2, 'alice', [gpu(2000)])];
    given(four, reserved, taken)
      .when(at, commit(1, { onExpired: 'reacquire' }))
      .isRefused('QUOTA_EXCEEDED');
    given(four, reserved, taken)
      .when(at, commit(1, { onExpired: 'force' }))
      .gives('ReservationCommitted', 'OverQuotaEntered');
  });

  it('refuses a resource that another allocation stands for', () => {
    given(reserved, [T0, allocate(2, 'bob', [gpu(1)], { resourceRef: 'pod/1' })])
      .when(T0, commit(1, { resourceRef: 'pod/1' }))
      .isRefused('RESOURCE_REF_TAKEN');
  });
});

describe('release, extend, expire', () => {
  it('frees what was reserved at once, and again says the same', () => {
    given(four, reserved).when(T0, release(1)).gives('ReservationReleased');
    given(four, reserved, [T0, release(1)])
      .when(T0, release(1))
      .changesNothing();
    given(four, reserved, [T0, release(1)])
      .when(T0, reserve(2, 'alice', [gpu(4000)]))
      .gives('QuotaReserved');
    given(four, reserved, [T0, commit(1)])
      .when(T0, release(1))
      .isRefused('ALREADY_COMMITTED');
    given(four).when(T0, release(1)).isRefused('RESERVATION_NOT_FOUND');
    given(four, reserved).when(after(900), release(1)).answers({ status: 'expired', replayed: true });
  });

  it('expires at the instant, not a millisecond before', () => {
    given(four, reserved)
      .when(after(899.999), reserve(2, 'alice', [gpu(4000)]))
      .isRefused('QUOTA_EXCEEDED');
    given(four, reserved)
      .when(after(900), reserve(2, 'alice', [gpu(4000)]))
      .gives('QuotaReserved');
  });

  it('extends up to 24 hours after creation and never shortens', () => {
    given(four, reserved)
      .when(after(60), extend(1, 900))
      .gives({
        type: 'ReservationExtended',
        data: { reservationId: id(1), userId: 'alice', expiresAt: after(960) },
      });
    given(four, reserved).when(after(60), extend(1, 10)).changesNothing();
    given(four, reserved).when(after(1), extend(1, 86_400)).isRefused('TTL_TOO_LONG');
    given(four, reserved).when(T0, extend(1, 86_401)).isRefused('TTL_TOO_LONG');
    given(four, reserved).when(T0, extend(1, 0)).isRefused('VALIDATION');
    given(four, reserved).when(after(900), extend(1, 10)).isRefused('RESERVATION_EXPIRED');
    given(four, reserved, [T0, commit(1)])
      .when(T0, extend(1, 10))
      .isRefused('ALREADY_COMMITTED');
    given(four, reserved, [T0, release(1)])
      .when(T0, extend(1, 10))
      .isRefused('ALREADY_RELEASED');
    given(four).when(T0, extend(1, 10)).isRefused('RESERVATION_NOT_FOUND');
    given(four, reserved, [after(60), extend(1, 900)])
      .when(after(930), commit(1))
      .gives('ReservationCommitted');
  });

  it('an expiry told too early, or after an extension, changes nothing', () => {
    const due = { type: 'ExpireReservation', reservationId: id(1), expiresAt: after(900) } as const;
    given(four, reserved).when(after(899), due).changesNothing();
    given(four, reserved, [after(60), extend(1, 900)])
      .when(after(900), due)
      .changesNothing();
  });
});

it('a commit that comes late counts as an allocation like any other, of which a project has a number at most', () => {
  const ledger = ledgerAfter([[T0, reserve(1, 'alice', [gpu(1)], { ttlSeconds: 60 })]]);
  ledger.sweep(after(60));
  ledger.state.project.live = ENTRIES_MAX;
  for (const onExpired of ['reacquire', 'force'] as const)
    expect(() => ledger.run(after(60), commit(1, { onExpired }))).toThrow('TOO_MANY_ALLOCATIONS');
  ledger.state.project.live = ENTRIES_MAX - 1;
  expect(ledger.run(after(60), commit(1, { onExpired: 'reacquire' })).events).toHaveLength(1);
});

import {
  allocate,
  clear,
  commit,
  cpu,
  extend,
  free,
  given,
  gpu,
  limit,
  ofProject,
  release,
  report,
  reserve,
  resize,
  type Step,
  T0,
} from '../testing/given-quota.js';

const reserved: Step = [T0, reserve(1, 'alice', [gpu(3000)])];

describe('a frozen or closed project', () => {
  const hold: Step = [T0, { type: 'FreezeQuota', mode: 'hold' }];
  const drain: Step = [T0, { type: 'FreezeQuota', mode: 'drain' }];
  const closed: Step = [T0, { type: 'CloseQuota', force: true }];

  it('on hold grants nothing new, commits what was granted, and takes back', () => {
    given(reserved, hold)
      .when(T0, reserve(2, 'alice', [gpu(1)]))
      .isRefused('PROJECT_FROZEN');
    given(reserved, hold)
      .when(T0, reserve(2, 'alice', [gpu(1)], { mode: 'FORCE' }))
      .isRefused('PROJECT_FROZEN');
    given(reserved, hold)
      .when(T0, allocate(2, 'alice', [gpu(1)]))
      .isRefused('PROJECT_FROZEN');
    given(reserved, hold).when(T0, commit(1)).gives('ReservationCommitted');
    given(reserved, hold).when(T0, release(1)).gives('ReservationReleased');
    given(reserved, hold, [T0, commit(1)])
      .when(T0, resize(1, [gpu(3001)]))
      .isRefused('PROJECT_FROZEN');
    given(reserved, hold, [T0, commit(1)])
      .when(T0, resize(1, [gpu(2999)]))
      .gives('AllocationResized');
  });

  it('draining commits and extends nothing either', () => {
    given(reserved, drain).when(T0, commit(1)).isRefused('PROJECT_FROZEN');
    given(reserved, drain).when(T0, extend(1, 1000)).isRefused('PROJECT_FROZEN');
    given(reserved, drain).when(T0, release(1)).gives('ReservationReleased');
  });

  it('is frozen and unfrozen once', () => {
    given(hold).when(T0, hold[1]).changesNothing();
    given(hold)
      .when(T0, drain[1])
      .gives({ type: 'ProjectQuotaFrozen', data: { mode: 'drain' } });
    given(hold).when(T0, { type: 'UnfreezeQuota' }).gives('ProjectQuotaUnfrozen');
    given().when(T0, { type: 'UnfreezeQuota' }).changesNothing();
  });

  it('closes when it is empty, or by force, and then only takes back', () => {
    given(reserved).when(T0, { type: 'CloseQuota', force: false }).isRefused('PROJECT_HAS_USAGE');
    given(reserved, [T0, release(1)])
      .when(T0, { type: 'CloseQuota', force: false })
      .gives('ProjectQuotaClosed');
    const after: Step[] = [reserved, [T0, allocate(2, 'bob', [cpu(1)], { resourceRef: 'vm/1' })], closed];
    given(...after)
      .when(T0, { type: 'CloseQuota', force: false })
      .changesNothing();
    for (const command of [
      reserve(3, 'alice', [gpu(1)]),
      allocate(3, 'alice', [gpu(1)]),
      commit(1),
      extend(1, 1000),
      resize(2, [cpu(2)]),
      limit(ofProject, 5),
      clear(ofProject),
      { type: 'BulkSetQuota', items: [limit(ofProject, 5)], atomic: true, dryRun: false, force: false } as const,
      { type: 'SetQuotaPolicy', overcommit: 'partitioned' } as const,
      hold[1],
      { type: 'UnfreezeQuota' } as const,
    ])
      given(...after)
        .when(T0, command)
        .isRefused('PROJECT_CLOSED');
    given(...after)
      .when(T0, release(1))
      .gives('ReservationReleased');
    given(...after)
      .when(T0, free(2))
      .gives('AllocationReleased');
    given(...after)
      .when(T0, report(T0, 1, []))
      .gives('UsageReconciled');
  });
});

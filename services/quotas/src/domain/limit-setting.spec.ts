import type { QuotaCommand } from './commands.js';
import { defaultCatalogue } from './catalogue.js';
import { quotaRow } from './limits.js';
import {
  allocate,
  byDefault,
  clear,
  commit,
  cpu,
  extend,
  free,
  given,
  gpu,
  ledgerAfter,
  limit,
  of,
  ofProject,
  release,
  report,
  reserve,
  resize,
  type Step,
  T0,
} from '../testing/given-quota.js';

const bulk = (items: ReturnType<typeof limit>[], more: object = {}): QuotaCommand & { type: 'BulkSetQuota' } => ({
  type: 'BulkSetQuota',
  items,
  atomic: true,
  dryRun: false,
  force: false,
  ...more,
});
const policy = (overcommit: 'shared' | 'partitioned', ifMatch?: number) =>
  ({ type: 'SetQuotaPolicy', overcommit, ifMatch }) as const;
const reserved: Step = [T0, reserve(1, 'alice', [gpu(3000)])];
const gpuRow = (ledger: ReturnType<typeof ledgerAfter>, userId: string | null) =>
  quotaRow(ledger.state, ledger.catalogue, userId, { service: 'container-compute', resource: 'gpu', unit: 'milliGpu' });

describe('a limit', () => {
  it('is set with all that an auditor asks for', () => {
    given([T0, limit(of('alice'), 2000)])
      .when(T0, limit(of('alice'), 4000, { soft: 3500 }))
      .gives({
        type: 'QuotaSet',
        data: {
          scope: of('alice'),
          service: 'container-compute',
          resource: 'gpu',
          unit: 'milliGpu',
          limit: 4000,
          soft: 3500,
          previous: 2000,
          effective: 4000,
          belowUsage: false,
          forced: false,
          requestId: null,
        },
      });
  });

  it('set as it is changes nothing', () => {
    given([T0, limit(of('alice'), 4000)])
      .when(T0, limit(of('alice'), 4000))
      .changesNothing();
    given()
      .when(T0, limit(of('alice'), 'inherit'))
      .changesNothing();
  });

  it('below what is used and reserved takes force, at the project, a member and the member default', () => {
    for (const scope of [ofProject, of('alice'), byDefault]) {
      given(reserved).when(T0, limit(scope, 2999)).isRefused('QUOTA_BELOW_USAGE');
      given(reserved).when(T0, limit(scope, 3000)).gives('QuotaSet');
      given(reserved)
        .when(T0, limit(scope, 2999, { force: true }))
        .gives('QuotaSet', 'OverQuotaEntered');
      given(reserved)
        .when(T0, limit(scope, 2999, { force: true }))
        .answers({ belowUsage: true });
    }
  });

  it('raised again above the usage clears what was over', () => {
    given(reserved, [T0, limit(of('alice'), 10, { force: true })])
      .when(T0, limit(of('alice'), 3000))
      .gives('QuotaSet', 'OverQuotaCleared');
  });

  it('of a member cannot exceed the project’s, but unlimited may stand for all that the project has', () => {
    const five: Step = [T0, limit(ofProject, 5000)];
    for (const scope of [of('alice'), byDefault]) {
      given(five).when(T0, limit(scope, 5001)).isRefused('MEMBER_ABOVE_PROJECT');
      given(five).when(T0, limit(scope, 'unlimited')).gives('QuotaSet');
    }
    given([T0, limit(of('alice'), 4000)])
      .when(T0, limit(ofProject, 3000))
      .gives('QuotaSet');
  });

  it('is cleared to the member default, else to the catalogue', () => {
    given([T0, limit(byDefault, 10)], [T0, limit(of('alice'), 20)])
      .when(T0, clear(of('alice')))
      .gives({
        type: 'QuotaCleared',
        data: {
          scope: of('alice'),
          service: 'container-compute',
          resource: 'gpu',
          previous: 20,
          effective: 10,
          source: 'memberDefault',
        },
      });
    given([T0, limit(ofProject, 10)])
      .when(T0, limit(ofProject, 'inherit'))
      .answers({ after: { limit: null, effective: 'unlimited', source: 'catalogue' } });
    given()
      .when(T0, clear(of('alice')))
      .isRefused('NOT_SET');
    given([T0, limit(byDefault, 10)], [T0, limit(of('alice'), 5000)], [T0, reserve(1, 'alice', [gpu(20)])])
      .when(T0, clear(of('alice')))
      .isRefused('QUOTA_BELOW_USAGE');
  });

  it('has the revision of the event that last changed it as its version', () => {
    const steps: Step[] = [[T0, limit(of('alice'), 4000)], reserved];
    given(...steps)
      .when(T0, limit(of('alice'), 5000, { ifMatch: 2 }))
      .answers({ revision: 4 });
    given(...steps)
      .when(T0, limit(of('alice'), 5000, { ifMatch: 3 }))
      .isRefused('VERSION_CONFLICT');
    given(...steps)
      .when(T0, limit(of('bob'), 5000, { ifMatch: 0 }))
      .gives('QuotaSet');
  });

  it.each([
    ['UNKNOWN_RESOURCE', limit(ofProject, 1, { resource: 'tpu' })],
    ['UNKNOWN_RESOURCE', { ...clear(ofProject), service: 'nothing' } as QuotaCommand],
    ['VALIDATION', limit(ofProject, -1)],
    ['VALIDATION', limit(ofProject, 0.5)],
    ['VALIDATION', limit(ofProject, 2 ** 53)],
    ['VALIDATION', limit(ofProject, 10, { soft: 11 })],
    ['VALIDATION', limit(ofProject, 10, { soft: -1 })],
    ['VALIDATION', limit(ofProject, 'inherit', { soft: 1 })],
  ] as const)('is refused with %s: %j', (code, command) => {
    given().when(T0, command).isRefused(code);
  });

  it('shows in the rows of the page: own limit, source, what both scopes leave', () => {
    const ledger = ledgerAfter([[T0, limit(ofProject, 5000)], [T0, limit(byDefault, 4000)], reserved, [T0, commit(1)]]);
    expect(gpuRow(ledger, 'alice')).toMatchObject({
      limit: 4000,
      source: 'memberDefault',
      used: 3000,
      available: 1000,
    });
    expect(gpuRow(ledger, 'bob')).toMatchObject({ limit: 4000, used: 0, reserved: 0, available: 2000, over: false });
    expect(gpuRow(ledger, null)).toMatchObject({ limit: 5000, source: 'set', available: 2000, revision: 2 });
    ledger.run(T0, limit(ofProject, 1000, { force: true }));
    expect(gpuRow(ledger, null)).toMatchObject({ over: true, available: 0 });
  });
});

describe('a partitioned project', () => {
  const parts: Step[] = [
    [T0, limit(ofProject, 10)],
    [T0, policy('partitioned')],
    [T0, limit(of('alice'), 6)],
  ];

  it('gives its members together no more than it has', () => {
    given(...parts)
      .when(T0, limit(of('bob'), 4))
      .gives('QuotaSet');
    given(...parts)
      .when(T0, limit(of('bob'), 5))
      .isRefused('PARTITION_EXCEEDED');
    given(...parts)
      .when(T0, limit(of('bob'), 'unlimited'))
      .isRefused('PARTITION_EXCEEDED');
    given(...parts)
      .when(T0, limit(ofProject, 5))
      .isRefused('PARTITION_EXCEEDED');
  });

  it('cannot be made of one whose members have more already', () => {
    given([T0, limit(ofProject, 10)], [T0, limit(of('alice'), 6)], [T0, limit(of('bob'), 5)])
      .when(T0, policy('partitioned'))
      .isRefused('PARTITION_EXCEEDED');
  });

  it('lets limits change places in one bulk', () => {
    given(...parts, [T0, limit(of('bob'), 4)])
      .when(T0, bulk([limit(of('bob'), 6), limit(of('alice'), 4)]))
      .gives('QuotaSet', 'QuotaSet');
  });

  it('keeps its policy’s version', () => {
    given(...parts)
      .when(T0, policy('shared', 2))
      .isRefused('VERSION_CONFLICT');
    given(...parts)
      .when(T0, policy('shared', 3))
      .gives('QuotaPolicySet');
    given(...parts)
      .when(T0, policy('partitioned'))
      .changesNothing();
  });
});

describe('a bulk', () => {
  const items = [limit(of('alice'), 4000), limit(of('bob'), 10, { resource: 'tpu' })];

  it('that is atomic sets nothing if one is refused, and says which', () => {
    given()
      .when(T0, bulk(items))
      .isRefused('UNKNOWN_RESOURCE', {
        results: [{ status: 'done' }, { status: 'refused', code: 'UNKNOWN_RESOURCE' }],
      });
  });

  it('that is not atomic sets what it can', () => {
    const decision = ledgerAfter([]).run(T0, bulk(items, { atomic: false }));
    expect(decision.events.map(({ type }) => type)).toEqual(['ProjectQuotaOpened', 'QuotaSet']);
    expect(decision.answer.results).toMatchObject([{ status: 'done' }, { status: 'refused' }]);
  });

  it('as a dry run shows before and after and writes nothing', () => {
    given(reserved)
      .when(T0, bulk([limit(of('alice'), 10)], { dryRun: true }))
      .changesNothing();
    given(reserved)
      .when(T0, bulk([limit(of('alice'), 10), limit(of('bob'), 7)], { dryRun: true }))
      .answers({
        results: [
          { status: 'refused', code: 'QUOTA_BELOW_USAGE' },
          { status: 'done', limit: { before: { effective: 'unlimited' }, after: { effective: 7 } } },
        ] as never,
      });
  });

  it.each([
    ['TOO_MANY_ITEMS', Array.from({ length: 501 }, (_, n) => limit(of(`u${n}`), 1))],
    ['VALIDATION', []],
    ['VALIDATION', [limit(of('alice'), 1), limit(of('alice'), 2)]],
  ])('is refused with %s', (code, wrong) => {
    given().when(T0, bulk(wrong)).isRefused(code);
  });
});

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
      bulk([limit(ofProject, 5)]),
      policy('partitioned'),
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

it('the default catalogue has the services and resources of the platform, each with its unit', () => {
  const all = [...defaultCatalogue.services].map(([service, resources]) => [service, [...resources.keys()].sort()]);
  expect(all).toEqual([
    ['container-compute', ['cpu', 'gpu', 'memory']],
    ['virtual-compute', ['cpu', 'floating_ip', 'gpu', 'memory', 'static_ip']],
  ]);
});

it('who is asked to lose a limit that nobody set is not remembered for it', () => {
  const ledger = ledgerAfter([]);
  expect(() => ledger.run(T0, clear(of('nobody')))).toThrow('NOT_SET');
  expect(ledger.state.members.has('nobody')).toBe(false);
});

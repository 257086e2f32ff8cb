import type { ProjectQuotaEvent } from '#libs/contracts';
import type { QuotaCommand } from './commands.js';
import { execute } from './decide.js';
import { quotaRow } from './limits.js';
import type { ProjectQuota } from './project-quota.js';
import { restored, snapshotOf } from './snapshot.js';
import {
  allocate,
  byDefault,
  clear,
  commit,
  given,
  gpu,
  id,
  ledgerAfter,
  limit,
  of,
  ofProject,
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

  it('who is asked to lose a limit that nobody set is not remembered for it', () => {
    const ledger = ledgerAfter([]);
    expect(() => ledger.run(T0, clear(of('nobody')))).toThrow('NOT_SET');
    expect(ledger.state.members.has('nobody')).toBe(false);
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
    ['AMOUNT_OVERFLOW', limit(ofProject, 2 ** 53)],
    ['AMOUNT_OVERFLOW', limit(ofProject, 1e300)],
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

describe('a member default that thousands inherit', () => {
  const told = ({ events }: { readonly events: readonly ProjectQuotaEvent[] }) =>
    events.flatMap(({ type, data }) =>
      type === 'OverQuotaEntered' || type === 'OverQuotaCleared' ? [`${type} ${data.scope.userId ?? ''}`] : [],
    );
  const tell = { type: 'TellOverQuota', service: 'container-compute', resource: 'gpu' } as const;
  const ofMany = () => {
    const ledger = ledgerAfter([[T0, limit(ofProject, 'unlimited')]]);
    for (let n = 1; n <= 1_200; n += 1) ledger.run(T0, allocate(n, `u${n}`, [gpu(2)]));
    return ledger;
  };

  it('is lowered and raised at once, and who is over it by that is told in as many appends as it takes', () => {
    const ledger = ofMany();
    for (const [value, name] of [
      [1, 'OverQuotaEntered'],
      [2, 'OverQuotaCleared'],
    ] as const) {
      const appends: { readonly events: readonly ProjectQuotaEvent[] }[] = [
        ledger.run(T0, limit(byDefault, value, { force: true })),
      ];
      expect(gpuRow(ledger, 'u1200').over).toBe(value === 1);
      for (let n = 0; n < 9 && ledger.state.untold.size > 0; n += 1) appends.push(ledger.run(T0, tell));
      expect(appends.map(({ events }) => events.length)).toEqual([500, 500, 201]);
      const all = appends.flatMap(told);
      expect(new Set(all)).toEqual(new Set(Array.from({ length: 1_200 }, (_, n) => `${name} u${n + 1}`)));
      expect(all).toHaveLength(1_200);
      expect(ledger.run(T0, tell).events).toEqual([]);
    }
  });

  it('that changes again before all were told is told of as it is then, by what they do and in the end', () => {
    const ledger = ofMany();
    const first = told(ledger.run(T0, limit(byDefault, 1, { force: true })));
    const untold = Array.from({ length: 1_200 }, (_, n) => `u${n + 1}`).filter(
      (userId) => !first.includes(`OverQuotaEntered ${userId}`),
    );
    const one = Number(untold[0]?.slice(1));
    expect(told(ledger.run(T0, resize(one, [gpu(3)], { mode: 'FORCE' })))).toEqual([`OverQuotaEntered u${one}`]);
    const back = ledger.run(T0, limit(byDefault, 3));
    expect(ledger.state.untold.size).toBe(1);
    const all = [...told(back), ...told(ledger.run(T0, tell))];
    expect(new Set(all)).toEqual(
      new Set([...first, `OverQuotaEntered u${one}`].map((entered) => entered.replace('Entered', 'Cleared'))),
    );
    expect(ledger.state.untold.size).toBe(0);
  });

  it('is looked at again by whoever folds its history or takes up a snapshot, until nothing is left to tell', () => {
    const ledger = ofMany();
    ledger.run(T0, limit(byDefault, 1, { force: true }));
    const state = restored(snapshotOf(ledger.state)) as ProjectQuota;
    expect([...state.untold].map(({ resource }) => resource)).toEqual(['gpu']);
    const moment = { at: T0, catalogue: ledger.catalogue, commandId: id(9_000), requestHash: null };
    state.journal.begin();
    expect(told(execute(tell, state, moment))).toHaveLength(500);
    state.journal.confirm();
    state.journal.begin();
    expect(told(execute(tell, state, moment))).toHaveLength(201);
    expect(state.untold.size).toBe(0);
    state.journal.undo();
    expect(state.untold.size).toBe(1);
  });
});

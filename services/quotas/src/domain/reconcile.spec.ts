import type { QuotaItem } from '#libs/contracts';
import { commandIdOf, ENVELOPE_BYTES_MAX } from '#libs/eventsourcing';
import { jsonBytes } from './parts.js';
import {
  after,
  allocate,
  cpu,
  free,
  given,
  gpu,
  id,
  ledgerAfter,
  limit,
  of,
  report,
  reserve,
  resize,
  type Step,
  T0,
  TestLedger,
} from '../testing/given-quota.js';

const seen = (resourceRef: string, userId: string, ...items: QuotaItem[]) => ({ resourceRef, userId, items });
const T1 = after(60);
const vms: Step[] = [
  [T0, allocate(1, 'alice', [gpu(1000)], { resourceRef: 'vm/1' })],
  [T0, allocate(2, 'alice', [gpu(1000), cpu(4)], { resourceRef: 'vm/2' })],
  [T0, allocate(3, 'bob', [gpu(1000)])],
];
const asItIs = [seen('vm/1', 'alice', gpu(1000)), seen('vm/2', 'alice', gpu(1000), cpu(4))];

describe('a report', () => {
  it('that agrees with the ledger writes nothing and takes no sequence', () => {
    given(...vms)
      .when(T1, report(T1, 1, asItIs))
      .changesNothing();
    given(...vms, [T1, report(T1, 1, asItIs)])
      .when(T1, report(T1, 1, []))
      .gives('UsageReconciled');
  });

  it('names every resource that differs', () => {
    given(...vms)
      .when(T1, report(T1, 1, [seen('vm/2', 'alice', gpu(500), cpu(4)), seen('vm/9', 'carol', cpu(1))]))
      .gives({
        type: 'UsageReconciled',
        data: {
          source: 'compute',
          observedAt: T1,
          sequence: 1,
          part: 1,
          parts: 1,
          adopted: [
            {
              resourceRef: 'vm/9',
              allocationId: commandIdOf(['adopted', 'vm/9']),
              userId: 'carol',
              items: [cpu(1)],
            },
          ],
          removed: [{ resourceRef: 'vm/1', allocationId: id(1), items: [gpu(1000)] }],
          resized: [
            { resourceRef: 'vm/2', allocationId: id(2), before: [cpu(4), gpu(1000)], after: [cpu(4), gpu(500)] },
          ],
          ignoredNewer: [],
        },
      });
  });

  it('moves a resource to who really uses it', () => {
    given(...vms)
      .when(T1, report(T1, 1, [seen('vm/1', 'bob', gpu(1000)), ...asItIs.slice(1)]))
      .answers({
        removed: [{ resourceRef: 'vm/1', before: [gpu(1000)], after: [] }],
        adopted: [{ resourceRef: 'vm/1', before: [], after: [gpu(1000)] }],
      });
  });

  it('never undoes what came after the observation', () => {
    const T2 = after(120);
    const changed: Step[] = [
      ...vms,
      [T2, resize(1, [gpu(7)])],
      [T2, free(2)],
      [T2, reserve(4, 'bob', [cpu(1)], { resourceRef: 'vm/4' })],
    ];
    const entries = [...asItIs, seen('vm/4', 'bob', cpu(1))];
    given(...changed)
      .when(T2, report(T1, 1, entries))
      .changesNothing();
    given(...changed)
      .when(T2, report(T1, 1, entries))
      .answers({ ignoredNewer: ['vm/1', 'vm/2', 'vm/4'] });
  });

  it('about one member or some resources leaves the others alone', () => {
    given(...vms)
      .when(T1, report(T1, 1, [], { userId: 'bob' }))
      .changesNothing();
    given(...vms)
      .when(T1, report(T1, 1, [], { resources: [{ service: 'container-compute', resource: 'cpu' }] }))
      .answers({ removed: [], resized: [{ resourceRef: 'vm/2', before: [cpu(4), gpu(1000)], after: [gpu(1000)] }] });
    given(...vms)
      .when(T1, report(T1, 1, [seen('vm/1', 'alice', gpu(1))], { userId: 'bob' }))
      .isRefused('VALIDATION');
    given(...vms)
      .when(T1, report(T1, 1, [seen('vm/1', 'alice', gpu(1))], { resources: [] }))
      .isRefused('VALIDATION');
  });

  it('is a fact that no limit refuses', () => {
    given([T0, limit(of('alice'), 10)])
      .when(T1, report(T1, 1, [seen('vm/1', 'alice', gpu(1000))]))
      .gives('UsageReconciled', 'OverQuotaEntered');
    given([T0, reserve(1, 'alice', [gpu(Number.MAX_SAFE_INTEGER)])])
      .when(T1, report(T1, 1, [seen('vm/1', 'alice', gpu(1))]))
      .isRefused('AMOUNT_OVERFLOW');
  });

  it('as a dry run answers the same and writes nothing', () => {
    const dry = report(T1, 1, [], { dryRun: true });
    given(...vms)
      .when(T1, dry)
      .changesNothing();
    given(...vms)
      .when(T1, dry)
      .answers({ removed: [{ resourceRef: 'vm/1' }, { resourceRef: 'vm/2' }] as never });
  });

  it('comes in order of its source, neither too early nor too late', () => {
    const taken: Step = [T1, report(T1, 5, [])];
    given(...vms, taken)
      .when(T1, report(T1, 5, []))
      .isRefused('STALE_REPORT');
    given(...vms, taken)
      .when(T1, report(T1, 6, []))
      .changesNothing();
    given(...vms, taken)
      .when(T1, report(T1, 1, [], { source: 'other' }))
      .changesNothing();
    given(...vms)
      .when(T0, report(after(300), 1, []))
      .gives('UsageReconciled');
    given(...vms)
      .when(T0, report(after(301), 1, []))
      .isRefused('OBSERVED_IN_FUTURE');
    given(...vms)
      .when(after(86_400), report(T0, 1, []))
      .isRefused('STALE_REPORT');
    given(...vms)
      .when(T1, report(T1, 0, []))
      .isRefused('VALIDATION');
    given(...vms)
      .when(T1, report(T1, 1, [...asItIs, ...asItIs]))
      .isRefused('VALIDATION');
  });

  it('that is large is written in parts over many appends, each event small, and counts with the last', () => {
    const ledger = ledgerAfter([]);
    const entries = Array.from({ length: 3_000 }, (_, n) => seen(`vm/${String(n).padStart(60, '0')}`, 'alice', gpu(1)));
    let partsDone = 0;
    const numbers: string[] = [];
    for (let appends = 1; ; appends += 1) {
      const { answer, events } = ledger.run(T1, report(T1, 1, entries, { partsDone }));
      for (const { type, data } of events) {
        expect(jsonBytes(data)).toBeLessThan(ENVELOPE_BYTES_MAX - 4_096);
        if (type === 'UsageReconciled') numbers.push(`${data.part}/${data.parts}`);
      }
      expect(appends).toBeLessThan(20);
      expect(ledger.state.reports.has('compute')).toBe(answer.complete);
      partsDone = answer.partsDone;
      if (answer.complete) break;
    }
    const parts = numbers.length;
    expect(parts).toBeGreaterThan(8);
    expect(numbers).toEqual(Array.from({ length: parts }, (_, n) => `${n + 1}/${parts}`));
    expect(ledger.state.project.live).toBe(3_000);
    expect(() => ledger.run(T1, report(T1, 1, entries))).toThrow('STALE_REPORT');
  });

  it('that broke off is sent again and compares anew', () => {
    const ledger = ledgerAfter([]);
    const entries = Array.from({ length: 3_000 }, (_, n) => seen(`vm/${String(n).padStart(60, '0')}`, 'alice', gpu(1)));
    ledger.run(T1, report(T1, 1, entries));
    const standing = ledger.state.project.live;
    const { answer } = ledger.run(T1, report(T1, 1, entries));
    expect(ledger.state.project.live).toBe(standing + answer.adopted.length);
  });

  it('refuses to speak of what is forgotten', () => {
    const ledger = new TestLedger(undefined, 1);
    for (const [at, command] of vms) ledger.run(at, command);
    ledger.run(after(30), free(1));
    ledger.run(after(40), free(2));
    expect(() => ledger.run(T1, report(after(30), 1, []))).toThrow('STALE_REPORT');
    expect(ledger.run(T1, report(after(31), 1, asItIs)).answer.ignoredNewer).toEqual(['vm/2']);
  });
});

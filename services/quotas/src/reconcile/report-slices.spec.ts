import { type ReportedUsage } from '../domain/commands.js';
import { cpu, gpu, ledgerAfter, report, T0, TestLedger, allocate, after } from '../testing/given-quota.js';
import { slicesOf } from './report-slices.js';

const seen = (resourceRef: string, amount = 1): ReportedUsage => ({ resourceRef, userId: 'ada', items: [gpu(amount)] });
const refs = (slices: Iterable<{ readonly entries: readonly ReportedUsage[] }>): string[][] =>
  [...slices].map(({ entries }) => entries.map(({ resourceRef }) => resourceRef));

describe('the slices of a report', () => {
  it('are about every resource once, those that only the ledger knows too', () => {
    const slices = [
      ...slicesOf(
        ['e', 'a', 'd'].map((ref) => seen(ref)),
        ['c', 'a', 'b'],
        2,
      ),
    ];
    expect(slices.map(({ after, upTo }) => [after, upTo])).toEqual([
      [null, 'b'],
      ['b', 'd'],
      ['d', null],
    ]);
    expect(refs(slices)).toEqual([['a'], ['d'], ['e']]);
  });

  it('are one where there is little or nothing', () => {
    expect([...slicesOf([], [])]).toEqual([{ entries: [], after: null, upTo: null }]);
    expect(refs(slicesOf([seen('b'), seen('a')], ['a', 'b'], 2))).toEqual([['a', 'b']]);
  });

  it('leave the ledger as the whole report does, and the last of them takes its sequence', () => {
    const names = Array.from({ length: 60 }, (_, n) => `vm-${n}`);
    const before = () =>
      ledgerAfter(
        names.flatMap((resourceRef, n) => {
          const amounts = n % 3 === 0 ? [gpu(2)] : [gpu(1), cpu(1)];
          return n % 2 === 0 ? [[T0, allocate(n + 1, n % 5 === 0 ? 'ben' : 'ada', amounts, { resourceRef })]] : [];
        }),
      );
    const entries = names.filter((_, n) => n % 4 !== 0).map((name) => seen(name));
    const whole = before();
    whole.run(after(60), report(after(60), 1, entries));
    const sliced = before();
    const ignoredBefore: string[] = [];
    let partsDone = 0;
    for (const { entries: some, ...range } of slicesOf(entries, [...sliced.state.liveByRef.keys()], 7)) {
      expect(sliced.state.reports.has('compute')).toBe(false);
      const slice = { ...range, ignoredBefore };
      const { answer } = sliced.run(after(60), report(after(60), 1, [...some], { slice, partsDone }));
      expect(answer.complete).toBe(true);
      ({ partsDone } = answer);
    }
    expect(partsDone).toBeGreaterThan(5);
    expect(stateOf(sliced)).toEqual(stateOf(whole));
    expect(sliced.state.reports.get('compute')).toBe(1);
  });

  it('of a report that differs in nothing write nothing', () => {
    const resourceRefs = ['vm-1', 'vm-2', 'vm-3'];
    const ledger = ledgerAfter(
      resourceRefs.map((resourceRef, n) => [T0, allocate(n + 1, 'ada', [gpu(1)], { resourceRef })]),
    );
    for (const { entries, ...range } of slicesOf(
      resourceRefs.map((ref) => seen(ref)),
      resourceRefs,
      1,
    )) {
      const slice = { ...range, ignoredBefore: [] };
      expect(ledger.run(after(60), report(after(60), 1, [...entries], { slice })).events).toEqual([]);
    }
  });

  it('tell with the last what was left alone in any', () => {
    const ledger = ledgerAfter([[after(90), allocate(1, 'ada', [gpu(1)], { resourceRef: 'vm-1' })]]);
    const slice = { after: 'vm-5', upTo: null, ignoredBefore: ['vm-1'] };
    const { events } = ledger.run(after(90), report(after(60), 1, [seen('vm-6')], { slice }));
    expect(events.map(({ data }) => data)).toMatchObject([
      { adopted: [{ resourceRef: 'vm-6' }], part: 1, parts: 2 },
      { ignoredNewer: ['vm-1'], part: 2, parts: 2 },
    ]);
  });
});

const stateOf = ({ state }: TestLedger) => ({
  live: [...state.liveByRef]
    .map(([ref, id]) => {
      const entry = state.entries.get(id);
      return entry?.kind === 'live' ? [ref, entry.userId, entry.lines.map(({ amount }) => amount)] : [ref];
    })
    .sort(),
  project: state.project.counters.map((counter) => counter?.used),
});

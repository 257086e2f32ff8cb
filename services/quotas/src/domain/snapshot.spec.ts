import { createHash } from 'node:crypto';
import {
  after,
  allocate,
  byDefault,
  clear,
  commit,
  cpu,
  extend,
  floatingIp,
  free,
  gpu,
  ledgerAfter,
  limit,
  of,
  ofProject,
  release,
  removal,
  report,
  reserve,
  resize,
  type Step,
  T0,
} from '../testing/given-quota.js';
import { ProjectQuota } from './project-quota.js';
import {
  restored,
  restoredHead,
  restorePiece,
  SNAPSHOT_VERSION,
  snapshotInPieces,
  type Snapshot,
  snapshotOf,
} from './snapshot.js';

/** A bit of everything that is folded. */
const steps: readonly Step[] = [
  [T0, limit(ofProject, 20_000)],
  [T0, limit(byDefault, 9_000)],
  [T0, limit(of('ada'), 5_000, { soft: 4_000 })],
  [T0, { type: 'SetQuotaPolicy', overcommit: 'shared' }],
  [T0, reserve(1, 'ada', [gpu(3_000), cpu(4)], { labels: { job: 'a' } })],
  [T0, reserve(2, 'ada', [gpu(1_000)], { resourceRef: 'vm-2' })],
  [T0, reserve(3, 'ben', [cpu(8)], { ttlSeconds: 60 })],
  [T0, reserve(4, 'ben', [floatingIp(1)])],
  [after(1), commit(1, { items: [gpu(2_500)] })],
  [after(2), release(2)],
  [after(3), extend(4, 1_800)],
  [after(4), allocate(5, 'cleo', [gpu(800), cpu(2)], { resourceRef: 'vm-5' })],
  [after(5), resize(5, [gpu(900), cpu(1)])],
  [after(6), allocate(6, 'cleo', [cpu(3)])],
  [after(7), free(6)],
  [after(100), limit(of('cleo'), 100, { force: true })],
  [after(101), clear(of('ada'), true)],
  [after(200), report(after(200), 1, [{ resourceRef: 'vm-9', userId: 'dan', items: [cpu(5)] }])],
  [after(201), { type: 'FreezeQuota', mode: 'hold' }],
  [after(202), removal('ada', 'orphan', { force: true })],
];

describe('a snapshot', () => {
  it('is the same in pieces, also when the state goes on while they are taken', () => {
    const ledger = ledgerAfter(steps.slice(0, 8));
    const whole = JSON.parse(JSON.stringify(snapshotOf(ledger.state))) as Snapshot;
    const { head, pieces } = snapshotInPieces(ledger.state);
    for (const [at, command] of steps.slice(8)) ledger.run(at, command);
    const state = restoredHead(JSON.parse(JSON.stringify(head)) as typeof head) as ProjectQuota;
    for (const piece of pieces) restorePiece(state, JSON.parse(JSON.stringify(piece)) as typeof piece);
    expect(snapshotOf(state)).toEqual(snapshotOf(restored(whole) as ProjectQuota));
    expect(state.project.counters.map((counter) => counter?.reserved)).toEqual([4_000, 12, 1]);
  });

  it('bears another version as soon as the same history is folded or written otherwise', () => {
    const hash = createHash('sha256')
      .update(JSON.stringify(snapshotOf(ledgerAfter(steps).state)))
      .digest('hex');
    // Where this fails, raise SNAPSHOT_VERSION and record the new hash: a snapshot of the old fold must not be taken up.
    const recorded = { version: 1, hash: '7ae48c3a5d98e42a6bf2865b9e40cec09604766ae6a85f3d481531a552995fec' };
    expect({ version: SNAPSHOT_VERSION, hash }).toEqual(recorded);
  });
});

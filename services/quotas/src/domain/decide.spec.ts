import { commandIdOf } from '#libs/eventsourcing';
import {
  after,
  byDefault,
  commit,
  gpu,
  id,
  ledgerAfter,
  limit,
  of,
  refusalOf,
  report,
  reserve,
  T0,
} from '../testing/given-quota.js';
import { defaultCatalogue } from './catalogue.js';
import { decide, EVENTS_PER_COMMAND_MAX, execute } from './decide.js';
import { evolve } from './evolve.js';
import { ProjectQuota } from './project-quota.js';
import { restored, snapshotOf } from './snapshot.js';
import type { Moment } from './trial.js';

const moment = (at: string, name = 'a command'): Moment => ({
  at,
  catalogue: defaultCatalogue,
  commandId: commandIdOf([name]),
  requestHash: 'ab',
});
const some = () =>
  ledgerAfter([
    [T0, limit(of('alice'), 4000)],
    [T0, reserve(1, 'alice', [gpu(3000)])],
  ]);

describe('a decision', () => {
  it('can be made without a trace', () => {
    const { state } = some();
    const before = snapshotOf(state);
    expect(decide(commit(1), state, moment(T0)).events.map(({ type }) => type)).toEqual(['ReservationCommitted']);
    expect(snapshotOf(state)).toEqual(before);
    expect(refusalOf(() => decide(reserve(2, 'alice', [gpu(1001)]), state, moment(T0))).code).toBe('QUOTA_EXCEEDED');
    expect(snapshotOf(state)).toEqual(before);
  });

  it('is seen by the next of its batch, and the whole batch can be undone', () => {
    const { state } = some();
    const before = snapshotOf(state);
    state.journal.begin();
    execute(reserve(2, 'alice', [gpu(1000)]), state, moment(T0));
    expect(refusalOf(() => execute(reserve(3, 'alice', [gpu(1)]), state, moment(T0))).code).toBe('QUOTA_EXCEEDED');
    execute(commit(1), state, moment(T0));
    state.journal.undo();
    state.journal.confirm();
    expect(snapshotOf(state)).toEqual(before);
    expect(state.nextExpiry()).toEqual({ reservationId: id(1), expiresAt: after(900) });
  });

  it('needs a journal, the time of the stream, and that what is due has expired', () => {
    const { state } = some();
    expect(() => execute(commit(1), state, moment(T0))).toThrow('journal');
    expect(() => decide(commit(1), state, moment(after(-1)))).toThrow('earlier');
    expect(() => decide(commit(1), state, moment(after(900)))).toThrow('due');
    expect(() => {
      state.journal.begin();
      state.journal.begin();
    }).toThrow('records already');
  });

  it('that would write more than an append takes is refused', () => {
    const ledger = ledgerAfter([[T0, limit(byDefault, 1)]]);
    const used = Array.from({ length: EVENTS_PER_COMMAND_MAX }, (_, n) => ({
      resourceRef: `vm-${n}`,
      userId: `u${n}`,
      items: [gpu(2)],
    }));
    expect(refusalOf(() => ledger.run(T0, report(T0, 1, used))).code).toBe('EVENT_TOO_LARGE');
    expect(ledger.state.entries.size).toBe(0);
  });
});

describe('the ledger remembers', () => {
  it('commands that can come again, with their request and revisions, for a day', () => {
    const { state } = some();
    state.journal.begin();
    execute(limit(of('bob'), 5), state, moment(T0, 'bob'));
    execute(limit(of('carol'), 5), state, { ...moment(T0), commandId: '9b2e4c1e-3b1f-4d0e-8a3c-0d1f2e3a4b5c' });
    expect(state.commands.get(commandIdOf(['bob']))).toEqual({ requestHash: 'ab', firstRevision: 4, lastRevision: 4 });
    expect(state.commands.has('9b2e4c1e-3b1f-4d0e-8a3c-0d1f2e3a4b5c')).toBe(false);
    execute({ type: 'ExpireReservation', reservationId: id(1), expiresAt: after(900) }, state, moment(after(900)));
    execute(limit(of('carol'), 6), state, moment(after(86_400), 'later'));
    expect([...state.commands.keys()]).toEqual([commandIdOf(['later'])]);
  });

  it('of a snapshot of another version, nothing', () => {
    const snapshot = snapshotOf(some().state);
    expect(restored({ ...snapshot, version: 0 })).toBeUndefined();
    expect(snapshotOf(restored(snapshot) as ProjectQuota)).toEqual(snapshot);
  });

  it('nothing impossible: a stream that these rules cannot have written stops the fold', () => {
    const meta = { revision: 1, recordedAt: T0, commandId: id(1), requestHash: null };
    const fold = (event: Parameters<typeof evolve>[1]) => () => {
      evolve(new ProjectQuota(), event, meta);
    };
    expect(fold({ type: 'ReservationReleased', data: { reservationId: id(1), userId: 'alice' } })).toThrow(
      'impossible',
    );
    expect(fold({ type: 'AllocationReleased', data: { allocationId: id(1), userId: 'alice', items: [] } })).toThrow(
      'impossible',
    );
  });
});

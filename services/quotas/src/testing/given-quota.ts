import type { ProjectQuotaEvent, QuotaItem, QuotaScope } from '#libs/contracts';
import { commandIdOf, Refusal } from '#libs/eventsourcing';
import { type Catalogue, defaultCatalogue } from '../domain/catalogue.js';
import type {
  Allocate,
  LimitWish,
  MemberStanding,
  QuotaAnswers,
  QuotaCommand,
  Reconcile,
  ReportedUsage,
  Reserve,
} from '../domain/commands.js';
import { type Decision, execute } from '../domain/decide.js';
import { ProjectQuota } from '../domain/project-quota.js';

/** Commands and ledgers for the tests of the rules, told as given, when, then. */

export const T0 = '2026-01-01T00:00:00.000Z';
export const after = (seconds: number, from = T0): string => new Date(Date.parse(from) + seconds * 1_000).toISOString();

/** A UUIDv7 of that time. */
export function idAt(time: string, n: number): string {
  const ms = Date.parse(time).toString(16).padStart(12, '0');
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}
export const id = (n: number): string => idAt(T0, n);

export const gpu = (amount: number): QuotaItem => ({ service: 'container-compute', resource: 'gpu', amount });
export const cpu = (amount: number): QuotaItem => ({ service: 'container-compute', resource: 'cpu', amount });
export const floatingIp = (amount: number): QuotaItem => ({
  service: 'virtual-compute',
  resource: 'floating_ip',
  amount,
});

export const ofProject: QuotaScope = { type: 'project', userId: null };
export const byDefault: QuotaScope = { type: 'memberDefault', userId: null };
export const of = (userId: string): QuotaScope => ({ type: 'member', userId });
export const active: MemberStanding = { member: 'active', services: 'all' };
const gone: MemberStanding = { member: 'unknown', services: 'all' };
const suspended: MemberStanding = { member: 'suspended', services: 'all' };
const closed: MemberStanding = { member: 'project-closed', services: 'all' };
export const standings = { active, gone, suspended, closed };

export const limit = (
  scope: QuotaScope,
  value: LimitWish['limit'],
  more: Partial<LimitWish> & { force?: boolean } = {},
): Extract<QuotaCommand, { type: 'SetQuota' }> => ({
  type: 'SetQuota',
  scope,
  service: 'container-compute',
  resource: 'gpu',
  limit: value,
  soft: null,
  force: false,
  ...more,
});
export const clear = (scope: QuotaScope, force = false): QuotaCommand => ({
  type: 'ClearQuota',
  scope,
  service: 'container-compute',
  resource: 'gpu',
  force,
});
export const reserve = (n: number, userId: string, items: QuotaItem[], more: Partial<Reserve> = {}): Reserve => ({
  type: 'Reserve',
  id: id(n),
  userId,
  items,
  ttlSeconds: 900,
  mode: 'ENFORCE',
  resourceRef: null,
  labels: {},
  bodyHash: `hash ${n}`,
  standing: active,
  ...more,
});
export const commit = (
  n: number,
  more: Partial<Extract<QuotaCommand, { type: 'CommitReservation' }>> = {},
): QuotaCommand => ({
  type: 'CommitReservation',
  id: id(n),
  items: null,
  resourceRef: null,
  onExpired: 'fail',
  standing: active,
  ...more,
});
export const release = (n: number): QuotaCommand => ({ type: 'ReleaseReservation', id: id(n) });
export const extend = (n: number, ttlSeconds: number): QuotaCommand => ({
  type: 'ExtendReservation',
  id: id(n),
  ttlSeconds,
});
export const allocate = (n: number, userId: string, items: QuotaItem[], more: Partial<Allocate> = {}): Allocate => ({
  type: 'Allocate',
  id: id(n),
  userId,
  items,
  mode: 'ENFORCE',
  resourceRef: null,
  bodyHash: `hash ${n}`,
  standing: active,
  ...more,
});
export const resize = (
  n: number,
  items: QuotaItem[],
  more: Partial<Extract<QuotaCommand, { type: 'ResizeAllocation' }>> = {},
): QuotaCommand => ({ type: 'ResizeAllocation', id: id(n), items, mode: 'ENFORCE', standing: active, ...more });
export const free = (n: number): QuotaCommand => ({ type: 'ReleaseAllocation', by: { id: id(n) } });
export const freeRef = (resourceRef: string): QuotaCommand => ({ type: 'ReleaseAllocation', by: { resourceRef } });
export const report = (
  observedAt: string,
  sequence: number,
  entries: ReportedUsage[],
  more: Partial<Reconcile> = {},
): Reconcile => ({
  type: 'Reconcile',
  source: 'compute',
  observedAt,
  sequence,
  userId: null,
  resources: null,
  entries,
  dryRun: false,
  partsDone: 0,
  newAllocationId: (ref) => commandIdOf(['adopted', ref]),
  ...more,
});
export const removal = (
  userId: string,
  disposition: 'block' | 'orphan' | 'transfer',
  more: Partial<Extract<QuotaCommand, { type: 'RemoveQuotaMember' }>> = {},
): Extract<QuotaCommand, { type: 'RemoveQuotaMember' }> => ({
  type: 'RemoveQuotaMember',
  userId,
  disposition,
  to: null,
  force: false,
  partsDone: 0,
  ...more,
});

export type Step = readonly [at: string, command: QuotaCommand];

/** A ledger that is written at once, one command an append. */
export class TestLedger {
  readonly state: ProjectQuota;
  readonly events: ProjectQuotaEvent[] = [];
  private commands = 0;

  constructor(
    readonly catalogue: Catalogue = defaultCatalogue,
    forgetIdsBeyond?: number,
  ) {
    this.state = new ProjectQuota(forgetIdsBeyond);
  }

  /** Sweeps what is due, decides and writes. */
  run<Command extends QuotaCommand>(at: string, command: Command): Decision<Command['type']> {
    this.sweep(at);
    return this.write(at, command);
  }

  sweep(at: string): void {
    for (let due = this.state.nextDue(at); due !== undefined; due = this.state.nextDue(at))
      this.write(at, { type: 'ExpireReservation', ...due });
  }

  private write<Command extends QuotaCommand>(at: string, command: Command): Decision<Command['type']> {
    const { state, catalogue } = this;
    const commandId = commandIdOf(['test', (this.commands += 1)]);
    state.journal.begin();
    try {
      const decision = execute(command, state, { at, catalogue, commandId, requestHash: null });
      this.events.push(...decision.events);
      return decision;
    } finally {
      state.journal.confirm();
    }
  }
}

export function ledgerAfter(steps: readonly Step[], catalogue?: Catalogue, forgetIdsBeyond?: number): TestLedger {
  const ledger = new TestLedger(catalogue, forgetIdsBeyond);
  for (const [at, command] of steps) ledger.run(at, command);
  return ledger;
}

export function given(...steps: readonly Step[]) {
  return {
    when: <Command extends QuotaCommand>(at: string, command: Command) => {
      const ledger = ledgerAfter(steps);
      const run = (): Decision<Command['type']> => ledger.run(at, command);
      return {
        gives: (...events: (ProjectQuotaEvent['type'] | ProjectQuotaEvent)[]) => {
          const decided = run().events;
          expect(decided.map((event, n) => (typeof events[n] === 'string' ? event.type : event))).toEqual(events);
        },
        answers: (part: Partial<QuotaAnswers[Command['type']]>) => {
          expect(run().answer).toMatchObject(part);
        },
        changesNothing: () => {
          expect(run().events).toEqual([]);
        },
        isRefused: (code: string, extensions?: object) => {
          const refusal = refusalOf(run);
          expect(refusal.code).toBe(code);
          if (extensions !== undefined) expect(refusal.extra.extensions).toMatchObject(extensions);
        },
        run,
      };
    },
  };
}

export function refusalOf(run: () => unknown): Refusal {
  try {
    run();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('Nothing was refused.');
}

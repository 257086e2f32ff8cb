import type { AdoptedUsage, QuotaItem, RemovedUsage, ResizedUsage } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import type { Reconcile, ReconcileAnswer, ReportedUsage } from './commands.js';
import { AHEAD_MS_MAX, addMs, MEMORY_MS } from './id-time.js';
import { AMOUNT_MAX, amountOf, byName, byText, normalItems, sameItems } from './items.js';
import { inParts } from './parts.js';
import { itemsOf, type LiveAllocation } from './project-quota.js';
import type { Trial } from './trial.js';
import { wrongField } from './wrong-field.js';

/**
 * Holds a report of what really runs against the ledger, resource by resource. What the ledger learned after the
 * observation is left alone; allocations without a resourceRef cannot be missing from a report and are left alone too.
 */

/** Every append compares its slice anew, so they are few and large: 480 KiB, and room for what comes with it. */
export const REPORT_PARTS_MAX = 10;
/** More of them than fit in so many parts are answered, but not written. */
const IGNORED_PARTS_MAX = 4;

type Difference =
  | { readonly kind: 'removed'; readonly ref: string; readonly data: RemovedUsage }
  | { readonly kind: 'adopted'; readonly ref: string; readonly data: AdoptedUsage }
  | { readonly kind: 'resized'; readonly ref: string; readonly data: ResizedUsage }
  | { readonly kind: 'ignoredNewer'; readonly ref: string; readonly data: string };

function holdReport({ source, sequence, observedAt, entries }: Reconcile, { state, at }: Trial): void {
  if (!Number.isSafeInteger(sequence) || sequence < 1) throw wrongField('sequence', 'must be a whole number from 1');
  if (observedAt > addMs(at, AHEAD_MS_MAX))
    throw new Refusal('OBSERVED_IN_FUTURE', 'The observation lies more than 5 minutes ahead.');
  const last = state.reports.get(source) ?? 0;
  if (sequence <= last)
    throw new Refusal('STALE_REPORT', `Sequence ${last} of this source was taken; ${sequence} comes too late.`);
  if (observedAt <= addMs(at, -MEMORY_MS) || observedAt <= state.forgottenAt)
    throw new Refusal('STALE_REPORT', 'What has ended since the observation is no longer known.');
  if (new Set(entries.map(({ resourceRef }) => resourceRef)).size < entries.length)
    throw wrongField('resourceRef', 'must not come twice in one report');
}

class Comparison {
  private readonly looked: (item: QuotaItem) => boolean;

  constructor(
    private readonly report: Reconcile,
    private readonly trial: Trial,
  ) {
    const { resources } = report;
    this.looked = (item) =>
      resources === null || resources.some((one) => one.service === item.service && one.resource === item.resource);
  }

  /** By resourceRef; a removal before an adoption of the same. */
  differences(): Difference[] {
    const { report, trial } = this;
    const reported = new Map(report.entries.map((entry) => [entry.resourceRef, entry]));
    const found = report.entries.flatMap((entry) => this.ofEntry(entry));
    for (const [ref, id] of trial.state.liveByRef) {
      if (!isWithin(report, ref) || reported.has(ref)) continue;
      const allocation = trial.state.entries.get(id) as LiveAllocation;
      if (report.userId !== null && allocation.userId !== report.userId) continue;
      found.push(...this.ofMissing(ref, allocation));
    }
    return found.sort((a, b) => byText(a.ref, b.ref));
  }

  private ofEntry({ resourceRef: ref, userId, items }: ReportedUsage): Difference[] {
    const { report, trial } = this;
    if (report.userId !== null && userId !== report.userId)
      throw wrongField('userId', 'must be the member that the report is about');
    const after = normalItems(items, trial.catalogue);
    if (!after.every(this.looked)) throw wrongField('items', 'must be of the resources that the report is about');
    const { state } = trial;
    const id = state.liveByRef.get(ref);
    if (id === undefined) {
      const isNewer = state.openRefs.has(ref) || (state.goneRefs.get(ref)?.knownAt ?? '') > report.observedAt;
      return [isNewer ? ignored(ref) : this.adopted(ref, userId, after)];
    }
    const allocation = state.entries.get(id) as LiveAllocation;
    const before = itemsOf(allocation.lines);
    const whole = [...after, ...before.filter((item) => !this.looked(item))].sort(byName);
    if (allocation.userId === userId && sameItems(before, whole)) return [];
    if (allocation.knownAt > report.observedAt) return [ignored(ref)];
    if (allocation.userId === userId)
      return [{ kind: 'resized', ref, data: { resourceRef: ref, allocationId: id, before, after: whole } }];
    return [removed(ref, allocation), this.adopted(ref, userId, whole)];
  }

  private ofMissing(ref: string, allocation: LiveAllocation): Difference[] {
    const before = itemsOf(allocation.lines);
    const rest = before.filter((item) => !this.looked(item));
    if (rest.length === before.length) return [];
    if (allocation.knownAt > this.report.observedAt) return [ignored(ref)];
    if (rest.length === 0) return [removed(ref, allocation)];
    const { id: allocationId } = allocation;
    return [{ kind: 'resized', ref, data: { resourceRef: ref, allocationId, before, after: rest } }];
  }

  private adopted(resourceRef: string, userId: string, items: QuotaItem[]): Difference {
    const allocationId = this.report.newAllocationId(resourceRef);
    return { kind: 'adopted', ref: resourceRef, data: { resourceRef, allocationId, userId, items } };
  }
}

const isWithin = ({ slice = null }: Reconcile, ref: string): boolean =>
  slice === null || ((slice.after === null || ref > slice.after) && (slice.upTo === null || ref <= slice.upTo));

const ignored = (ref: string): Difference => ({ kind: 'ignoredNewer', ref, data: ref });

const removed = (ref: string, { id, lines }: LiveAllocation): Difference => ({
  kind: 'removed',
  ref,
  data: { resourceRef: ref, allocationId: id, items: itemsOf(lines) },
});

interface ByKind {
  readonly adopted: AdoptedUsage[];
  readonly removed: RemovedUsage[];
  readonly resized: ResizedUsage[];
  readonly ignoredNewer: string[];
}

function byKind(differences: readonly Difference[]): ByKind {
  const found: ByKind = { adopted: [], removed: [], resized: [], ignoredNewer: [] };
  for (const one of differences)
    switch (one.kind) {
      case 'adopted':
        found.adopted.push(one.data);
        break;
      case 'removed':
        found.removed.push(one.data);
        break;
      case 'resized':
        found.resized.push(one.data);
        break;
      case 'ignoredNewer':
        found.ignoredNewer.push(one.data);
    }
  return found;
}

function answerOf(differences: readonly Difference[], partsDone: number, complete: boolean): ReconcileAnswer {
  const { adopted, removed, resized, ignoredNewer } = byKind(differences);
  return {
    kind: 'reconcile',
    adopted: adopted.map(({ resourceRef, items }) => ({ resourceRef, before: [], after: items })),
    removed: removed.map(({ resourceRef, items }) => ({ resourceRef, before: items, after: [] })),
    resized: resized.map(({ resourceRef, before, after }) => ({ resourceRef, before, after })),
    ignoredNewer,
    partsDone,
    complete,
  };
}

/** A report is a fact and is never refused for a limit, but no sum may pass 2^53-1. */
function holdSums({ state }: Trial, differences: readonly Difference[]): void {
  const left = new Map<string, number>();
  const add = (items: readonly QuotaItem[]): void => {
    for (const { service, resource: name, amount } of items) {
      const resource = state.resource(service, name);
      const { used, reserved } = state.project.counters[resource.index] ?? { used: 0, reserved: 0 };
      const rest = (left.get(`${service}/${name}`) ?? AMOUNT_MAX - used - reserved) - amount;
      if (rest < 0) throw new Refusal('AMOUNT_OVERFLOW', `The sum of ${service}/${name} would be beyond 2^53-1.`);
      left.set(`${service}/${name}`, rest);
    }
  };
  for (const one of differences) {
    if (one.kind === 'adopted') add(one.data.items);
    if (one.kind !== 'resized') continue;
    const { before, after } = one.data;
    add(after.map((item) => ({ ...item, amount: Math.max(0, item.amount - amountOf(before, item)) })));
  }
}

/**
 * Writes the difference in parts, a few an append; every append compares its slice anew, so what has changed in between is
 * seen. The sequence counts as taken with the last part of the last slice. A report without a difference writes nothing.
 */
export function reconcile(command: Reconcile, trial: Trial): ReconcileAnswer {
  holdReport(command, trial);
  const { source, observedAt, sequence, partsDone, dryRun, slice = null } = command;
  const isLastSlice = slice === null || slice.upTo === null;
  const differences = new Comparison(command, trial).differences();
  const isDifferent = (isLastSlice && partsDone > 0) || differences.some(({ kind }) => kind !== 'ignoredNewer');
  if (dryRun || !isDifferent) return answerOf(differences, partsDone, true);
  holdSums(trial, differences);
  const left = differences.filter(({ kind }) => kind === 'ignoredNewer');
  const changes = inParts(differences.filter(({ kind }) => kind !== 'ignoredNewer'));
  const now = changes.slice(0, command.partsMax ?? REPORT_PARTS_MAX);
  const told = now.flat();
  const complete = now.length === changes.length;
  // What is ignored stays so, and would come again with every append; it is written once, at the end.
  const leftParts = isLastSlice
    ? inParts([...(slice?.ignoredBefore ?? []).map(ignored), ...left]).slice(0, IGNORED_PARTS_MAX)
    : [];
  if (complete) {
    now.push(...leftParts);
    told.push(...left);
  }
  if (now.length === 0) now.push([]);
  const partsHere = Math.max(now.length, changes.length + leftParts.length);
  // How many the slices to come will bring is not known, only that there will be one.
  const parts = partsDone + partsHere + (isLastSlice ? 0 : 1);
  for (const [n, part] of now.entries())
    trial.emit({
      type: 'UsageReconciled',
      data: {
        source,
        observedAt,
        sequence,
        part: partsDone + n + 1,
        parts,
        ...byKind(part),
      },
    });
  return answerOf(told, partsDone + now.length, complete);
}

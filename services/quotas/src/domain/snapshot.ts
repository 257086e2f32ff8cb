import type { QuotaItem } from '#libs/contracts';
import {
  type Entry,
  itemsOf,
  type LiveAllocation,
  type OpenReservation,
  ProjectQuota,
  type Resource,
  type SeenCommand,
  type StandingLimit,
} from './project-quota.js';

/** Raised with every change of what is folded or how; a snapshot of another version is thrown away. */
export const SNAPSHOT_VERSION = 1;

type Plain<Kept extends { lines: unknown }> = Omit<Kept, 'lines'> & { readonly items: readonly QuotaItem[] };
type PlainReservation = Plain<OpenReservation>;
type PlainAllocation = Omit<Plain<LiveAllocation>, 'committed'> & {
  readonly committed: {
    readonly reservation: PlainReservation;
    readonly items: readonly QuotaItem[];
    readonly late: boolean;
  } | null;
};
type PlainEntry =
  | PlainReservation
  | PlainAllocation
  | (Omit<Extract<Entry, { kind: 'resolved' }>, 'was'> & { readonly was: PlainReservation | PlainAllocation });

interface PlainName {
  readonly service: string;
  readonly resource: string;
}
type PlainLimit = PlainName & StandingLimit;

interface PlainScope {
  /** Null for the project. */
  readonly userId: string | null;
  readonly removed: boolean;
  readonly limits: readonly PlainLimit[];
  readonly over: readonly PlainName[];
}

/** The state as JSON. What follows from the entries (sums, counts, indexes) is not in it. */
export interface Snapshot {
  readonly version: number;
  readonly revision: number;
  readonly recordedAt: string;
  readonly status: ProjectQuota['status'];
  readonly overcommit: ProjectQuota['overcommit'];
  readonly policyRevision: number;
  readonly frozen: ProjectQuota['frozen'];
  readonly forgottenMs: number;
  readonly forgottenAt: string;
  readonly memberDefaults: readonly PlainLimit[];
  readonly scopes: readonly PlainScope[];
  readonly entries: readonly PlainEntry[];
  readonly goneRefs: readonly (readonly [string, { readonly id: string; readonly knownAt: string }])[];
  readonly reports: readonly (readonly [string, number])[];
  readonly commands: readonly (readonly [string, SeenCommand])[];
  readonly resolved: readonly { readonly key: string; readonly at: string }[];
  readonly seen: readonly { readonly key: string; readonly at: string }[];
}

const plainReservation = ({ lines, ...rest }: OpenReservation): PlainReservation => ({
  ...rest,
  items: itemsOf(lines),
});

function plainHeld(entry: OpenReservation | LiveAllocation): PlainReservation | PlainAllocation {
  if (entry.kind === 'open') return plainReservation(entry);
  const { lines, committed, ...rest } = entry;
  return {
    ...rest,
    items: itemsOf(lines),
    committed:
      committed === null
        ? null
        : {
            reservation: plainReservation(committed.reservation),
            items: itemsOf(committed.lines),
            late: committed.late,
          },
  };
}

const plainLimits = (limits: ReadonlyMap<Resource, StandingLimit>): PlainLimit[] =>
  [...limits].map(([{ service, resource }, limit]) => ({ service, resource, ...limit }));

export function snapshotOf(state: ProjectQuota): Snapshot {
  const { revision, recordedAt, status, overcommit, policyRevision, frozen, forgottenMs, forgottenAt } = state;
  const scopes = [state.project, ...state.members.values()].map(
    ({ userId, removed, limits, counters }): PlainScope => ({
      userId,
      removed,
      limits: plainLimits(limits),
      over: counters.flatMap((counter) =>
        counter?.over === true ? [{ service: counter.resource.service, resource: counter.resource.resource }] : [],
      ),
    }),
  );
  return {
    version: SNAPSHOT_VERSION,
    ...{ revision, recordedAt, status, overcommit, policyRevision, frozen, forgottenMs, forgottenAt },
    memberDefaults: plainLimits(state.memberDefaults),
    // A member may be known by name alone, which means nothing.
    scopes: scopes.filter(({ removed, limits, over }) => removed || limits.length > 0 || over.length > 0),
    entries: [...state.entries.values()].map((entry) =>
      entry.kind === 'resolved' ? { ...entry, was: plainHeld(entry.was) } : plainHeld(entry),
    ),
    goneRefs: [...state.goneRefs],
    reports: [...state.reports],
    commands: [...state.commands],
    resolved: state.resolved.list(),
    seen: state.seen.list(),
  };
}

const foldedReservation = (state: ProjectQuota, { items, ...rest }: PlainReservation): OpenReservation => ({
  ...rest,
  lines: state.linesOf(items),
});

function foldedHeld(state: ProjectQuota, plain: PlainReservation | PlainAllocation): OpenReservation | LiveAllocation {
  if (plain.kind === 'open') return foldedReservation(state, plain);
  const { items, committed, ...rest } = plain;
  return {
    ...rest,
    lines: state.linesOf(items),
    committed:
      committed === null
        ? null
        : {
            reservation: foldedReservation(state, committed.reservation),
            lines: state.linesOf(committed.items),
            late: committed.late,
          },
  };
}

/** The state that the snapshot was taken of; undefined if it is of another version. */
export function restored(snapshot: Snapshot, forgetIdsBeyond?: number): ProjectQuota | undefined {
  if (snapshot.version !== SNAPSHOT_VERSION) return undefined;
  const state = new ProjectQuota(forgetIdsBeyond);
  const { revision, recordedAt, status, overcommit, policyRevision, frozen, forgottenMs, forgottenAt } = snapshot;
  Object.assign(state, { revision, recordedAt, status, overcommit, policyRevision, frozen, forgottenMs, forgottenAt });
  const fillLimits = (limits: Map<Resource, StandingLimit>, plain: readonly PlainLimit[]): void => {
    for (const { service, resource, ...limit } of plain) limits.set(state.resource(service, resource), limit);
  };
  fillLimits(state.memberDefaults, snapshot.memberDefaults);
  for (const { userId, removed, limits, over } of snapshot.scopes) {
    const scope = userId === null ? state.project : state.member(userId);
    scope.removed = removed;
    fillLimits(scope.limits, limits);
    for (const { service, resource } of over) state.counter(scope, state.resource(service, resource)).over = true;
  }
  for (const plain of snapshot.entries) {
    if (plain.kind === 'resolved') {
      state.entries.set(plain.id, { ...plain, was: foldedHeld(state, plain.was) });
      continue;
    }
    const entry = foldedHeld(state, plain);
    const isLive = entry.kind === 'live';
    state.count(state.member(entry.userId), entry.lines, isLive ? 1 : 0, isLive ? 0 : 1);
    state.replace(null, entry, '');
  }
  for (const [ref, gone] of snapshot.goneRefs) state.goneRefs.set(ref, gone);
  for (const [source, sequence] of snapshot.reports) state.reports.set(source, sequence);
  for (const [commandId, command] of snapshot.commands) state.commands.set(commandId, command);
  for (const { key, at } of snapshot.resolved) state.resolved.push(key, at);
  for (const { key, at } of snapshot.seen) state.seen.push(key, at);
  return state;
}

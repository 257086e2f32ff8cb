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

type Lists = Pick<Snapshot, 'entries' | 'goneRefs' | 'commands' | 'resolved' | 'seen'>;
/** Everything but the lists that may be long. */
export type SnapshotHead = Omit<Snapshot, keyof Lists>;
export type SnapshotPiece = Partial<Lists>;

/** A million entries are not made JSON in one go. */
const PIECE_SIZE = 200;

function headOf(state: ProjectQuota): SnapshotHead {
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
    reports: [...state.reports],
  };
}

const plainEntry = (entry: Entry): PlainEntry =>
  entry.kind === 'resolved' ? { ...entry, was: plainHeld(entry.was) } : plainHeld(entry);

/**
 * A snapshot and the pieces of its lists, one at a time. The state may go on while they are taken: what it lists is
 * replaced and never changed, and the lists themselves are copied here.
 */
export function snapshotInPieces(state: ProjectQuota): { head: SnapshotHead; pieces: Iterable<SnapshotPiece> } {
  const lists = {
    entries: [...state.entries.values()],
    goneRefs: [...state.goneRefs],
    commands: [...state.commands],
    resolved: state.resolved.list(),
    seen: state.seen.list(),
  };
  function* pieces(): Iterable<SnapshotPiece> {
    for (const [name, list] of Object.entries(lists))
      for (let at = 0; at < list.length; at += PIECE_SIZE) {
        const part = list.slice(at, at + PIECE_SIZE);
        yield { [name]: name === 'entries' ? (part as Entry[]).map(plainEntry) : part };
      }
  }
  return { head: headOf(state), pieces: pieces() };
}

export const snapshotOf = (state: ProjectQuota): Snapshot => ({
  ...headOf(state),
  entries: [...state.entries.values()].map(plainEntry),
  goneRefs: [...state.goneRefs],
  commands: [...state.commands],
  resolved: state.resolved.list(),
  seen: state.seen.list(),
});

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

/** The state as the head has it, for its pieces to be added; undefined if it is of another version. */
export function restoredHead(head: SnapshotHead, forgetIdsBeyond?: number): ProjectQuota | undefined {
  if (head.version !== SNAPSHOT_VERSION) return undefined;
  const state = new ProjectQuota(forgetIdsBeyond);
  const { revision, recordedAt, status, overcommit, policyRevision, frozen, forgottenMs, forgottenAt } = head;
  Object.assign(state, { revision, recordedAt, status, overcommit, policyRevision, frozen, forgottenMs, forgottenAt });
  const fillLimits = (limits: Map<Resource, StandingLimit>, plain: readonly PlainLimit[]): void => {
    for (const { service, resource, ...limit } of plain) limits.set(state.resource(service, resource), limit);
  };
  fillLimits(state.memberDefaults, head.memberDefaults);
  for (const resource of state.memberDefaults.keys()) state.untold.add(resource);
  for (const { userId, removed, limits, over } of head.scopes) {
    const scope = userId === null ? state.project : state.member(userId);
    scope.removed = removed;
    fillLimits(scope.limits, limits);
    for (const { service, resource } of over) state.counter(scope, state.resource(service, resource)).over = true;
  }
  for (const [source, sequence] of head.reports) state.reports.set(source, sequence);
  return state;
}

export function restorePiece(state: ProjectQuota, piece: SnapshotPiece): void {
  for (const plain of piece.entries ?? []) {
    if (plain.kind === 'resolved') {
      state.entries.set(plain.id, { ...plain, was: foldedHeld(state, plain.was) });
      continue;
    }
    const entry = foldedHeld(state, plain);
    const isLive = entry.kind === 'live';
    state.count(state.member(entry.userId), entry.lines, isLive ? 1 : 0, isLive ? 0 : 1);
    state.replace(null, entry, '');
  }
  for (const [ref, gone] of piece.goneRefs ?? []) state.goneRefs.set(ref, gone);
  for (const [commandId, command] of piece.commands ?? []) state.commands.set(commandId, command);
  for (const { key, at } of piece.resolved ?? []) state.resolved.push(key, at);
  for (const { key, at } of piece.seen ?? []) state.seen.push(key, at);
}

/** The state that the snapshot was taken of; undefined if it is of another version. */
export function restored(snapshot: Snapshot, forgetIdsBeyond?: number): ProjectQuota | undefined {
  const state = restoredHead(snapshot, forgetIdsBeyond);
  if (state !== undefined) restorePiece(state, snapshot);
  return state;
}

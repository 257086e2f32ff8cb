import type { FreezeMode, GrantMode, Overcommit, QuotaItem, QuotaLimit } from '#libs/contracts';
import { type Due, ExpiryHeap } from './expiry-heap.js';
import { embeddedMs } from './id-time.js';
import { AMOUNT_MAX, byName, byText } from './items.js';
import { Journal } from './journal.js';
import { MemoryWindow } from './memory-window.js';

export const FORGET_IDS_BEYOND = 1_000_000;

/** A resource as this ledger counts it: one object per name, its index the place of its counter in every scope. */
export interface Resource {
  readonly index: number;
  readonly service: string;
  readonly resource: string;
}

/** A part of a reservation or allocation. */
export interface Line {
  readonly resource: Resource;
  readonly amount: number;
}

export interface Counter {
  readonly scope: Scope;
  readonly resource: Resource;
  used: number;
  reserved: number;
  /** As the last OverQuotaEntered or OverQuotaCleared says. */
  over: boolean;
}

/** The limit as it was last set or cleared (then null), and the revision of that event: its ETag. */
export interface StandingLimit {
  readonly limit: QuotaLimit | null;
  readonly soft: number | null;
  readonly revision: number;
}

/** The project (userId null) or a member. */
export interface Scope {
  readonly userId: string | null;
  readonly counters: (Counter | undefined)[];
  readonly limits: Map<Resource, StandingLimit>;
  /** How many reservations are open and allocations live. */
  open: number;
  live: number;
  /** A member that left: what is still counted here is orphaned. */
  removed: boolean;
}

export interface OpenReservation {
  readonly kind: 'open';
  readonly id: string;
  readonly userId: string;
  readonly lines: readonly Line[];
  readonly ttlSeconds: number;
  readonly expiresAt: string;
  readonly mode: GrantMode;
  readonly resourceRef: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly bodyHash: string;
  readonly reservedAt: string;
}

export interface LiveAllocation {
  readonly kind: 'live';
  readonly id: string;
  readonly userId: string;
  readonly lines: readonly Line[];
  readonly mode: GrantMode;
  readonly resourceRef: string | null;
  /** Null where it was not allocated by a request of its own. */
  readonly bodyHash: string | null;
  /** When this was last known to be so: recordedAt of the change, or observedAt of the report that changed it. */
  readonly knownAt: string;
  /** Null where it was allocated at once or adopted from a report. */
  readonly committed: {
    readonly reservation: OpenReservation;
    readonly lines: readonly Line[];
    readonly late: boolean;
  } | null;
}

export interface Resolved {
  readonly kind: 'resolved';
  readonly id: string;
  readonly outcome: 'released' | 'expired';
  readonly was: OpenReservation | LiveAllocation;
  readonly resolvedAt: string;
}

export type Entry = OpenReservation | LiveAllocation | Resolved;

export interface SeenCommand {
  readonly requestHash: string | null;
  readonly firstRevision: number;
  readonly lastRevision: number;
}

/** A resource that an allocation stood for, and since when it is known to be gone. */
interface GoneRef {
  readonly id: string;
  readonly knownAt: string;
}

/** What may have to be told of once a decision is made. */
export interface Touched {
  readonly counters: Set<Counter>;
  /** Those who have just left, and those who had and now hold something more or less. */
  readonly orphans: Set<Scope>;
}

/** Such a history cannot have been decided by these rules: a bug, never a caller's fault. */
export function impossible(what: string): never {
  throw new Error(`The ledger holds an impossible history: ${what}.`);
}

const newScope = (userId: string | null): Scope => ({
  userId,
  counters: [],
  limits: new Map(),
  open: 0,
  live: 0,
  removed: false,
});

/**
 * The folded state of one project's ledger. It is changed in place, by `evolve` alone, and through the journal, so that
 * a batch which is decided before it is written can go back to what is confirmed.
 */
export class ProjectQuota {
  readonly journal = new Journal();
  /** Of the last event; 0 and '' before the first. */
  revision = 0;
  recordedAt = '';
  status: 'absent' | 'open' | 'closed' = 'absent';
  overcommit: Overcommit = 'shared';
  policyRevision = 0;
  frozen: FreezeMode | null = null;
  readonly project = newScope(null);
  readonly memberDefaults = new Map<Resource, StandingLimit>();
  readonly members = new Map<string, Scope>();
  /** Reservations and allocations share their ids, for a committed reservation becomes the allocation. */
  readonly entries = new Map<string, Entry>();
  readonly liveByRef = new Map<string, string>();
  readonly openRefs = new Map<string, number>();
  readonly goneRefs = new Map<string, GoneRef>();
  /** The last sequence taken of each source of reports. */
  readonly reports = new Map<string, number>();
  readonly commands = new Map<string, SeenCommand>();
  /** The newest time embedded in a forgotten id, ms since the epoch; no unknown id up to it is accepted. */
  forgottenMs = 0;
  /** A report observed up to then could name a resource whose end is forgotten. */
  forgottenAt = '';
  /** What a decision has changed, while one is made. */
  touched: Touched | null = null;

  readonly resolved: MemoryWindow;
  readonly seen: MemoryWindow;
  private readonly expiries = new ExpiryHeap();
  private readonly resources = new Map<string, Map<string, Resource>>();
  private resourceCount = 0;

  constructor(readonly forgetIdsBeyond = FORGET_IDS_BEYOND) {
    const { journal } = this;
    this.resolved = new MemoryWindow(journal, forgetIdsBeyond, ({ key, at }) => {
      this.forgetEntry(key, at);
    });
    this.seen = new MemoryWindow(journal, forgetIdsBeyond, ({ key }) => {
      journal.remove(this.commands, key);
    });
  }

  private forgetEntry(id: string, at: string): void {
    const entry = this.entries.get(id);
    // An expired reservation that was committed late lives, and has a later memory of its own if it ended again.
    if (entry?.kind !== 'resolved' || entry.resolvedAt !== at) return;
    const { journal } = this;
    journal.remove(this.entries, id);
    const ref = entry.was.resourceRef;
    if (ref !== null && this.goneRefs.get(ref)?.id === id) {
      journal.remove(this.goneRefs, ref);
      if (at > this.forgottenAt) journal.set<ProjectQuota, 'forgottenAt'>(this, 'forgottenAt', at);
    }
    const ms = embeddedMs(id) ?? 0;
    if (ms > this.forgottenMs) journal.set<ProjectQuota, 'forgottenMs'>(this, 'forgottenMs', ms);
  }

  /** The same object for the same name, always; a name that is new gets the next index. */
  resource(service: string, resource: string): Resource {
    let ofService = this.resources.get(service);
    if (ofService === undefined) {
      ofService = new Map<string, Resource>();
      this.resources.set(service, ofService);
    }
    let known = ofService.get(resource);
    if (known === undefined) {
      known = { index: this.resourceCount, service, resource };
      this.resourceCount += 1;
      ofService.set(resource, known);
    }
    return known;
  }

  linesOf(items: readonly QuotaItem[]): Line[] {
    return items.map(({ service, resource, amount }) => ({ resource: this.resource(service, resource), amount }));
  }

  /** A member is there from the first time it is named; an empty scope means nothing. */
  member(userId: string): Scope {
    let scope = this.members.get(userId);
    if (scope === undefined) {
      scope = newScope(userId);
      this.members.set(userId, scope);
    }
    return scope;
  }

  counter(scope: Scope, resource: Resource): Counter {
    return (scope.counters[resource.index] ??= { scope, resource, used: 0, reserved: 0, over: false });
  }

  /** Counts for the member and the project at once: one is never without the other. */
  count(member: Scope, lines: readonly Line[], used: number, reserved: number): void {
    for (const { resource, amount } of lines) {
      this.add(this.counter(member, resource), used * amount, reserved * amount);
      this.add(this.counter(this.project, resource), used * amount, reserved * amount);
    }
  }

  private add(counter: Counter, used: number, reserved: number): void {
    const usedAfter = counter.used + used;
    const reservedAfter = counter.reserved + reserved;
    if (usedAfter < 0 || reservedAfter < 0) impossible('less than nothing is used or reserved');
    if (usedAfter + reservedAfter > AMOUNT_MAX) impossible('a sum beyond 2^53-1');
    if (this.journal.isRecording) {
      const { used: usedBefore, reserved: reservedBefore } = counter;
      this.journal.record(() => {
        counter.used = usedBefore;
        counter.reserved = reservedBefore;
      });
      this.touched?.counters.add(counter);
    }
    counter.used = usedAfter;
    counter.reserved = reservedAfter;
  }

  /** Puts the entry in the place of what it was; null if the id was not counted before. */
  replace(before: OpenReservation | LiveAllocation | null, entry: Entry, at: string): void {
    if (before !== null) this.unlist(before);
    this.journal.put(this.entries, entry.id, entry);
    switch (entry.kind) {
      case 'open':
        this.listOpen(entry);
        return;
      case 'live':
        this.listLive(entry);
        return;
      case 'resolved':
        this.resolved.push(entry.id, at);
    }
  }

  private unlist(entry: OpenReservation | LiveAllocation): void {
    this.tally(entry, -1);
    const { journal } = this;
    if (entry.kind === 'open') {
      // If this is undone, the reservation must be found when it is due, even if its due time was taken out since.
      if (journal.isRecording)
        journal.record(() => {
          this.expiries.push({ reservationId: entry.id, expiresAt: entry.expiresAt });
        });
      if (entry.resourceRef !== null) this.countOpenRef(entry.resourceRef, -1);
    } else if (entry.resourceRef !== null) journal.remove(this.liveByRef, entry.resourceRef);
  }

  private listOpen(entry: OpenReservation): void {
    this.tally(entry, 1);
    this.expiries.push({ reservationId: entry.id, expiresAt: entry.expiresAt });
    if (this.expiries.size > 1_024 + 4 * this.project.open) this.expiries.keepOnly((due) => this.stands(due));
    if (entry.resourceRef !== null) this.countOpenRef(entry.resourceRef, 1);
  }

  private listLive(entry: LiveAllocation): void {
    this.tally(entry, 1);
    if (entry.resourceRef !== null) this.journal.put(this.liveByRef, entry.resourceRef, entry.id);
  }

  private tally({ kind, userId }: OpenReservation | LiveAllocation, by: number): void {
    const tallied = kind === 'open' ? 'open' : 'live';
    const member = this.member(userId);
    if (member.removed) this.touched?.orphans.add(member);
    this.journal.set(member, tallied, member[tallied] + by);
    this.journal.set(this.project, tallied, this.project[tallied] + by);
  }

  private countOpenRef(ref: string, by: number): void {
    const count = (this.openRefs.get(ref) ?? 0) + by;
    if (count === 0) this.journal.remove(this.openRefs, ref);
    else this.journal.put(this.openRefs, ref, count);
  }

  private stands({ reservationId, expiresAt }: Due): boolean {
    const entry = this.entries.get(reservationId);
    return entry?.kind === 'open' && entry.expiresAt === expiresAt;
  }

  /** The reservation that is due first, if it is due at that time. */
  nextDue(at: string): Due | undefined {
    const due = this.nextExpiry();
    return due !== undefined && due.expiresAt <= at ? due : undefined;
  }

  /** The reservation that will be due first, for whoever sets a timer. */
  nextExpiry(): Due | undefined {
    for (;;) {
      const due = this.expiries.peek();
      if (due === undefined || this.stands(due)) return due;
      this.expiries.pop();
    }
  }
}

export const itemsOf = (lines: readonly Line[]): QuotaItem[] =>
  lines.map(({ resource: { service, resource }, amount }) => ({ service, resource, amount }));

/** In the order of events and answers: the project, then members by id. */
export const byScopeThenName = (a: Counter, b: Counter): number =>
  byText(a.scope.userId ?? '', b.scope.userId ?? '') || byName(a.resource, b.resource);

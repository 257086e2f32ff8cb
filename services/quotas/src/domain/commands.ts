import type {
  Disposition,
  FreezeMode,
  GrantMode,
  LimitSource,
  Overcommit,
  QuotaItem,
  QuotaLimit,
  QuotaScope,
} from '#libs/contracts';
import type { ErrorCode } from '#libs/contracts';

/** What can be asked of a project's ledger, and what is answered. Facts of other streams and ids come in with the command. */

/** As tenancy knows the person at this moment. */
export interface MemberStanding {
  readonly member: 'active' | 'suspended' | 'tenant-suspended' | 'project-closed' | 'removed' | 'unknown';
  /** The services that the member was granted. */
  readonly services: ReadonlySet<string> | 'all';
}

export type RequestMode = GrantMode | 'CHECK_ONLY';

export interface Reserve {
  readonly type: 'Reserve';
  /** UUIDv7, made by the client. */
  readonly id: string;
  readonly userId: string;
  readonly items: readonly QuotaItem[];
  readonly ttlSeconds: number;
  readonly mode: RequestMode;
  readonly resourceRef: string | null;
  readonly labels: Readonly<Record<string, string>>;
  /** Hex SHA-256 of the JCS of the request (docs/events.md, QuotaReserved). */
  readonly bodyHash: string;
  readonly standing: MemberStanding;
}

export interface CommitReservation {
  readonly type: 'CommitReservation';
  readonly id: string;
  /** Null = all that was reserved. */
  readonly items: readonly QuotaItem[] | null;
  /** Null = the reservation's. */
  readonly resourceRef: string | null;
  readonly onExpired: 'fail' | 'reacquire' | 'force';
  readonly standing: MemberStanding;
}

export interface Allocate {
  readonly type: 'Allocate';
  readonly id: string;
  readonly userId: string;
  readonly items: readonly QuotaItem[];
  readonly mode: RequestMode;
  readonly resourceRef: string | null;
  readonly bodyHash: string;
  readonly standing: MemberStanding;
}

export interface ResizeAllocation {
  readonly type: 'ResizeAllocation';
  readonly id: string;
  /** All that it shall be afterwards. */
  readonly items: readonly QuotaItem[];
  readonly mode: RequestMode;
  readonly standing: MemberStanding;
}

/** A limit as somebody wishes it; `inherit` takes away what was set. */
export interface LimitWish {
  readonly scope: QuotaScope;
  readonly service: string;
  readonly resource: string;
  readonly limit: QuotaLimit | 'inherit';
  readonly soft: number | null;
  /** The revision of the event that last changed this limit, 0 if none did. */
  readonly ifMatch?: number | undefined;
  readonly requestId?: string | null;
}

export type SetQuota = LimitWish & { readonly type: 'SetQuota'; readonly force: boolean };

export interface ClearQuota {
  readonly type: 'ClearQuota';
  readonly scope: QuotaScope;
  readonly service: string;
  readonly resource: string;
  readonly force: boolean;
  readonly ifMatch?: number | undefined;
}

export interface BulkSetQuota {
  readonly type: 'BulkSetQuota';
  readonly items: readonly LimitWish[];
  /** True: all or none, and the rules between limits are held when all are set. */
  readonly atomic: boolean;
  readonly dryRun: boolean;
  readonly force: boolean;
}

export interface SetQuotaPolicy {
  readonly type: 'SetQuotaPolicy';
  readonly overcommit: Overcommit;
  readonly ifMatch?: number | undefined;
}

export interface ReportedUsage {
  readonly resourceRef: string;
  readonly userId: string;
  readonly items: readonly QuotaItem[];
}

/** A large report is held against the ledger piece by piece, in the order of resourceRefs as text. */
export interface ReportSlice {
  /** Only what comes after it; null from the first on. */
  readonly after: string | null;
  /** Only up to it; null to the last, with which the report's sequence is taken. */
  readonly upTo: string | null;
  /** What the slices before left alone, to be told with the last one. */
  readonly ignoredBefore: readonly string[];
}

export interface Reconcile {
  readonly type: 'Reconcile';
  readonly source: string;
  readonly observedAt: string;
  readonly sequence: number;
  /** Only this member's usage was looked at; null = everybody's. */
  readonly userId: string | null;
  /** Only these resources were looked at; null = all. */
  readonly resources: readonly { readonly service: string; readonly resource: string }[] | null;
  readonly entries: readonly ReportedUsage[];
  readonly dryRun: boolean;
  /** The resourceRefs that this command is about, of which `entries` has all that the report has; null = all. */
  readonly slice?: ReportSlice | null;
  /** How many parts of this report have been written: 0, then `partsDone` of the answer before. */
  readonly partsDone: number;
  /** Fewer an append than usual, where so many limits are passed that an append would be too large. */
  readonly partsMax?: number;
  /** uuid v5 of this append's commandId and the resourceRef. */
  readonly newAllocationId: (resourceRef: string) => string;
}

export interface RemoveQuotaMember {
  readonly type: 'RemoveQuotaMember';
  readonly userId: string;
  readonly disposition: Disposition;
  readonly to: string | null;
  /** True if tenancy knows `to` as a member now: who had left may have come back without a trace here. */
  readonly toIsMember?: boolean;
  /** True once the member has left in tenancy: nothing is refused any more. */
  readonly force: boolean;
  /** When the member joined again, null if not: what it has had since then, its limits too, is of that membership. */
  readonly heldBefore?: string | null;
  /** How many parts have been written: 0, then `partsDone` of the answer before. */
  readonly partsDone: number;
}

/** What a change of the member default has left to be told: who that inherits it is above it, or is not any more. */
export interface TellOverQuota {
  readonly type: 'TellOverQuota';
  readonly service: string;
  readonly resource: string;
}

export type QuotaCommand =
  | Reserve
  | CommitReservation
  | { readonly type: 'ReleaseReservation'; readonly id: string }
  | { readonly type: 'ExtendReservation'; readonly id: string; readonly ttlSeconds: number }
  | { readonly type: 'ExpireReservation'; readonly reservationId: string; readonly expiresAt: string }
  | Allocate
  | ResizeAllocation
  | { readonly type: 'ReleaseAllocation'; readonly by: { readonly id: string } | { readonly resourceRef: string } }
  | SetQuota
  | ClearQuota
  | BulkSetQuota
  | SetQuotaPolicy
  | Reconcile
  | { readonly type: 'FreezeQuota'; readonly mode: FreezeMode }
  | { readonly type: 'UnfreezeQuota' }
  | TellOverQuota
  | { readonly type: 'CloseQuota'; readonly force: boolean }
  | RemoveQuotaMember;

/** Why something is not granted; one for each scope and resource that is short. */
export interface Violation {
  readonly scope: QuotaScope;
  readonly service: string;
  readonly resource: string;
  readonly limit: QuotaLimit;
  readonly used: number;
  readonly reserved: number;
  readonly requested: number;
  /** What this scope's limit leaves, never below 0. */
  readonly available: number;
}

/** A soft limit that is passed: nothing is refused for it. */
export interface SoftWarning {
  readonly scope: QuotaScope;
  readonly service: string;
  readonly resource: string;
  readonly soft: number;
  readonly used: number;
  readonly reserved: number;
}

/** The answer to CHECK_ONLY. */
export interface CheckAnswer {
  readonly kind: 'check';
  readonly allowed: boolean;
  readonly violations: readonly Violation[];
  /** How many times these items would fit now. */
  readonly fits: number | 'unlimited';
}

export interface ReservationAnswer {
  readonly kind: 'reservation';
  readonly id: string;
  readonly status: 'open' | 'committed' | 'released' | 'expired';
  readonly userId: string;
  readonly items: readonly QuotaItem[];
  readonly ttlSeconds: number;
  readonly expiresAt: string;
  readonly mode: GrantMode;
  readonly resourceRef: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly reservedAt: string;
  /** True if an earlier request did it. */
  readonly replayed: boolean;
  readonly warnings: readonly SoftWarning[];
}

export interface AllocationAnswer {
  readonly kind: 'allocation';
  readonly id: string;
  readonly status: 'live' | 'released';
  readonly userId: string;
  readonly items: readonly QuotaItem[];
  readonly mode: GrantMode;
  readonly resourceRef: string | null;
  /** True if it was committed after its reservation had expired. */
  readonly late: boolean;
  /** What a commit gave back of its reservation. */
  readonly returned: readonly QuotaItem[];
  readonly replayed: boolean;
  readonly warnings: readonly SoftWarning[];
}

/** One limit before and after. */
export interface LimitAnswer {
  readonly kind: 'limit';
  readonly scope: QuotaScope;
  readonly service: string;
  readonly resource: string;
  readonly unit: string;
  readonly before: { readonly limit: QuotaLimit | null; readonly effective: QuotaLimit };
  readonly after: { readonly limit: QuotaLimit | null; readonly effective: QuotaLimit; readonly source: LimitSource };
  readonly soft: number | null;
  /** True if more is used and reserved than is allowed now, at this scope or a member that inherits from it. */
  readonly belowUsage: boolean;
  readonly revision: number;
}

export interface BulkAnswer {
  readonly kind: 'bulk';
  readonly results: readonly (
    | { readonly status: 'done'; readonly limit: LimitAnswer }
    | { readonly status: 'refused'; readonly code: ErrorCode; readonly detail: string }
  )[];
}

export interface ReconcileAnswer {
  readonly kind: 'reconcile';
  readonly adopted: readonly {
    readonly resourceRef: string;
    readonly before: readonly QuotaItem[];
    readonly after: readonly QuotaItem[];
  }[];
  readonly removed: ReconcileAnswer['adopted'];
  readonly resized: ReconcileAnswer['adopted'];
  readonly ignoredNewer: readonly string[];
  /** Parts written so far; false `complete` means: append this, then send the same slice again with this number. */
  readonly partsDone: number;
  readonly complete: boolean;
}

export interface RemovalAnswer {
  readonly kind: 'removal';
  readonly partsDone: number;
  readonly complete: boolean;
}

export interface PolicyAnswer {
  readonly kind: 'policy';
  readonly overcommit: Overcommit;
  readonly frozen: FreezeMode | null;
  readonly closed: boolean;
  readonly revision: number;
}

export interface QuotaAnswers {
  Reserve: ReservationAnswer | CheckAnswer;
  CommitReservation: AllocationAnswer;
  ReleaseReservation: ReservationAnswer;
  ExtendReservation: ReservationAnswer;
  ExpireReservation: null;
  Allocate: AllocationAnswer | CheckAnswer;
  ResizeAllocation: AllocationAnswer | CheckAnswer;
  ReleaseAllocation: AllocationAnswer;
  SetQuota: LimitAnswer;
  ClearQuota: LimitAnswer;
  BulkSetQuota: BulkAnswer;
  SetQuotaPolicy: PolicyAnswer;
  Reconcile: ReconcileAnswer;
  FreezeQuota: PolicyAnswer;
  UnfreezeQuota: PolicyAnswer;
  TellOverQuota: null;
  CloseQuota: PolicyAnswer;
  RemoveQuotaMember: RemovalAnswer;
}

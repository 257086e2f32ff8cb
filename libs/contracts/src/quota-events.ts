import type { Disposition } from './tenancy-events.js';

/** The published events of quotas. Fields and meaning: docs/events.md; amounts are integers in the resource's base unit, 0 to 2^53-1. */

export type QuotaLimit = number | 'unlimited';
export type Overcommit = 'shared' | 'partitioned';
/** What a grant was decided under; CHECK_ONLY grants nothing, so no event bears it. */
export type GrantMode = 'ENFORCE' | 'FORCE';
export type FreezeMode = 'hold' | 'drain';
/** Where an effective limit comes from. */
export type LimitSource = 'set' | 'memberDefault' | 'catalogue';

/** `userId` is null but for a member. */
export interface QuotaScope {
  type: 'project' | 'memberDefault' | 'member';
  userId: string | null;
}

/** Lists of items are without duplicates, sorted by service, then resource. */
export interface QuotaItem {
  service: string;
  resource: string;
  amount: number;
}

interface Limited {
  scope: QuotaScope;
  service: string;
  resource: string;
}

interface OverQuota extends Limited {
  limit: QuotaLimit;
  used: number;
  reserved: number;
}

export interface AdoptedUsage {
  resourceRef: string;
  /** uuid v5 of the commandId and the resourceRef. */
  allocationId: string;
  userId: string;
  items: QuotaItem[];
}

export interface RemovedUsage {
  resourceRef: string;
  allocationId: string;
  items: QuotaItem[];
}

export interface ResizedUsage {
  resourceRef: string;
  allocationId: string;
  before: QuotaItem[];
  after: QuotaItem[];
}

type NoData = Record<string, never>;

export type ProjectQuotaEvent =
  | { type: 'ProjectQuotaOpened'; data: { catalogueRevision: number; overcommit: Overcommit } }
  | { type: 'QuotaPolicySet'; data: { overcommit: Overcommit } }
  | {
      type: 'QuotaSet';
      data: Limited & {
        unit: string;
        limit: QuotaLimit;
        soft: number | null;
        /** The limit that was set here before; null if it was inherited. */
        previous: QuotaLimit | null;
        /** Before the project's clamp. */
        effective: QuotaLimit;
        belowUsage: boolean;
        forced: boolean;
        requestId: string | null;
      };
    }
  | {
      type: 'QuotaCleared';
      data: Limited & { previous: QuotaLimit; effective: QuotaLimit; source: Exclude<LimitSource, 'set'> };
    }
  | {
      type: 'QuotaReserved';
      data: {
        reservationId: string;
        userId: string;
        items: QuotaItem[];
        ttlSeconds: number;
        expiresAt: string;
        mode: GrantMode;
        resourceRef: string | null;
        labels: Record<string, string>;
        /** Hex SHA-256 of the JCS of the request's userId, items, ttlSeconds, mode, resourceRef, labels. */
        bodyHash: string;
      };
    }
  | {
      type: 'ReservationCommitted';
      data: {
        /** The allocation that it becomes has the same id. */
        reservationId: string;
        userId: string;
        items: QuotaItem[];
        returned: QuotaItem[];
        resourceRef: string | null;
        /** True if the reservation had expired before. */
        late: boolean;
      };
    }
  | { type: 'ReservationReleased'; data: { reservationId: string; userId: string } }
  | { type: 'ReservationExtended'; data: { reservationId: string; userId: string; expiresAt: string } }
  | { type: 'ReservationExpired'; data: { reservationId: string; userId: string; expiresAt: string } }
  | {
      type: 'AllocationRecorded';
      data: {
        allocationId: string;
        userId: string;
        items: QuotaItem[];
        mode: GrantMode;
        resourceRef: string | null;
        bodyHash: string;
      };
    }
  | {
      type: 'AllocationResized';
      data: { allocationId: string; userId: string; before: QuotaItem[]; after: QuotaItem[] };
    }
  | { type: 'AllocationReleased'; data: { allocationId: string; userId: string; items: QuotaItem[] } }
  | {
      type: 'UsageReconciled';
      data: {
        source: string;
        observedAt: string;
        sequence: number;
        part: number;
        parts: number;
        adopted: AdoptedUsage[];
        removed: RemovedUsage[];
        resized: ResizedUsage[];
        /** The resources that the ledger knows better, because it changed them after the observation. */
        ignoredNewer: string[];
      };
    }
  | { type: 'OverQuotaEntered'; data: OverQuota }
  | { type: 'OverQuotaCleared'; data: OverQuota }
  | { type: 'ProjectQuotaFrozen'; data: { mode: FreezeMode } }
  | { type: 'ProjectQuotaUnfrozen'; data: NoData }
  | { type: 'ProjectQuotaClosed'; data: NoData }
  | { type: 'QuotaMemberRemoved'; data: { userId: string; disposition: Disposition; to: string | null } }
  | {
      type: 'QuotaMemberUsageTransferred';
      data: {
        from: string;
        to: string;
        part: number;
        parts: number;
        reservations: string[];
        allocations: string[];
        /** What moved with this part, used and reserved together. */
        totals: QuotaItem[];
      };
    }
  | { type: 'QuotaMemberClosed'; data: { userId: string } };

export type QuotaCatalogueEvent = {
  type: 'CatalogueResourceSet';
  data: {
    service: string;
    resource: string;
    unit: string;
    kind: 'allocation';
    defaultProjectLimit: QuotaLimit;
    defaultMemberLimit: QuotaLimit;
  };
};

/** The services that the catalogue begins with; operators add others. */
export const builtInServices = ['container-compute', 'virtual-compute'] as const;

export type QuotaEvent = ProjectQuotaEvent | QuotaCatalogueEvent;

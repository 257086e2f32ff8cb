import type { Refusal } from '#libs/eventsourcing';
import type { MemberRemoval } from '../auth/member-usage.js';
import type { InternalMethod } from './internal-calls.js';

/** Whom tokens for the quotas service are made out to. */
export const QUOTAS_SERVICE = 'quotas';

export const OBJECTION_TO: InternalMethod = {
  protoFile: 'steward/internal/v1/quotas.proto',
  service: 'steward.internal.v1.MemberUsageService',
  method: 'ObjectionTo',
};

export interface RemovalQuestion {
  readonly projectId: string;
  readonly userId: string;
  readonly removal: MemberRemoval;
}

/** What the refusal of the removal would say; null if nothing stands in its way. */
export type RemovalAnswer = Pick<Refusal, 'code' | 'detail' | 'extra'> | null;

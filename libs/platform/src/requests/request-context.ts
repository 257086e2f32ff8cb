import type { CommandContext, Position } from '#libs/eventsourcing';
import type { Access } from '../auth/access.js';
import type { Principal } from '../auth/principal.js';

export interface Answered {
  /** The revision that becomes the ETag `"<revision>"`. */
  readonly revision?: number;
  /** Becomes the header Steward-Position (over gRPC the trailer steward-position). */
  readonly position?: Position | null;
  readonly status?: number;
}

/** One request, the same over HTTP and gRPC. The guard fills in who is calling; a handler sees nothing of the transport. */
export interface RequestContext {
  readonly requestId: string;
  readonly principal: Principal;
  readonly access: Access;
  readonly ip: string | null;
  readonly userAgent: string | null;
  /** The revision of If-Match, if one came. */
  readonly ifMatch: number | undefined;
  /** minPosition or the header Steward-Position, checked for its form. */
  readonly minPosition: Position | undefined;
  /** By performance.now(): when the caller waits no longer, if it has said so. */
  readonly deadlineMs?: number | undefined;
  /**
   * What the request's command brings to its events: commandId and requestHash from the Idempotency-Key (docs/events.md),
   * the actor and its private part. `comment` is the free text that is stored as private; `freeTextFields` names
   * body fields beside displayName, email and comment that the request hash leaves out.
   */
  command(options?: { comment?: string | null; freeTextFields?: readonly string[] }): CommandContext;
  /** Sets the answer's headers. */
  answered(answer: Answered): void;
}

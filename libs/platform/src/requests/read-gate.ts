import { Inject, Injectable } from '@nestjs/common';
import { type Position, Refusal } from '#libs/eventsourcing';
import type { RequestContext } from './request-context.js';

/** How long a read waits for its read model to reach the position that it must show, ms. */
export const READ_WAIT_MS_MAX = 2_000;

/** Where the projections of a process stand; the projection host of #libs/postgres is one. */
export abstract class ReadModels {
  abstract reach(projection: string, position: Position, timeoutMs: number): Promise<boolean>;
}

/** The last position that this process acknowledged, by tenant. */
export abstract class AcknowledgedPositions {
  abstract of(tenantId: string | null): Position | undefined;
  abstract max(): Position | undefined;
  /** For what another process appended for this one. */
  abstract note(tenantId: string | null, position: Position): void;
}

/**
 * Read your writes. A query calls `reach` before it reads: it waits until the read model has passed the position that
 * the request bears, or else the last one that this process acknowledged in the caller's tenant. Refuses with
 * PROJECTION_LAG after 2 s.
 */
@Injectable()
export class ReadGate {
  constructor(
    @Inject(ReadModels) private readonly readModels: ReadModels,
    @Inject(AcknowledgedPositions) private readonly acknowledged: AcknowledgedPositions,
  ) {}

  async reach(context: RequestContext, projection: string): Promise<void> {
    const { principal, minPosition } = context;
    // Who may see the platform reads over all tenants, so any acknowledged change may be what is asked for.
    const own = principal.tenantId === null ? this.acknowledged.max() : this.acknowledged.of(principal.tenantId);
    const position = minPosition ?? own;
    if (position === undefined) return;
    if (!(await this.readModels.reach(projection, position, READ_WAIT_MS_MAX)))
      throw new Refusal('PROJECTION_LAG', `The read model has not reached position ${position} within 2 s.`, {
        retryAfterSeconds: 1,
      });
  }
}

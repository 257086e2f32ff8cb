import type { Disposition } from '#libs/contracts';
import type { Refusal } from '#libs/eventsourcing';

/** What becomes of what a member uses and reserves; `to` takes it over in a transfer, and is null in all else. */
export interface MemberRemoval {
  readonly disposition: Disposition;
  readonly to: string | null;
}

/**
 * What the quotas say of a member who is to leave a project, asked just before it is written; what slips in between is
 * treated as orphaned. The quotas service provides it: by query in one process, over gRPC where it runs apart.
 */
export abstract class MemberUsage {
  /**
   * Why the member cannot leave so: MEMBER_HAS_USAGE (block) with what it holds; TARGET_OVER_QUOTA or SERVICE_NOT_GRANTED
   * (transfer), where the receiver may not have it; null if nothing stands in the way. Never asked for an orphan. Throws
   * a Refusal (503) where it cannot be told, and then nothing is written.
   */
  abstract objectionTo(projectId: string, userId: string, removal: MemberRemoval): Promise<Refusal | null>;
}

/** Where no quotas are kept, nobody holds anything. */
export class NoMemberUsage extends MemberUsage {
  objectionTo(): Promise<null> {
    return Promise.resolve(null);
  }
}

/**
 * What the quotas say of a member who is to leave a project, asked just before it is written. The quotas service provides
 * it: by query in one process, over gRPC where it runs apart. May throw a Refusal (503), and then nothing is written.
 */
export abstract class MemberUsage {
  /** Whether the member has an open reservation or a live allocation. */
  abstract hasUsage(projectId: string, userId: string): Promise<boolean>;
  /** Whether taking over all that the member holds would bring the other one over a limit. */
  abstract exceedsQuota(projectId: string, userId: string, takenOverBy: string): Promise<boolean>;
}

/** Where no quotas are kept, nobody holds anything. */
export class NoMemberUsage extends MemberUsage {
  hasUsage(): Promise<boolean> {
    return Promise.resolve(false);
  }

  exceedsQuota(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

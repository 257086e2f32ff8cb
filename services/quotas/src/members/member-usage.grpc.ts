import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { HeadUnreached, IndexFollower, Refusal } from '#libs/eventsourcing';
import {
  InternalDoor,
  MemberUsage,
  OBJECTION_TO,
  QUOTAS_SERVICE,
  type RemovalAnswer,
  type RemovalQuestion,
} from '#libs/platform';

/** What the quotas say of a member who is to leave, for a tenancy service that runs apart. */
@Injectable()
export class MemberUsageGrpc implements OnModuleInit {
  constructor(
    private readonly door: InternalDoor,
    private readonly usage: MemberUsage,
    @Inject(IndexFollower) private readonly follower: Pick<IndexFollower, 'reachHead'>,
  ) {}

  onModuleInit(): void {
    this.door.serve(OBJECTION_TO, QUOTAS_SERVICE, ({ payload }) =>
      this.objectionTo(JSON.parse(payload.toString('utf8')) as RemovalQuestion),
    );
  }

  /** The other process may have just written the project or the receiver's access. */
  private async objectionTo({ projectId, userId, removal }: RemovalQuestion): Promise<RemovalAnswer> {
    try {
      await this.follower.reachHead();
    } catch (error) {
      if (!(error instanceof HeadUnreached)) throw error;
      throw new Refusal('STORE_UNAVAILABLE', 'What the member uses cannot be told now.', { retryAfterSeconds: 1 });
    }
    const objection = await this.usage.objectionTo(projectId, userId, removal);
    if (objection === null) return null;
    const { code, detail, extra } = objection;
    return { code, detail, extra };
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { Refusal } from '#libs/eventsourcing';
import {
  type AppConfig,
  CONFIG,
  InternalCalls,
  type Logger,
  LOGGER,
  type MemberRemoval,
  MemberUsage,
  NoReplicaAnswered,
  OBJECTION_TO,
  QUOTAS_SERVICE,
  type RemovalAnswer,
  type RemovalQuestion,
  Replicas,
} from '#libs/platform';

const ASK_MS_MAX = 3_000;

/** Asks the quotas service, where it runs apart. */
@Injectable()
export class RemoteMemberUsage extends MemberUsage {
  private readonly quotas: Replicas;

  constructor(
    calls: InternalCalls,
    @Inject(CONFIG) config: Pick<AppConfig, 'quotasGrpcUrls'>,
    @Inject(LOGGER) private readonly log: Pick<Logger, 'warn'>,
  ) {
    super();
    this.quotas = new Replicas(calls, QUOTAS_SERVICE, config.quotasGrpcUrls);
  }

  override async objectionTo(projectId: string, userId: string, removal: MemberRemoval): Promise<Refusal | null> {
    const question: RemovalQuestion = { projectId, userId, removal };
    try {
      const answer = (await this.quotas.ask(OBJECTION_TO, question, ASK_MS_MAX)) as RemovalAnswer;
      return answer && new Refusal(answer.code, answer.detail, answer.extra);
    } catch (err) {
      if (!(err instanceof NoReplicaAnswered)) throw err;
      this.log.warn({ err }, 'The quotas service does not answer.');
      throw new Refusal('QUOTAS_UNAVAILABLE', 'What the member uses cannot be told now; nothing was changed.', {
        retryAfterSeconds: 1,
      });
    }
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { idOf, type ProjectEvent, projectQuotaStream } from '#libs/contracts';
import { IndexFollower, type Ledger, reactionContext, type Reactor, type RecordedEvent } from '#libs/eventsourcing';
import { LEDGER, READ_WAIT_MS_MAX } from '#libs/platform';
import { QuotaLedgers } from '../writer/quota-ledgers.js';

export const QUOTA_OFFBOARDING = 'quota-offboarding';

type MemberRemoved = Extract<ProjectEvent, { type: 'MemberRemoved' }>['data'];

/**
 * Does to a project's ledger what the end of a membership or of the project means there: the disposition of the removal
 * for what the member reserves and uses, and no more grants in a closed project. New reservations are refused from the
 * very event on, by the access index; what slipped in before this has caught up is treated as an orphan's.
 */
@Injectable()
export class QuotaOffboarding implements Reactor {
  readonly name = QUOTA_OFFBOARDING;
  readonly types = ['MemberRemoved', 'ProjectClosed'] as const;
  /** What ended before there was this reactor has ended too. */
  readonly startsAt = 'beginning';

  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    @Inject(IndexFollower) private readonly follower: Pick<IndexFollower, 'waitFor'>,
    private readonly ledgers: QuotaLedgers,
  ) {}

  async react(event: RecordedEvent, signal: AbortSignal): Promise<void> {
    if (!(await this.follower.waitFor(event.position, READ_WAIT_MS_MAX)))
      throw new Error(`The access index has not reached ${event.position} yet.`);
    const projectId = idOf(event.stream);
    const type = event.type as (typeof this.types)[number];
    if (type === 'MemberRemoved') return this.removeMember(projectId, event, signal);
    const context = reactionContext(this.name, event, projectQuotaStream(projectId));
    await this.ledgers.run(projectId, { type: 'CloseQuota', force: true }, context);
  }

  /** In pieces where it is much: each is a command of its own, which answers as done if it was. */
  private async removeMember(projectId: string, event: RecordedEvent, signal: AbortSignal): Promise<void> {
    const { userId, disposition, to } = event.data as MemberRemoved;
    const command = {
      type: 'RemoveQuotaMember',
      userId,
      disposition,
      to,
      // It was one when the removal was written, and if it has left since, its own removal comes after this one.
      toIsMember: true,
      force: true,
      heldBefore: await this.rejoinedAt(event, userId),
    } as const;
    let partsDone = 0;
    for (let complete = false; !complete && !signal.aborted;) {
      const part = partsDone === 0 ? undefined : partsDone;
      const context = reactionContext(this.name, event, projectQuotaStream(projectId), part);
      ({
        answer: { partsDone, complete },
      } = await this.ledgers.run(projectId, { ...command, partsDone }, context));
    }
  }

  /** From then on what the member reserves and uses is of the next membership. */
  private async rejoinedAt({ stream, revision }: RecordedEvent, userId: string): Promise<string | null> {
    for (const stored of await this.ledger.store.readStream(stream, { from: revision + 1 })) {
      const later = this.ledger.codec.decode(stored);
      if (later.type === 'MemberAdded' && (later.data as { userId: string }).userId === userId) return later.recordedAt;
    }
    return null;
  }
}

import { Inject, Optional } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { errorCodes, projectStream } from '#libs/contracts';
import { HeadUnreached, IndexFollower, type Ledger, type Position, Refusal } from '#libs/eventsourcing';
import {
  AccessIndex,
  LEDGER,
  type Logger,
  LOGGER,
  MemberUsage,
  NoMemberUsage,
  refusalOf,
  type RequestContext,
} from '#libs/platform';
import { projectDecider, type Removal, type RemoveMember } from './domain/project.js';
import { changeProject, tenantOf } from './project.commands.js';
import { foldStream } from './standing.js';
import type { OffboardResult, OffboardView } from './tenancy.views.js';

export class RemoveMemberCommand extends Command<{ readonly position: Position | null }> {
  constructor(
    readonly projectId: string,
    readonly userId: string,
    readonly removal: Removal,
    readonly context: RequestContext,
  ) {
    super();
  }
}

/**
 * Removes a user from every open project of a tenant, or from none: a project that refuses is found before anything is
 * written. Each project is an append of its own under the one commandId, so a repeated request with its Idempotency-Key
 * goes on where an earlier one was cut off; a refusal that comes up only then is told by its project.
 */
export class OffboardUserCommand extends Command<{ readonly view: OffboardView; readonly position: Position | null }> {
  constructor(
    readonly tenantId: string,
    readonly userId: string,
    readonly removal: Removal,
    readonly comment: string | null,
    readonly context: RequestContext,
  ) {
    super();
  }
}

/** An orphan stays where it is, so nobody has to be asked. */
const objectionTo = async (
  usage: MemberUsage,
  projectId: string,
  userId: string,
  removal: Removal,
): Promise<Refusal | null> => (removal.disposition === 'orphan' ? null : usage.objectionTo(projectId, userId, removal));

const concerned = (userId: string, { to }: Removal): string[] => (to === null ? [userId] : [userId, to]);

@CommandHandler(RemoveMemberCommand)
export class RemoveMemberHandler implements ICommandHandler<RemoveMemberCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly access: AccessIndex,
    @Optional() private readonly usage: MemberUsage = new NoMemberUsage(),
  ) {}

  async execute({ projectId, userId, removal, context }: RemoveMemberCommand): Promise<{ position: Position | null }> {
    const place = { tenantId: tenantOf(this.access, projectId), projectId, members: concerned(userId, removal) };
    const objection = await objectionTo(this.usage, projectId, userId, removal);
    const command = { type: 'RemoveMember', userId, ...removal, objection, ifMatch: context.ifMatch } as const;
    const { position } = await changeProject(this.ledger, place, context, command);
    return { position };
  }
}

interface PlannedRemoval {
  readonly projectId: string;
  readonly command: RemoveMember;
}

@CommandHandler(OffboardUserCommand)
export class OffboardUserHandler implements ICommandHandler<OffboardUserCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly access: AccessIndex,
    @Inject(IndexFollower) private readonly follower: Pick<IndexFollower, 'reachHead'>,
    @Inject(LOGGER) private readonly logger: Logger,
    @Optional() private readonly usage: MemberUsage = new NoMemberUsage(),
  ) {}

  async execute(offboarding: OffboardUserCommand) {
    const { tenantId, userId, comment, context } = offboarding;
    const planned = await this.plan(offboarding);
    const results: OffboardResult[] = [];
    let position: Position | null = null;
    for (const { projectId, command } of planned) {
      const place = { tenantId, projectId, members: concerned(userId, command) };
      try {
        const done = await changeProject(this.ledger, place, context, command, comment);
        if (done.position !== null && (position === null || done.position > position)) position = done.position;
        results.push({ projectId, status: 204 });
      } catch (error) {
        const { code } = refusalOf(error);
        // Whoever left before, by another command, is no result of this one.
        if (code === 'NOT_FOUND') continue;
        if (code === 'INTERNAL') this.logger.error({ err: error, projectId }, 'A user could not be offboarded.');
        results.push({ projectId, status: errorCodes[code].status, code });
      }
    }
    const { correlationId } = context.command();
    return { view: { tenantId, userId, results, correlationId }, position };
  }

  /** Former members are planned too: where the removal was this very command's, it is answered as done. */
  private async plan({ tenantId, userId, removal }: OffboardUserCommand): Promise<PlannedRemoval[]> {
    await this.reachHead();
    const memberships = this.access
      .membershipsOf(userId)
      .filter((one) => one.tenantId === tenantId && this.access.project(one.projectId)?.closed === false);
    if (memberships.length === 0)
      throw new Refusal('NOT_FOUND', 'The user is a member of no open project of the tenant.');
    const planned: PlannedRemoval[] = [];
    const refused: { readonly projectId: string; readonly refusal: Refusal }[] = [];
    for (const { projectId, removed } of memberships) {
      const objection = removed ? null : await objectionTo(this.usage, projectId, userId, removal);
      const command: RemoveMember = { type: 'RemoveMember', userId, ...removal, objection };
      planned.push({ projectId, command });
      const refusal = removed ? undefined : await this.rehearse(projectId, command);
      if (refusal !== undefined) refused.push({ projectId, refusal });
    }
    const [first] = refused;
    if (first !== undefined)
      throw new Refusal(first.refusal.code, `${first.refusal.detail} Nothing was changed.`, {
        errors: refused.map(({ projectId, refusal: { detail } }) => ({
          location: `projects.${projectId}`,
          message: detail,
        })),
      });
    return planned;
  }

  private async rehearse(projectId: string, command: RemoveMember): Promise<Refusal | undefined> {
    const decider = projectDecider(concerned(command.userId, command));
    const { state } = await foldStream(this.ledger, projectStream(projectId), decider);
    try {
      decider.decide(command, state, '');
      return undefined;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return error.code === 'NOT_FOUND' ? undefined : error;
    }
  }

  /** A membership that another process has just written would else be left behind. */
  private async reachHead(): Promise<void> {
    try {
      await this.follower.reachHead();
    } catch (error) {
      if (!(error instanceof HeadUnreached)) throw error;
      throw new Refusal('STORE_UNAVAILABLE', 'The user’s projects cannot be told now.', { retryAfterSeconds: 1 });
    }
  }
}

export const removalCommandHandlers = [RemoveMemberHandler, OffboardUserHandler];

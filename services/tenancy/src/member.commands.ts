import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { type MemberRole, projectStream } from '#libs/contracts';
import type { Ledger } from '#libs/eventsourcing';
import { AccessIndex, LEDGER, type RequestContext } from '#libs/platform';
import { type ChangeServiceAccess, type KnownProfile, type ProfileChange, projectDecider } from './domain/project.js';
import { impossible } from './domain/version.js';
import { People } from './people.js';
import { changeProject, isSuspended, type ProjectOutcome, tenantOf } from './project.commands.js';
import { foldStream } from './standing.js';
import { memberView, type MemberView } from './tenancy.views.js';
import type { Changed } from './tenant.commands.js';

export class PutMemberCommand extends Command<Changed<MemberView>> {
  constructor(
    readonly projectId: string,
    readonly userId: string,
    readonly role: MemberRole,
    readonly profile: ProfileChange,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class SuspendMemberCommand extends Command<Changed<MemberView>> {
  constructor(
    readonly projectId: string,
    readonly userId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

/** Grants the member access to a service, or takes it away. */
export class ChangeServiceAccessCommand extends Command<Changed<MemberView>> {
  constructor(
    readonly type: ChangeServiceAccess['type'],
    readonly place: { readonly projectId: string; readonly userId: string },
    readonly service: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class ResumeMemberCommand extends Command<Changed<MemberView>> {
  constructor(
    readonly projectId: string,
    readonly userId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

async function changed(
  people: People,
  place: { readonly projectId: string; readonly userId: string },
  { state, position, events }: ProjectOutcome,
): Promise<Changed<MemberView>> {
  const member = state.members.get(place.userId) ?? impossible('a change that left no member');
  const person = await people.at(place.projectId, member.profileRevision);
  return {
    view: memberView(place, member, person, position),
    created: events.some(({ type }) => type === 'MemberAdded'),
  };
}

@CommandHandler(PutMemberCommand)
export class PutMemberHandler implements ICommandHandler<PutMemberCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly people: People,
    private readonly access: AccessIndex,
  ) {}

  async execute({ projectId, userId, role, profile, context }: PutMemberCommand): Promise<Changed<MemberView>> {
    const tenantId = tenantOf(this.access, projectId);
    const place = { tenantId, projectId, members: [userId] };
    const outcome = await changeProject(this.ledger, place, context, {
      type: 'PutMember',
      userId,
      role,
      profile,
      known: Object.keys(profile).length === 0 ? null : await this.known(projectId, userId),
      tenantSuspended: isSuspended(this.access, tenantId),
      ifMatch: context.ifMatch,
    });
    return changed(this.people, { projectId, userId }, outcome);
  }

  /** Opened here, for a decision is told what it cannot read: what is not given stays, and what is the same is no change. */
  private async known(projectId: string, userId: string): Promise<KnownProfile | null> {
    const { state } = await foldStream(this.ledger, projectStream(projectId), projectDecider([userId]));
    const revision = state.status === 'absent' ? null : (state.members.get(userId)?.profileRevision ?? null);
    return revision === null ? null : { revision, person: await this.people.at(projectId, revision) };
  }
}

@CommandHandler(SuspendMemberCommand)
export class SuspendMemberHandler implements ICommandHandler<SuspendMemberCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly people: People,
    private readonly access: AccessIndex,
  ) {}

  async execute({ projectId, userId, context }: SuspendMemberCommand): Promise<Changed<MemberView>> {
    const place = { tenantId: tenantOf(this.access, projectId), projectId, members: [userId] };
    const command = { type: 'SuspendMember', userId, ifMatch: context.ifMatch } as const;
    const outcome = await changeProject(this.ledger, place, context, command);
    return changed(this.people, { projectId, userId }, outcome);
  }
}

@CommandHandler(ResumeMemberCommand)
export class ResumeMemberHandler implements ICommandHandler<ResumeMemberCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly people: People,
    private readonly access: AccessIndex,
  ) {}

  async execute({ projectId, userId, context }: ResumeMemberCommand): Promise<Changed<MemberView>> {
    const place = { tenantId: tenantOf(this.access, projectId), projectId, members: [userId] };
    const command = { type: 'ResumeMember', userId, ifMatch: context.ifMatch } as const;
    const outcome = await changeProject(this.ledger, place, context, command);
    return changed(this.people, { projectId, userId }, outcome);
  }
}

@CommandHandler(ChangeServiceAccessCommand)
export class ChangeServiceAccessHandler implements ICommandHandler<ChangeServiceAccessCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly people: People,
    private readonly access: AccessIndex,
  ) {}

  async execute({ type, place, service, context }: ChangeServiceAccessCommand): Promise<Changed<MemberView>> {
    const { projectId, userId } = place;
    const tenantId = tenantOf(this.access, projectId);
    const command = { type, userId, service, ifMatch: context.ifMatch };
    const outcome = await changeProject(this.ledger, { tenantId, projectId, members: [userId] }, context, command);
    return changed(this.people, place, outcome);
  }
}

export const memberCommandHandlers = [
  PutMemberHandler,
  SuspendMemberHandler,
  ResumeMemberHandler,
  ChangeServiceAccessHandler,
];

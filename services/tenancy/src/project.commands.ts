import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { type KeyPolicy, projectStream } from '#libs/contracts';
import { type CommandOutcome, type Ledger, Refusal, runCommand } from '#libs/eventsourcing';
import { AccessIndex, LEDGER, type RequestContext } from '#libs/platform';
import { type Project, type ProjectCommand, projectDecider, type StandingProject } from './domain/project.js';
import { impossible } from './domain/version.js';
import { projectView, type ProjectView } from './tenancy.views.js';
import type { Changed, PolicyNow } from './tenant.commands.js';

export class CreateProjectCommand extends Command<Changed<ProjectView>> {
  constructor(
    readonly tenantId: string,
    readonly projectId: string,
    readonly name: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class CloseProjectCommand extends Command<Changed<ProjectView>> {
  constructor(
    readonly projectId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

/** A policy of null removes the one that stands. */
export class SetProjectKeyPolicyCommand extends Command<PolicyNow> {
  constructor(
    readonly projectId: string,
    readonly policy: KeyPolicy | null,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export type ProjectOutcome = CommandOutcome<Project> & { readonly state: StandingProject };

/** What every change of a project does alike; `members` are those whom it is about. */
export async function changeProject(
  ledger: Ledger,
  place: { readonly tenantId: string; readonly projectId: string; readonly members?: readonly string[] },
  context: RequestContext,
  command: ProjectCommand,
  comment: string | null = null,
): Promise<ProjectOutcome> {
  const { tenantId, projectId, members = [] } = place;
  const outcome = await runCommand(ledger, {
    stream: projectStream(projectId),
    decider: projectDecider(members),
    command,
    scope: { tenantId, projectId },
    context: context.command({ comment }),
  });
  const { state } = outcome;
  return state.status === 'absent' ? impossible('a change that left no project') : { ...outcome, state };
}

/** The guard has found the project in the same index, so only a program without the guard meets the refusal. */
export function tenantOf(access: AccessIndex, projectId: string): string {
  const project = access.project(projectId);
  if (project === undefined) throw new Refusal('NOT_FOUND', 'There is no such project.');
  return project.tenantId;
}

export const isSuspended = (access: AccessIndex, tenantId: string): boolean =>
  access.tenant(tenantId)?.state === 'suspended';

@CommandHandler(CreateProjectCommand)
export class CreateProjectHandler implements ICommandHandler<CreateProjectCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly access: AccessIndex,
  ) {}

  async execute({ tenantId, projectId, name, context }: CreateProjectCommand): Promise<Changed<ProjectView>> {
    const { state, position } = await changeProject(this.ledger, { tenantId, projectId }, context, {
      type: 'CreateProject',
      name,
      tenantSuspended: isSuspended(this.access, tenantId),
    });
    return { view: projectView(projectId, state, position), created: true };
  }
}

@CommandHandler(CloseProjectCommand)
export class CloseProjectHandler implements ICommandHandler<CloseProjectCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly access: AccessIndex,
  ) {}

  async execute({ projectId, context }: CloseProjectCommand): Promise<Changed<ProjectView>> {
    const tenantId = tenantOf(this.access, projectId);
    const { state, position } = await changeProject(this.ledger, { tenantId, projectId }, context, {
      type: 'CloseProject',
      ifMatch: context.ifMatch,
    });
    return { view: projectView(projectId, state, position), created: false };
  }
}

@CommandHandler(SetProjectKeyPolicyCommand)
export class SetProjectKeyPolicyHandler implements ICommandHandler<SetProjectKeyPolicyCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly access: AccessIndex,
  ) {}

  async execute({ projectId, policy, context }: SetProjectKeyPolicyCommand): Promise<PolicyNow> {
    const tenantId = tenantOf(this.access, projectId);
    const { ifMatch } = context;
    const command: ProjectCommand =
      policy === null ? { type: 'RemoveKeyPolicy', ifMatch } : { type: 'SetKeyPolicy', policy, ifMatch };
    const { state, position } = await changeProject(this.ledger, { tenantId, projectId }, context, command);
    return { standing: state.keyPolicy, position };
  }
}

export const projectCommandHandlers = [CreateProjectHandler, CloseProjectHandler, SetProjectKeyPolicyHandler];

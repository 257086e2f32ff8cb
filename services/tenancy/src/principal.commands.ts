import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { type PlatformRole, principalStream, type PrincipalType } from '#libs/contracts';
import { type CommandOutcome, type Ledger, runCommand } from '#libs/eventsourcing';
import { AccessIndex, Gatekeeper, LEDGER, type RequestContext, Targets } from '#libs/platform';
import { type PrincipalCommand, principalDecider, type RegistryEntry } from './domain/principal.js';
import { impossible } from './domain/version.js';
import { principalView, type PrincipalView } from './tenancy.views.js';
import type { Changed } from './tenant.commands.js';

/** Registers a principal, or changes the role of one that is. */
export class PutPrincipalCommand extends Command<Changed<PrincipalView>> {
  constructor(
    readonly principalId: string,
    readonly wanted: {
      readonly type: PrincipalType;
      readonly role: PlatformRole;
      readonly tenantId: string | null;
    },
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class RemovePrincipalCommand extends Command<Changed<PrincipalView>> {
  constructor(
    readonly principalId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

async function change(
  ledger: Ledger,
  principalId: string,
  tenantId: string | null,
  context: RequestContext,
  command: PrincipalCommand,
): Promise<Changed<PrincipalView>> {
  const { state, position, events }: CommandOutcome<RegistryEntry> = await runCommand(ledger, {
    stream: principalStream(principalId),
    decider: principalDecider,
    command,
    scope: { tenantId, projectId: null },
    context: context.command(),
  });
  if (state.status === 'absent') return impossible('a change that left no principal');
  return {
    view: principalView(principalId, state, position),
    created: events.some(({ type }) => type === 'PrincipalRegistered'),
  };
}

@CommandHandler(PutPrincipalCommand)
export class PutPrincipalHandler implements ICommandHandler<PutPrincipalCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly access: AccessIndex,
    private readonly gatekeeper: Gatekeeper,
    private readonly targets: Targets,
  ) {}

  async execute({ principalId, wanted, context }: PutPrincipalCommand): Promise<Changed<PrincipalView>> {
    const { type, role, tenantId } = wanted;
    // The body names the tenant, so the guard of the route has not seen it.
    if (tenantId !== null)
      await this.gatekeeper.authorize(context, 'principals:write', () => this.targets.tenant(tenantId));
    return change(this.ledger, principalId, tenantId, context, {
      type: 'PutPrincipal',
      principalType: type,
      role,
      tenantId,
      otherAdmins: this.access.otherPlatformAdmins(principalId),
      ifMatch: context.ifMatch,
    });
  }
}

@CommandHandler(RemovePrincipalCommand)
export class RemovePrincipalHandler implements ICommandHandler<RemovePrincipalCommand> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly access: AccessIndex,
  ) {}

  async execute({ principalId, context }: RemovePrincipalCommand): Promise<Changed<PrincipalView>> {
    const tenantId = this.access.principal(principalId)?.tenantId ?? null;
    return change(this.ledger, principalId, tenantId, context, {
      type: 'RemovePrincipal',
      otherAdmins: this.access.otherPlatformAdmins(principalId),
      ifMatch: context.ifMatch,
    });
  }
}

export const principalCommandHandlers = [PutPrincipalHandler, RemovePrincipalHandler];

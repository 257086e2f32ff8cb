import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { type KeyPolicy, tenantStream } from '#libs/contracts';
import { type CommandOutcome, type Ledger, type Position, runCommand } from '#libs/eventsourcing';
import { LEDGER, type RequestContext } from '#libs/platform';
import type { StandingPolicy } from './domain/key-policy.js';
import { type StandingTenant, type Tenant, type TenantCommand, tenantDecider } from './domain/tenant.js';
import { impossible } from './domain/version.js';
import { tenantView, type TenantView } from './tenancy.views.js';

/** What a change answers: the thing as it stands after it, and whether this command made it. */
export interface Changed<View> {
  readonly view: View;
  readonly created: boolean;
}

/** A key policy as it stands; null if none is set. */
export interface PolicyNow {
  readonly standing: StandingPolicy | null;
  readonly position: Position | null;
}

export class CreateTenantCommand extends Command<Changed<TenantView>> {
  constructor(
    readonly tenantId: string,
    readonly name: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class SuspendTenantCommand extends Command<Changed<TenantView>> {
  constructor(
    readonly tenantId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class ResumeTenantCommand extends Command<Changed<TenantView>> {
  constructor(
    readonly tenantId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

/** A policy of null removes the one that stands. */
export class SetTenantKeyPolicyCommand extends Command<PolicyNow> {
  constructor(
    readonly tenantId: string,
    readonly policy: KeyPolicy | null,
    readonly context: RequestContext,
  ) {
    super();
  }
}

type Outcome = CommandOutcome<Tenant> & { readonly state: StandingTenant };

async function change(
  ledger: Ledger,
  tenantId: string,
  context: RequestContext,
  command: TenantCommand,
): Promise<Outcome> {
  const outcome = await runCommand(ledger, {
    stream: tenantStream(tenantId),
    decider: tenantDecider,
    command,
    scope: { tenantId, projectId: null },
    context: context.command(),
  });
  const { state } = outcome;
  return state.status === 'absent' ? impossible('a change that left no tenant') : { ...outcome, state };
}

const changed = (tenantId: string, { state, position, events }: Outcome): Changed<TenantView> => ({
  view: tenantView(tenantId, state, position),
  created: events.some(({ type }) => type === 'TenantCreated'),
});

@CommandHandler(CreateTenantCommand)
export class CreateTenantHandler implements ICommandHandler<CreateTenantCommand> {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async execute({ tenantId, name, context }: CreateTenantCommand): Promise<Changed<TenantView>> {
    return changed(tenantId, await change(this.ledger, tenantId, context, { type: 'CreateTenant', name }));
  }
}

@CommandHandler(SuspendTenantCommand)
export class SuspendTenantHandler implements ICommandHandler<SuspendTenantCommand> {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async execute({ tenantId, context }: SuspendTenantCommand): Promise<Changed<TenantView>> {
    const command = { type: 'SuspendTenant', ifMatch: context.ifMatch } as const;
    return changed(tenantId, await change(this.ledger, tenantId, context, command));
  }
}

@CommandHandler(ResumeTenantCommand)
export class ResumeTenantHandler implements ICommandHandler<ResumeTenantCommand> {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async execute({ tenantId, context }: ResumeTenantCommand): Promise<Changed<TenantView>> {
    const command = { type: 'ResumeTenant', ifMatch: context.ifMatch } as const;
    return changed(tenantId, await change(this.ledger, tenantId, context, command));
  }
}

@CommandHandler(SetTenantKeyPolicyCommand)
export class SetTenantKeyPolicyHandler implements ICommandHandler<SetTenantKeyPolicyCommand> {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async execute({ tenantId, policy, context }: SetTenantKeyPolicyCommand): Promise<PolicyNow> {
    const { ifMatch } = context;
    const command: TenantCommand =
      policy === null ? { type: 'RemoveKeyPolicy', ifMatch } : { type: 'SetKeyPolicy', policy, ifMatch };
    const { state, position } = await change(this.ledger, tenantId, context, command);
    return { standing: state.keyPolicy, position };
  }
}

export const tenantCommandHandlers = [
  CreateTenantHandler,
  SuspendTenantHandler,
  ResumeTenantHandler,
  SetTenantKeyPolicyHandler,
];

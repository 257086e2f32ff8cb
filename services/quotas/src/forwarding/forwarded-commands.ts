import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { type AppConfig, CONFIG, InternalDoor, PrincipalResolver, type ReceivedCall } from '#libs/platform';
import type { QuotaOutcome } from '../writer/mailbox.js';
import { QuotaLedgers } from '../writer/quota-ledgers.js';
import { CommandRights } from './command-rights.js';
import { unpackCommand } from './forwarded-command.js';
import { EXECUTE } from './owner-client.js';

/** Takes the commands that other processes hand to this one, and asks again what their callers may. */
@Injectable()
export class ForwardedCommands implements OnModuleInit {
  constructor(
    private readonly door: InternalDoor,
    private readonly ledgers: QuotaLedgers,
    private readonly rights: CommandRights,
    private readonly resolver: PrincipalResolver,
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'quotasPeers'>,
  ) {}

  onModuleInit(): void {
    const { quotasPeers } = this.config;
    if (quotasPeers !== undefined) this.door.serve(EXECUTE, quotasPeers.own, (call) => this.execute(call));
  }

  /** Never handed on again: two that disagree about the owner would send it to and fro. */
  private async execute({ payload, principal, deadlineMs }: ReceivedCall): Promise<QuotaOutcome> {
    const forwarded = unpackCommand(payload);
    const caller = principal && this.resolver.again(principal);
    const { command, hold } = await this.rights.permitted(forwarded, caller);
    const { projectId, context } = forwarded;
    return this.ledgers.runHere(projectId, command, context, { hold, deadlineMs });
  }
}

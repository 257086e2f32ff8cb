import { Injectable } from '@nestjs/common';
import { type CommandContext, Refusal } from '#libs/eventsourcing';
import type { Principal } from '#libs/platform';
import type { MemberStanding, QuotaCommand, Reserve } from '../domain/commands.js';
import { holderIn, holdTo, holdUnlessDone, isOfHolder } from '../quota.commands.js';
import { QuotaRights } from '../quota-rights.js';
import type { Hold } from '../writer/mailbox.js';
import { QuotaLedgers } from '../writer/quota-ledgers.js';
import type { ForwardedCommand } from './forwarded-command.js';

/** What a caller may ask of a project's owner, by command: the rules of the routes, for commands that come by none. */
@Injectable()
export class CommandRights {
  constructor(
    private readonly rights: QuotaRights,
    private readonly ledgers: QuotaLedgers,
  ) {}

  /** The command with the member's standing as it is known here, and what it is held to. Refuses as the routes do. */
  async permitted(
    { projectId, command, context }: ForwardedCommand,
    principal: Principal | null,
  ): Promise<{ readonly command: QuotaCommand; readonly hold: Hold | undefined }> {
    const userId = await this.userOf(projectId, command);
    if (principal !== null) await this.authorize({ principal }, projectId, command, userId);
    return {
      command: await this.withStanding(projectId, command, context, userId),
      hold: isOfHolder(command) ? holdTo(command, userId) : undefined,
    };
  }

  /** For whom something is reserved or used; empty for what is of nobody. */
  private async userOf(projectId: string, command: QuotaCommand): Promise<string> {
    if (isOfHolder(command)) return this.ledgers.look(projectId, (state) => holderIn(state, command));
    return command.type === 'Reserve' || command.type === 'Allocate' ? command.userId : '';
  }

  private async authorize(
    caller: { readonly principal: Principal },
    projectId: string,
    command: QuotaCommand,
    userId: string,
  ): Promise<void> {
    const { rights } = this;
    switch (command.type) {
      case 'Reserve':
      case 'Allocate':
      case 'CommitReservation':
      case 'ReleaseReservation':
      case 'ExtendReservation':
      case 'ResizeAllocation':
      case 'ReleaseAllocation': {
        await rights.mayWriteFor(caller, projectId, userId);
        const forces =
          ('mode' in command && command.mode === 'FORCE') || ('onExpired' in command && command.onExpired === 'force');
        if (forces) await rights.mayForce(caller, projectId);
        return;
      }
      case 'SetQuota':
      case 'ClearQuota':
        return rights.maySet(caller, projectId, [command]);
      case 'BulkSetQuota':
        return rights.maySet(caller, projectId, command.items);
      case 'SetQuotaPolicy':
      case 'FreezeQuota':
      case 'UnfreezeQuota':
        return rights.maySet(caller, projectId, [{ scope: { type: 'project', userId: null } }]);
      case 'Reconcile':
        return rights.mayForce(caller, projectId);
      case 'ExpireReservation':
      case 'CloseQuota':
      case 'TellOverQuota':
      case 'RemoveQuotaMember':
        throw new Refusal('FORBIDDEN', 'This is done by Steward itself.');
    }
  }

  private async withStanding(
    projectId: string,
    command: QuotaCommand,
    context: CommandContext,
    userId: string,
  ): Promise<QuotaCommand> {
    if (command.type === 'Reserve' || command.type === 'Allocate') {
      const { rights, ledgers } = this;
      const wasDone = () => ledgers.wasDone(projectId, context, command.id);
      await holdUnlessDone(rights.projectIsActive(projectId), wasDone);
      return { ...command, standing: await this.standing(projectId, userId, command.items) };
    }
    if (command.type === 'CommitReservation' || command.type === 'ResizeAllocation')
      return { ...command, standing: await this.standing(projectId, userId, command.items ?? []) };
    return command;
  }

  private async standing(projectId: string, userId: string, items: Reserve['items']): Promise<MemberStanding> {
    await this.rights.catalogueHas(items);
    return this.rights.standing(
      projectId,
      userId,
      items.map(({ service }) => service),
    );
  }
}

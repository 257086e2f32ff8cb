import { randomUUID } from 'node:crypto';
import { Command, CommandBus, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { type Position, Refusal } from '#libs/eventsourcing';
import type { RequestContext } from '#libs/platform';
import type { Reserve, Violation } from './domain/commands.js';
import { ChangeUsageCommand } from './quota.commands.js';
import type { QuotaOutcome } from './writer/mailbox.js';

export type ReserveWish = Omit<Reserve, 'standing' | 'bodyHash'>;

export type BatchResult =
  | { readonly id: string; readonly status: 'done'; readonly answer: QuotaOutcome<'Reserve'>['answer'] }
  | { readonly id: string; readonly status: 'refused'; readonly refusal: Refusal };

export interface BatchReserved {
  readonly results: readonly BatchResult[];
  /** Of the last event that any of them wrote or met. */
  readonly position: Position | null;
}

/** What a denial tells of each limit that it would have passed; none for any other refusal. */
export const violationsOf = ({ extra }: Refusal): readonly Violation[] =>
  (extra.extensions?.['violations'] ?? []) as readonly Violation[];

/** Each by itself: one that is refused changes nothing of the others. The ids make it repeatable. */
export class ReserveBatchCommand extends Command<BatchReserved> {
  constructor(
    readonly projectId: string,
    readonly wishes: readonly ReserveWish[],
    readonly context: RequestContext,
  ) {
    super();
  }
}

/** Each of many is a command of its own; all bear the correlation of the request that brought them. */
function contextOfOne(context: RequestContext): RequestContext {
  const commandId = randomUUID();
  return { ...context, command: (options) => ({ ...context.command(options), commandId, requestHash: null }) };
}

@CommandHandler(ReserveBatchCommand)
export class ReserveBatchHandler implements ICommandHandler<ReserveBatchCommand> {
  constructor(private readonly commands: CommandBus) {}

  async execute({ projectId, wishes, context }: ReserveBatchCommand): Promise<BatchReserved> {
    let last: Position | null = null;
    const results = await Promise.all(
      wishes.map(async (wish): Promise<BatchResult> => {
        const { id } = wish;
        try {
          const command = new ChangeUsageCommand(projectId, wish, contextOfOne(context));
          const { answer, position } = await this.commands.execute(command);
          if (position !== null && position > (last ?? '')) last = position;
          return { id, status: 'done', answer };
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          return { id, status: 'refused', refusal: error };
        }
      }),
    );
    return { results, position: last };
  }
}

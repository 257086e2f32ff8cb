import { createHash } from 'node:crypto';
import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { quotaCatalogueStream } from '#libs/contracts';
import { jcs, type Ledger, type Position, Refusal, runCommand } from '#libs/eventsourcing';
import { LEDGER, type RequestContext } from '#libs/platform';
import { type CatalogueResource, catalogueDecider, resourceOf, type SetCatalogueResource } from './domain/catalogue.js';
import type {
  Allocate,
  BulkSetQuota,
  ClearQuota,
  CommitReservation,
  MemberStanding,
  QuotaCommand,
  ResizeAllocation,
  Reserve,
  SetQuota,
} from './domain/commands.js';
import type { Entry, ProjectQuota } from './domain/project-quota.js';
import { QuotaRights } from './quota-rights.js';
import type { Hold, QuotaOutcome, Terms } from './writer/mailbox.js';
import { QuotaLedgers } from './writer/quota-ledgers.js';

type Of<Type extends QuotaCommand['type']> = Extract<QuotaCommand, { type: Type }>;

/** What is asked for a member; standing and hash are found on the way to the ledger. */
export type UsageWish =
  | Omit<Reserve, 'standing' | 'bodyHash'>
  | Omit<CommitReservation, 'standing'>
  | Of<'ReleaseReservation'>
  | Of<'ExtendReservation'>
  | Omit<Allocate, 'standing' | 'bodyHash'>
  | Omit<ResizeAllocation, 'standing'>
  | Of<'ReleaseAllocation'>;

/** Reservations and allocations. */
export class ChangeUsageCommand<Wish extends UsageWish = UsageWish> extends Command<QuotaOutcome<Wish['type']>> {
  constructor(
    readonly projectId: string,
    readonly wish: Wish,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export type LimitChange = SetQuota | ClearQuota;

/** `reason` is typed text and becomes the private comment. */
export class ChangeLimitCommand extends Command<QuotaOutcome<LimitChange['type']>> {
  constructor(
    readonly projectId: string,
    readonly change: LimitChange,
    readonly reason: string | null,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class BulkSetLimitsCommand extends Command<QuotaOutcome<'BulkSetQuota'>> {
  constructor(
    readonly projectId: string,
    readonly change: BulkSetQuota,
    readonly reason: string | null,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export type PolicyChange = Of<'SetQuotaPolicy'> | Of<'FreezeQuota'> | Of<'UnfreezeQuota'>;

export class ChangeQuotaPolicyCommand extends Command<QuotaOutcome<PolicyChange['type']>> {
  constructor(
    readonly projectId: string,
    readonly change: PolicyChange,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export interface CatalogueChanged {
  readonly resource: CatalogueResource;
  readonly position: Position | null;
}

export class SetCatalogueResourceCommand extends Command<CatalogueChanged> {
  constructor(
    readonly change: SetCatalogueResource,
    readonly context: RequestContext,
  ) {
    super();
  }
}

/** Hex SHA-256 of the JCS of what an id stands for (docs/events.md); items in the order of events. */
function bodyHashOf({ items, ...rest }: Pick<Reserve, 'items'>): string {
  const sorted = items
    .map(({ service, resource, amount }) => ({ service, resource, amount }))
    .sort((a, b) => (`${a.service}/${a.resource}` < `${b.service}/${b.resource}` ? -1 : 1));
  return createHash('sha256')
    .update(jcs({ ...rest, items: sorted }))
    .digest('hex');
}

type OfHolder =
  | {
      readonly type: 'CommitReservation' | 'ReleaseReservation' | 'ExtendReservation' | 'ResizeAllocation';
      readonly id: string;
    }
  | Of<'ReleaseAllocation'>;

const OF_HOLDER: readonly string[] = [
  'CommitReservation',
  'ReleaseReservation',
  'ExtendReservation',
  'ResizeAllocation',
  'ReleaseAllocation',
] satisfies OfHolder['type'][];

/** True for what is done to a reservation or allocation that somebody has. */
export const isOfHolder = (command: QuotaCommand): command is Of<OfHolder['type']> => OF_HOLDER.includes(command.type);

const holderOf = (entry: Entry | undefined): string | undefined =>
  entry?.kind === 'resolved' ? entry.was.userId : entry?.userId;

/** Whose the reservation or allocation is, where there is one. */
function holderSeenIn({ entries, liveByRef, goneRefs }: ProjectQuota, wish: OfHolder): string | undefined {
  const by = wish.type === 'ReleaseAllocation' ? wish.by : wish;
  const id = 'id' in by ? by.id : (liveByRef.get(by.resourceRef) ?? goneRefs.get(by.resourceRef)?.id ?? '');
  return holderOf(entries.get(id));
}

/** Whose the reservation or allocation is. */
export function holderIn(state: ProjectQuota, wish: OfHolder): string {
  const holder = holderSeenIn(state, wish);
  if (holder !== undefined) return holder;
  switch (wish.type) {
    case 'ResizeAllocation':
    case 'ReleaseAllocation':
      throw new Refusal('ALLOCATION_NOT_FOUND', 'There is no such allocation, or it is over for more than a day.');
    case 'CommitReservation':
    case 'ReleaseReservation':
    case 'ExtendReservation':
      throw new Refusal('RESERVATION_NOT_FOUND', 'There is no such reservation, or it is over for more than a day.');
  }
}

/** The rights were asked for this holder; an id in flight or a resource may have come to be another's since. */
export const holdTo =
  (wish: OfHolder, userId: string): Hold =>
  (state) => {
    if (holderIn(state, wish) !== userId)
      throw new Refusal('OVERLOADED', 'Whose this is has just changed; nothing was done.', { retryAfterSeconds: 1 });
  };

/** What was done is answered as it was, whoever has left and whatever was closed since. */
export async function holdUnlessDone(hold: Promise<void>, wasDone: () => Promise<boolean>): Promise<void> {
  try {
    await hold;
  } catch (error) {
    if (!(error instanceof Refusal) || !(await wasDone())) throw error;
  }
}

@CommandHandler(ChangeUsageCommand)
export class ChangeUsageHandler implements ICommandHandler<ChangeUsageCommand> {
  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly rights: QuotaRights,
  ) {}

  async execute({ projectId, wish, context }: ChangeUsageCommand): Promise<QuotaOutcome<UsageWish['type']>> {
    const { rights, ledgers } = this;
    const userId = await this.permittedUser(projectId, wish, context);
    const forces = ('mode' in wish && wish.mode === 'FORCE') || ('onExpired' in wish && wish.onExpired === 'force');
    if (forces) await rights.mayForce(context, projectId);
    const command = await this.commandOf(projectId, userId, wish, context);
    const hold = 'userId' in wish ? undefined : holdTo(wish, userId);
    const { principal, deadlineMs } = context;
    return ledgers.run(projectId, command, context.command(), principal, { hold, deadlineMs });
  }

  /** For whom it is, if the caller may do it for that one. Refusals rest on what is confirmed. */
  private async permittedUser(projectId: string, wish: UsageWish, context: RequestContext): Promise<string> {
    const { rights, ledgers } = this;
    if ('userId' in wish) {
      await rights.mayWriteFor(context, projectId, wish.userId);
      return wish.userId;
    }
    const seen = ledgers.peek(projectId, (state) => holderSeenIn(state, wish));
    if (seen !== undefined && rights.mayWriteForNow(context, projectId, seen)) return seen;
    const holder = await ledgers.look(projectId, (state) => holderIn(state, wish));
    await rights.mayWriteFor(context, projectId, holder);
    return holder;
  }

  private async commandOf(
    projectId: string,
    userId: string,
    wish: UsageWish,
    context: RequestContext,
  ): Promise<Of<UsageWish['type']>> {
    switch (wish.type) {
      case 'Reserve': {
        const { items, ttlSeconds, mode, resourceRef, labels } = wish;
        const hashed = { userId, items, ttlSeconds, mode, resourceRef, labels };
        await this.holdActive(projectId, wish.id, context);
        return { ...wish, standing: await this.standing(projectId, userId, items), bodyHash: bodyHashOf(hashed) };
      }
      case 'Allocate': {
        const { items, mode, resourceRef } = wish;
        const hashed = { userId, items, mode, resourceRef };
        await this.holdActive(projectId, wish.id, context);
        return { ...wish, standing: await this.standing(projectId, userId, items), bodyHash: bodyHashOf(hashed) };
      }
      case 'ResizeAllocation':
        return { ...wish, standing: await this.rights.standing(projectId, userId, servicesOf(wish.items)) };
      case 'CommitReservation':
        return { ...wish, standing: await this.rights.standing(projectId, userId, servicesOf(wish.items ?? [])) };
      case 'ReleaseReservation':
      case 'ExtendReservation':
      case 'ReleaseAllocation':
        return wish;
    }
  }

  private holdActive(projectId: string, id: string, context: RequestContext): Promise<void> {
    const { ledgers, rights } = this;
    return holdUnlessDone(rights.projectIsActive(projectId), () => ledgers.wasDone(projectId, context.command(), id));
  }

  private async standing(projectId: string, userId: string, items: Reserve['items']): Promise<MemberStanding> {
    await this.rights.catalogueHas(items);
    return this.rights.standing(projectId, userId, servicesOf(items));
  }
}

const servicesOf = (items: Reserve['items']): string[] => items.map(({ service }) => service);

const termsOf = ({ deadlineMs }: RequestContext): Terms => ({ deadlineMs });

const commandWith = (context: RequestContext, reason: string | null) =>
  context.command({ comment: reason, freeTextFields: ['reason'] });

@CommandHandler(ChangeLimitCommand)
export class ChangeLimitHandler implements ICommandHandler<ChangeLimitCommand> {
  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly rights: QuotaRights,
  ) {}

  async execute({
    projectId,
    change,
    reason,
    context,
  }: ChangeLimitCommand): Promise<QuotaOutcome<LimitChange['type']>> {
    await this.rights.catalogueHas([change]);
    const { userId } = change.scope;
    const command = commandWith(context, reason);
    if (userId !== null && change.type === 'SetQuota')
      await holdUnlessDone(this.rights.isMember(projectId, userId), () => this.ledgers.wasDone(projectId, command));
    return this.ledgers.run(projectId, change, command, context.principal, termsOf(context));
  }
}

@CommandHandler(BulkSetLimitsCommand)
export class BulkSetLimitsHandler implements ICommandHandler<BulkSetLimitsCommand> {
  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly rights: QuotaRights,
  ) {}

  async execute({ projectId, change, reason, context }: BulkSetLimitsCommand): Promise<QuotaOutcome<'BulkSetQuota'>> {
    const { items } = change;
    await this.rights.maySet(context, projectId, items);
    await this.rights.catalogueHas(items);
    const command = commandWith(context, reason);
    for (const userId of new Set(items.flatMap(({ scope }) => scope.userId ?? [])))
      await holdUnlessDone(this.rights.isMember(projectId, userId), () => this.ledgers.wasDone(projectId, command));
    return this.ledgers.run(projectId, change, command, context.principal, termsOf(context));
  }
}

@CommandHandler(ChangeQuotaPolicyCommand)
export class ChangeQuotaPolicyHandler implements ICommandHandler<ChangeQuotaPolicyCommand> {
  constructor(private readonly ledgers: QuotaLedgers) {}

  execute({ projectId, change, context }: ChangeQuotaPolicyCommand): Promise<QuotaOutcome<PolicyChange['type']>> {
    return this.ledgers.run(projectId, change, context.command(), context.principal, termsOf(context));
  }
}

@CommandHandler(SetCatalogueResourceCommand)
export class SetCatalogueResourceHandler implements ICommandHandler<SetCatalogueResourceCommand> {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async execute({ change, context }: SetCatalogueResourceCommand): Promise<CatalogueChanged> {
    const { state, position } = await runCommand(this.ledger, {
      stream: quotaCatalogueStream,
      decider: catalogueDecider,
      command: change,
      scope: { tenantId: null, projectId: null },
      context: context.command(),
    });
    const resource = resourceOf(state, change);
    if (resource === undefined) throw new Error('The catalogue lacks what was just set.');
    return { resource, position };
  }
}

export const quotaCommandHandlers = [
  ChangeUsageHandler,
  ChangeLimitHandler,
  BulkSetLimitsHandler,
  ChangeQuotaPolicyHandler,
  SetCatalogueResourceHandler,
];

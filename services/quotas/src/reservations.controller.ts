import { randomUUID } from 'node:crypto';
import { Body, Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Refusal } from '#libs/eventsourcing';
import { Context, type Page, type RequestContext, Requires, TakesBulkBody } from '#libs/platform';
import { answeredMade } from './quota-answers.js';
import { ChangeUsageCommand, type UsageWish } from './quota.commands.js';
import { GetReservationQuery, ListReservationsQuery } from './quota.queries.js';
import {
  CommitBody,
  ExtendBody,
  ProjectPath,
  ReservationsQuery,
  ReserveBatchBody,
  ReserveBody,
  TTL_SECONDS_DEFAULT,
  UsagePath,
} from './quotas.dto.js';
import {
  allocationView,
  AllocationView,
  type BatchResultView,
  checkView,
  type CheckView,
  ReservationList,
  reservationView,
  ReservationView,
  ReserveBatchView,
} from './quotas.views.js';
import type { QuotaOutcome } from './writer/mailbox.js';

const wishOf = (body: ReserveBody): Extract<UsageWish, { type: 'Reserve' }> => ({
  type: 'Reserve',
  id: body.id,
  userId: body.userId,
  items: body.items,
  ttlSeconds: body.ttlSeconds ?? TTL_SECONDS_DEFAULT,
  mode: body.mode ?? 'ENFORCE',
  resourceRef: body.resourceRef ?? null,
  labels: body.labels ?? {},
});

/** Each of many is a command of its own; all bear the correlation of the request that brought them. */
function contextOfOne(context: RequestContext): RequestContext {
  const commandId = randomUUID();
  return { ...context, command: (options) => ({ ...context.command(options), commandId, requestHash: null }) };
}

const viewOf = ({ answer }: QuotaOutcome<'Reserve'>): ReservationView | CheckView =>
  answer.kind === 'check' ? checkView(answer) : reservationView(answer);

@ApiTags('reservations')
@Controller('/v1/projects/:projectId/reservations')
export class ReservationsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Post()
  @Requires('reservations:write', 'deferred')
  @ApiCreatedResponse({ type: ReservationView })
  async reserve(
    @Param() { projectId }: ProjectPath,
    @Body() body: ReserveBody,
    @Context() context: RequestContext,
  ): Promise<ReservationView | CheckView> {
    const outcome = await this.commands.execute(new ChangeUsageCommand(projectId, wishOf(body), context));
    answeredMade(context, outcome);
    return viewOf(outcome);
  }

  /** Each by itself: one that is refused changes nothing of the others. The ids make it repeatable. */
  @Post('batch')
  @HttpCode(200)
  @TakesBulkBody()
  @Requires('reservations:write', 'deferred')
  @ApiOkResponse({ type: ReserveBatchView })
  async batch(
    @Param() { projectId }: ProjectPath,
    @Body() { reservations }: ReserveBatchBody,
    @Context() context: RequestContext,
  ): Promise<ReserveBatchView> {
    const results = await Promise.all(
      reservations.map(async (body): Promise<BatchResultView> => {
        const { id } = body;
        try {
          const outcome = await this.commands.execute(
            new ChangeUsageCommand(projectId, wishOf(body), contextOfOne(context)),
          );
          return { id, status: 'done', reservation: viewOf(outcome) };
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          const { code, detail, extra } = error;
          const violations = extra.extensions?.['violations'];
          return { id, status: 'refused', code, detail, ...(violations === undefined ? {} : { violations }) };
        }
      }),
    );
    return { results };
  }

  @Get()
  @Requires('reservations:read', 'list')
  @ApiOkResponse({ type: ReservationList })
  list(
    @Param() { projectId }: ProjectPath,
    @Query() query: ReservationsQuery,
    @Context() context: RequestContext,
  ): Promise<Page<ReservationView>> {
    return this.queries.execute(new ListReservationsQuery(projectId, query, context));
  }

  @Get(':id')
  @Requires('reservations:read', 'list')
  @ApiOkResponse({ type: ReservationView })
  get(@Param() { projectId, id }: UsagePath, @Context() context: RequestContext): Promise<ReservationView> {
    return this.queries.execute(new GetReservationQuery(projectId, id, context));
  }

  @Post(':id/commit')
  @HttpCode(200)
  @Requires('reservations:write', 'deferred')
  @ApiOkResponse({ type: AllocationView })
  async commit(
    @Param() { projectId, id }: UsagePath,
    @Body() { items, resourceRef, onExpired = 'fail' }: CommitBody,
    @Context() context: RequestContext,
  ): Promise<AllocationView> {
    const granted = { items: items ?? null, resourceRef: resourceRef ?? null };
    const wish = { type: 'CommitReservation', id, ...granted, onExpired } as const;
    const { answer, position } = await this.commands.execute(new ChangeUsageCommand(projectId, wish, context));
    context.answered({ position });
    return allocationView(answer);
  }

  @Post(':id/release')
  @HttpCode(200)
  @Requires('reservations:write', 'deferred')
  @ApiOkResponse({ type: ReservationView })
  async release(@Param() { projectId, id }: UsagePath, @Context() context: RequestContext): Promise<ReservationView> {
    const wish = { type: 'ReleaseReservation', id } as const;
    const { answer, position } = await this.commands.execute(new ChangeUsageCommand(projectId, wish, context));
    context.answered({ position });
    return reservationView(answer);
  }

  @Post(':id/extend')
  @HttpCode(200)
  @Requires('reservations:write', 'deferred')
  @ApiOkResponse({ type: ReservationView })
  async extend(
    @Param() { projectId, id }: UsagePath,
    @Body() { ttlSeconds }: ExtendBody,
    @Context() context: RequestContext,
  ): Promise<ReservationView> {
    const wish = { type: 'ExtendReservation', id, ttlSeconds } as const;
    const { answer, position } = await this.commands.execute(new ChangeUsageCommand(projectId, wish, context));
    context.answered({ position });
    return reservationView(answer);
  }
}

import { Body, Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Context, type RequestContext, Requires, TakesBulkBody } from '#libs/platform';
import { answeredMade } from './quota-answers.js';
import { ChangeUsageCommand } from './quota.commands.js';
import { GetReservationQuery } from './quota.queries.js';
import { commitOf, reservationOf } from './quota-wish.js';
import { CommitBody, ExtendBody, ProjectPath, ReserveBatchBody, ReserveBody, UsagePath } from './quotas.dto.js';
import {
  allocationView,
  AllocationView,
  type BatchResultView,
  checkView,
  type CheckView,
  reservationView,
  ReservationView,
  ReserveBatchView,
} from './quotas.views.js';
import { type BatchResult, ReserveBatchCommand, violationsOf } from './reserve-batch.command.js';
import type { QuotaOutcome } from './writer/mailbox.js';

const viewOf = (answer: QuotaOutcome<'Reserve'>['answer']): ReservationView | CheckView =>
  answer.kind === 'check' ? checkView(answer) : reservationView(answer);

function resultView(result: BatchResult): BatchResultView {
  const { id, status } = result;
  if (status === 'done') {
    const { answer } = result;
    return answer.kind === 'check'
      ? { id, status, check: checkView(answer) }
      : { id, status, reservation: reservationView(answer) };
  }
  const { code, detail } = result.refusal;
  const violations = violationsOf(result.refusal);
  return { id, status, code, detail, ...(violations.length === 0 ? {} : { violations }) };
}

@ApiTags('reservations')
@Controller('/v1/projects/:projectId/reservations')
export class ReservationsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Post()
  @Requires('reservations:write', 'deferred')
  @ApiOperation({ summary: 'Sets amounts aside until they are committed, released, or their time is over' })
  @ApiCreatedResponse({ type: ReservationView })
  @ApiOkResponse({ type: ReservationView, description: 'Reserved before; a CheckView for CHECK_ONLY.' })
  async reserve(
    @Param() { projectId }: ProjectPath,
    @Body() body: ReserveBody,
    @Context() context: RequestContext,
  ): Promise<ReservationView | CheckView> {
    const outcome = await this.commands.execute(new ChangeUsageCommand(projectId, reservationOf(body), context));
    answeredMade(context, outcome);
    return viewOf(outcome.answer);
  }

  /** Each by itself: one that is refused changes nothing of the others. The ids make it repeatable. */
  @Post('batch')
  @ApiOperation({ summary: 'Up to 100 reservations, each decided by itself' })
  @HttpCode(200)
  @TakesBulkBody()
  @Requires('reservations:write', 'deferred')
  @ApiOkResponse({ type: ReserveBatchView })
  async batch(
    @Param() { projectId }: ProjectPath,
    @Body() { reservations }: ReserveBatchBody,
    @Context() context: RequestContext,
  ): Promise<ReserveBatchView> {
    const command = new ReserveBatchCommand(projectId, reservations.map(reservationOf), context);
    const { results, position } = await this.commands.execute(command);
    context.answered({ position });
    return { results: results.map(resultView) };
  }

  @Get(':id')
  @Requires('reservations:read', 'list')
  @ApiOkResponse({ type: ReservationView })
  get(@Param() { projectId, id }: UsagePath, @Context() context: RequestContext): Promise<ReservationView> {
    return this.queries.execute(new GetReservationQuery(projectId, id, context));
  }

  @Post(':id/commit')
  @ApiOperation({ summary: 'Makes an allocation of the same id of all or a part; the rest is given back' })
  @HttpCode(200)
  @Requires('reservations:write', 'deferred')
  @ApiOkResponse({ type: AllocationView })
  async commit(
    @Param() { projectId, id }: UsagePath,
    @Body() body: CommitBody,
    @Context() context: RequestContext,
  ): Promise<AllocationView> {
    const command = new ChangeUsageCommand(projectId, commitOf(id, body), context);
    const { answer, position } = await this.commands.execute(command);
    context.answered({ position });
    return allocationView(answer);
  }

  @Post(':id/release')
  @ApiOperation({ summary: 'Gives back what was reserved; again changes nothing' })
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
  @ApiOperation({ summary: 'Lets it live longer, up to 24 hours from when it was made' })
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

import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Context, type Page, type RequestContext, Requires } from '#libs/platform';
import { answeredMade } from './quota-answers.js';
import { ChangeUsageCommand } from './quota.commands.js';
import { ListAllocationsQuery } from './quota.queries.js';
import { allocationOf, resizeOf } from './quota-wish.js';
import { AllocateBody, AllocationsQuery, ProjectPath, ResizeBody, ResourceRefQuery, UsagePath } from './quotas.dto.js';
import { AllocationList, allocationView, AllocationView, checkView, type CheckView } from './quotas.views.js';

@ApiTags('allocations')
@Controller('/v1/projects/:projectId/allocations')
export class AllocationsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Post()
  @Requires('reservations:write', 'deferred')
  @ApiOperation({ summary: 'Reserves and commits in one' })
  @ApiCreatedResponse({ type: AllocationView })
  @ApiOkResponse({ type: AllocationView, description: 'Allocated before; a CheckView for CHECK_ONLY.' })
  async allocate(
    @Param() { projectId }: ProjectPath,
    @Body() body: AllocateBody,
    @Context() context: RequestContext,
  ): Promise<AllocationView | CheckView> {
    const outcome = await this.commands.execute(new ChangeUsageCommand(projectId, allocationOf(body), context));
    answeredMade(context, outcome);
    const { answer } = outcome;
    return answer.kind === 'check' ? checkView(answer) : allocationView(answer);
  }

  @Get()
  @Requires('reservations:read', 'list')
  @ApiOkResponse({ type: AllocationList })
  list(
    @Param() { projectId }: ProjectPath,
    @Query() query: AllocationsQuery,
    @Context() context: RequestContext,
  ): Promise<Page<AllocationView>> {
    return this.queries.execute(new ListAllocationsQuery(projectId, query, context));
  }

  @Post(':id/resize')
  @ApiOperation({ summary: 'All that it shall use from now on; growth is held to the limits, what shrinks never is' })
  @HttpCode(200)
  @Requires('reservations:write', 'deferred')
  @ApiOkResponse({ type: AllocationView })
  async resize(
    @Param() { projectId, id }: UsagePath,
    @Body() body: ResizeBody,
    @Context() context: RequestContext,
  ): Promise<AllocationView | CheckView> {
    const command = new ChangeUsageCommand(projectId, resizeOf(id, body), context);
    const { answer, position } = await this.commands.execute(command);
    context.answered({ position });
    return answer.kind === 'check' ? checkView(answer) : allocationView(answer);
  }

  @Delete()
  @ApiOperation({ summary: 'Gives back what a resource uses, by its resourceRef' })
  @Requires('reservations:write', 'deferred')
  @ApiOkResponse({ type: AllocationView })
  releaseOf(
    @Param() { projectId }: ProjectPath,
    @Query() { resourceRef }: ResourceRefQuery,
    @Context() context: RequestContext,
  ): Promise<AllocationView> {
    return this.releaseBy(projectId, { resourceRef }, context);
  }

  @Delete(':id')
  @ApiOperation({ summary: 'Gives back what is used; again changes nothing' })
  @Requires('reservations:write', 'deferred')
  @ApiOkResponse({ type: AllocationView })
  release(@Param() { projectId, id }: UsagePath, @Context() context: RequestContext): Promise<AllocationView> {
    return this.releaseBy(projectId, { id }, context);
  }

  private async releaseBy(
    projectId: string,
    by: { readonly id: string } | { readonly resourceRef: string },
    context: RequestContext,
  ): Promise<AllocationView> {
    const wish = { type: 'ReleaseAllocation', by } as const;
    const { answer, position } = await this.commands.execute(new ChangeUsageCommand(projectId, wish, context));
    context.answered({ position });
    return allocationView(answer);
  }
}

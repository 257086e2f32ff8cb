import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { QuotaScope } from '#libs/contracts';
import { Context, type RequestContext, Requires, TakesBulkBody } from '#libs/platform';
import { BulkSetLimitsCommand, ChangeLimitCommand, ChangeQuotaPolicyCommand } from './quota.commands.js';
import { answeredLimit, answeredPolicy } from './quota-answers.js';
import { GetLimitQuery, GetOwnQuotasQuery, GetQuotaPolicyQuery } from './quota.queries.js';
import { bulkOf, byDefault, clearingOf, limitOf, ofMember, ofProject } from './quota-wish.js';
import {
  BulkSetLimitsBody,
  ClearLimitBody,
  FreezeBody,
  LimitPath,
  MemberLimitPath,
  ProjectPath,
  QuotaPolicyBody,
  QuotasQuery,
  SetLimitBody,
} from './quotas.dto.js';
import { bulkLimitsView, BulkLimitsView, LimitView, OwnQuotasView, QuotaPolicyView } from './quotas.views.js';

@ApiTags('quotas')
@Controller('/v1/projects/:projectId')
export class QuotasController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Get('quotas/me')
  @ApiOperation({ summary: 'The caller’s own rows' })
  @Requires('quotas:read', 'self')
  @ApiOkResponse({ type: OwnQuotasView })
  async own(
    @Param() { projectId }: ProjectPath,
    @Query() { service }: QuotasQuery,
    @Context() context: RequestContext,
  ): Promise<OwnQuotasView> {
    const view = await this.queries.execute(new GetOwnQuotasQuery(projectId, service, context));
    context.answered({ position: view.position });
    return view;
  }

  @Post('quotas/bulk')
  @ApiOperation({ summary: 'Up to 500 limits of any scope, all or none unless told' })
  @HttpCode(200)
  @TakesBulkBody()
  @Requires('quotas:write-member', 'deferred')
  @ApiOkResponse({ type: BulkLimitsView })
  async bulk(
    @Param() { projectId }: ProjectPath,
    @Body() body: BulkSetLimitsBody,
    @Context() context: RequestContext,
  ): Promise<BulkLimitsView> {
    const command = new BulkSetLimitsCommand(projectId, bulkOf(body), body.reason ?? null, context);
    const { answer, position } = await this.commands.execute(command);
    context.answered({ position });
    return bulkLimitsView(answer);
  }

  @Post('quotas/freeze')
  @ApiOperation({ summary: 'Grants nothing more; `drain` lets no reservation be committed either' })
  @HttpCode(200)
  @Requires('quotas:write', 'project')
  @ApiOkResponse({ type: QuotaPolicyView })
  async freeze(
    @Param() { projectId }: ProjectPath,
    @Body() { mode }: FreezeBody,
    @Context() context: RequestContext,
  ): Promise<QuotaPolicyView> {
    const command = new ChangeQuotaPolicyCommand(projectId, { type: 'FreezeQuota', mode }, context);
    return answeredPolicy(context, await this.commands.execute(command));
  }

  @Post('quotas/unfreeze')
  @ApiOperation({ summary: 'Grants again' })
  @HttpCode(200)
  @Requires('quotas:write', 'project')
  @ApiOkResponse({ type: QuotaPolicyView })
  async unfreeze(@Param() { projectId }: ProjectPath, @Context() context: RequestContext): Promise<QuotaPolicyView> {
    const command = new ChangeQuotaPolicyCommand(projectId, { type: 'UnfreezeQuota' }, context);
    return answeredPolicy(context, await this.commands.execute(command));
  }

  @Get('quota-policy')
  @Requires('quotas:read', 'project')
  @ApiOkResponse({ type: QuotaPolicyView })
  async policy(@Param() { projectId }: ProjectPath, @Context() context: RequestContext): Promise<QuotaPolicyView> {
    const { view, revision, position } = await this.queries.execute(new GetQuotaPolicyQuery(projectId, context));
    context.answered({ revision, position });
    return view;
  }

  @Put('quota-policy')
  @ApiOperation({ summary: 'Whether the members’ limits may together exceed the project’s' })
  @Requires('quotas:write', 'project')
  @ApiOkResponse({ type: QuotaPolicyView })
  async setPolicy(
    @Param() { projectId }: ProjectPath,
    @Body() { overcommit }: QuotaPolicyBody,
    @Context() context: RequestContext,
  ): Promise<QuotaPolicyView> {
    const change = { type: 'SetQuotaPolicy', overcommit, ifMatch: context.ifMatch } as const;
    return answeredPolicy(
      context,
      await this.commands.execute(new ChangeQuotaPolicyCommand(projectId, change, context)),
    );
  }

  @Get('quotas/:service/:resource')
  @ApiOperation({ summary: 'The limit of the project, with its ETag' })
  @Requires('quotas:read', 'project')
  @ApiOkResponse({ type: LimitView })
  limit(@Param() path: LimitPath, @Context() context: RequestContext): Promise<LimitView> {
    return this.limitAt(path, ofProject, context);
  }

  @Put('quotas/:service/:resource')
  @ApiOperation({ summary: 'Sets the limit of the project; below usage it takes force' })
  @Requires('quotas:write', 'project')
  @ApiOkResponse({ type: LimitView })
  setLimit(
    @Param() path: LimitPath,
    @Body() body: SetLimitBody,
    @Context() context: RequestContext,
  ): Promise<LimitView> {
    return this.set(path, ofProject, body, context);
  }

  @Delete('quotas/:service/:resource')
  @ApiOperation({ summary: 'Takes away the limit of the project, so that what it inherits holds' })
  @Requires('quotas:write', 'project')
  @ApiOkResponse({ type: LimitView })
  clearLimit(
    @Param() path: LimitPath,
    @Body() body: ClearLimitBody,
    @Context() context: RequestContext,
  ): Promise<LimitView> {
    return this.clear(path, ofProject, body, context);
  }

  @Get('member-default-quotas/:service/:resource')
  @ApiOperation({ summary: 'The limit of every member that has none of its own, with its ETag' })
  @Requires('quotas:read', 'project')
  @ApiOkResponse({ type: LimitView })
  memberDefault(@Param() path: LimitPath, @Context() context: RequestContext): Promise<LimitView> {
    return this.limitAt(path, byDefault, context);
  }

  @Put('member-default-quotas/:service/:resource')
  @ApiOperation({ summary: 'Sets the limit of every member that has none of its own; below usage it takes force' })
  @Requires('quotas:write-member', 'project')
  @ApiOkResponse({ type: LimitView })
  setMemberDefault(
    @Param() path: LimitPath,
    @Body() body: SetLimitBody,
    @Context() context: RequestContext,
  ): Promise<LimitView> {
    return this.set(path, byDefault, body, context);
  }

  @Delete('member-default-quotas/:service/:resource')
  @ApiOperation({
    summary: 'Takes away the limit of every member that has none of its own, so that what it inherits holds',
  })
  @Requires('quotas:write-member', 'project')
  @ApiOkResponse({ type: LimitView })
  clearMemberDefault(
    @Param() path: LimitPath,
    @Body() body: ClearLimitBody,
    @Context() context: RequestContext,
  ): Promise<LimitView> {
    return this.clear(path, byDefault, body, context);
  }

  @Get('members/:userId/quotas/:service/:resource')
  @ApiOperation({ summary: 'The limit of a member, with its ETag' })
  @Requires('quotas:read', 'member')
  @ApiOkResponse({ type: LimitView })
  memberLimit(@Param() path: MemberLimitPath, @Context() context: RequestContext): Promise<LimitView> {
    return this.limitAt(path, ofMember(path.userId), context);
  }

  @Put('members/:userId/quotas/:service/:resource')
  @ApiOperation({ summary: 'Sets the limit of a member; below usage it takes force' })
  @Requires('quotas:write-member', 'project')
  @ApiOkResponse({ type: LimitView })
  setMemberLimit(
    @Param() path: MemberLimitPath,
    @Body() body: SetLimitBody,
    @Context() context: RequestContext,
  ): Promise<LimitView> {
    return this.set(path, ofMember(path.userId), body, context);
  }

  @Delete('members/:userId/quotas/:service/:resource')
  @ApiOperation({ summary: 'Takes away the limit of a member, so that what it inherits holds' })
  @Requires('quotas:write-member', 'project')
  @ApiOkResponse({ type: LimitView })
  clearMemberLimit(
    @Param() path: MemberLimitPath,
    @Body() body: ClearLimitBody,
    @Context() context: RequestContext,
  ): Promise<LimitView> {
    return this.clear(path, ofMember(path.userId), body, context);
  }

  private async limitAt(
    { projectId, service, resource }: LimitPath,
    scope: QuotaScope,
    context: RequestContext,
  ): Promise<LimitView> {
    const query = new GetLimitQuery(projectId, scope, { service, resource }, context);
    const { view, position } = await this.queries.execute(query);
    context.answered({ revision: view.revision, position });
    return view;
  }

  private async set(
    { projectId, ...name }: LimitPath,
    scope: QuotaScope,
    body: SetLimitBody,
    context: RequestContext,
  ): Promise<LimitView> {
    const change = limitOf(scope, name, body, context.ifMatch);
    const command = new ChangeLimitCommand(projectId, change, body.reason ?? null, context);
    return answeredLimit(context, await this.commands.execute(command));
  }

  private async clear(
    { projectId, ...name }: LimitPath,
    scope: QuotaScope,
    body: ClearLimitBody,
    context: RequestContext,
  ): Promise<LimitView> {
    const change = clearingOf(scope, name, body, context.ifMatch);
    const command = new ChangeLimitCommand(projectId, change, body.reason ?? null, context);
    return answeredLimit(context, await this.commands.execute(command));
  }
}

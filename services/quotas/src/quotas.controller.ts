import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { QuotaScope } from '#libs/contracts';
import { Context, type RequestContext, Requires, TakesBulkBody } from '#libs/platform';
import type { PolicyAnswer } from './domain/commands.js';
import { BulkSetLimitsCommand, ChangeLimitCommand, ChangeQuotaPolicyCommand } from './quota.commands.js';
import { answeredLimit } from './quota-answers.js';
import { GetLimitQuery, GetOwnQuotasQuery, GetQuotaPolicyQuery, GetQuotasQuery } from './quota.queries.js';
import {
  BulkSetLimitsBody,
  ClearLimitBody,
  FreezeBody,
  type LimitItemBody,
  LimitPath,
  MemberLimitPath,
  ProjectPath,
  QuotaPolicyBody,
  QuotasQuery,
  SetLimitBody,
} from './quotas.dto.js';
import {
  BulkLimitsView,
  limitView,
  LimitView,
  OwnQuotasView,
  ProjectQuotasView,
  QuotaPolicyView,
} from './quotas.views.js';
import type { QuotaOutcome } from './writer/mailbox.js';

const ofProject: QuotaScope = { type: 'project', userId: null };
const byDefault: QuotaScope = { type: 'memberDefault', userId: null };
const of = (userId: string): QuotaScope => ({ type: 'member', userId });

const scopeOf = ({ scope, userId }: LimitItemBody): QuotaScope =>
  (scope ?? (userId === undefined ? 'project' : 'member')) === 'member'
    ? of(userId ?? '')
    : { type: scope ?? 'project', userId: null };

@ApiTags('quotas')
@Controller('/v1/projects/:projectId')
export class QuotasController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Get('quotas')
  @Requires('quotas:read', 'project')
  @ApiOkResponse({ type: ProjectQuotasView })
  async page(
    @Param() { projectId }: ProjectPath,
    @Query() { service }: QuotasQuery,
    @Context() context: RequestContext,
  ): Promise<ProjectQuotasView> {
    const view = await this.queries.execute(new GetQuotasQuery(projectId, service, context));
    context.answered({ position: view.position });
    return view;
  }

  @Get('quotas/me')
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
  @HttpCode(200)
  @TakesBulkBody()
  @Requires('quotas:write-member', 'deferred')
  @ApiOkResponse({ type: BulkLimitsView })
  async bulk(
    @Param() { projectId }: ProjectPath,
    @Body() { items, atomic = true, dryRun = false, force = false, reason }: BulkSetLimitsBody,
    @Context() context: RequestContext,
  ): Promise<BulkLimitsView> {
    const wishes = items.map((item) => ({
      scope: scopeOf(item),
      service: item.service,
      resource: item.resource,
      limit: item.limit,
      soft: item.soft ?? null,
      ifMatch: item.ifMatch,
    }));
    const change = { type: 'BulkSetQuota', items: wishes, atomic, dryRun, force } as const;
    const command = new BulkSetLimitsCommand(projectId, change, reason ?? null, context);
    const { answer, position } = await this.commands.execute(command);
    context.answered({ position });
    return {
      results: answer.results.map((result) =>
        result.status === 'done' ? { status: 'done', limit: limitView(result.limit) } : result,
      ),
    };
  }

  @Post('quotas/freeze')
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
  @Requires('quotas:read', 'project')
  @ApiOkResponse({ type: LimitView })
  limit(@Param() path: LimitPath, @Context() context: RequestContext): Promise<LimitView> {
    return this.limitAt(path, ofProject, context);
  }

  @Put('quotas/:service/:resource')
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
  @Requires('quotas:read', 'project')
  @ApiOkResponse({ type: LimitView })
  memberDefault(@Param() path: LimitPath, @Context() context: RequestContext): Promise<LimitView> {
    return this.limitAt(path, byDefault, context);
  }

  @Put('member-default-quotas/:service/:resource')
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
  @Requires('quotas:read', 'member')
  @ApiOkResponse({ type: LimitView })
  memberLimit(@Param() path: MemberLimitPath, @Context() context: RequestContext): Promise<LimitView> {
    return this.limitAt(path, of(path.userId), context);
  }

  @Put('members/:userId/quotas/:service/:resource')
  @Requires('quotas:write-member', 'project')
  @ApiOkResponse({ type: LimitView })
  setMemberLimit(
    @Param() path: MemberLimitPath,
    @Body() body: SetLimitBody,
    @Context() context: RequestContext,
  ): Promise<LimitView> {
    return this.set(path, of(path.userId), body, context);
  }

  @Delete('members/:userId/quotas/:service/:resource')
  @Requires('quotas:write-member', 'project')
  @ApiOkResponse({ type: LimitView })
  clearMemberLimit(
    @Param() path: MemberLimitPath,
    @Body() body: ClearLimitBody,
    @Context() context: RequestContext,
  ): Promise<LimitView> {
    return this.clear(path, of(path.userId), body, context);
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
    { projectId, service, resource }: LimitPath,
    scope: QuotaScope,
    { limit, soft = null, force = false, reason }: SetLimitBody,
    context: RequestContext,
  ): Promise<LimitView> {
    const { ifMatch } = context;
    const change = { type: 'SetQuota', scope, service, resource, limit, soft, force, ifMatch } as const;
    return answeredLimit(
      context,
      await this.commands.execute(new ChangeLimitCommand(projectId, change, reason ?? null, context)),
    );
  }

  private async clear(
    { projectId, service, resource }: LimitPath,
    scope: QuotaScope,
    { force = false, reason }: ClearLimitBody,
    context: RequestContext,
  ): Promise<LimitView> {
    const change = { type: 'ClearQuota', scope, service, resource, force, ifMatch: context.ifMatch } as const;
    return answeredLimit(
      context,
      await this.commands.execute(new ChangeLimitCommand(projectId, change, reason ?? null, context)),
    );
  }
}

function answeredPolicy(
  context: RequestContext,
  { answer, position }: QuotaOutcome & { readonly answer: PolicyAnswer },
): QuotaPolicyView {
  const { overcommit, frozen, closed, revision } = answer;
  context.answered({ revision, position });
  return { overcommit, frozen, closed };
}

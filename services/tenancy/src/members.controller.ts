import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Context, type Page, type RequestContext, Requires } from '#libs/platform';
import { answered, answeredChange } from './answered.js';
import { PutMemberCommand, ResumeMemberCommand, SuspendMemberCommand } from './member.commands.js';
import { RemoveMemberCommand } from './removal.commands.js';
import { GetMemberQuery } from './standing.queries.js';
import {
  MemberPath,
  MembersQuery,
  profileOf,
  ProjectPath,
  PutMemberBody,
  removalOf,
  RemovalQuery,
} from './tenancy.dto.js';
import { MemberList, MemberView } from './tenancy.views.js';
import { ListMembersQuery } from './tenancy.queries.js';

@ApiTags('members')
@Controller('/v1/projects/:projectId/members')
export class MembersController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Get()
  @Requires('members:read', 'list')
  @ApiOkResponse({ type: MemberList })
  list(
    @Param() { projectId }: ProjectPath,
    @Query() query: MembersQuery,
    @Context() context: RequestContext,
  ): Promise<Page<MemberView>> {
    return this.queries.execute(new ListMembersQuery(projectId, query, context));
  }

  @Get(':userId')
  @Requires('members:read', 'member')
  @ApiOkResponse({ type: MemberView })
  async get(@Param() { projectId, userId }: MemberPath, @Context() context: RequestContext): Promise<MemberView> {
    return answered(context, await this.queries.execute(new GetMemberQuery(projectId, userId, context)));
  }

  @Put(':userId')
  @Requires('members:write', 'member')
  @ApiOkResponse({ type: MemberView })
  @ApiCreatedResponse({ type: MemberView })
  async put(
    @Param() { projectId, userId }: MemberPath,
    @Body() body: PutMemberBody,
    @Context() context: RequestContext,
  ): Promise<MemberView> {
    const command = new PutMemberCommand(projectId, userId, body.role, profileOf(body), context);
    return answeredChange(context, await this.commands.execute(command));
  }

  @Delete(':userId')
  @HttpCode(204)
  @Requires('members:write', 'member')
  @ApiNoContentResponse({ description: 'The keys of the member are refused from now on, and revoked soon after.' })
  async remove(
    @Param() { projectId, userId }: MemberPath,
    @Query() query: RemovalQuery,
    @Context() context: RequestContext,
  ): Promise<void> {
    const command = new RemoveMemberCommand(projectId, userId, removalOf(query, 'query'), context);
    context.answered(await this.commands.execute(command));
  }

  @Post(':userId/suspend')
  @HttpCode(200)
  @Requires('members:write', 'member')
  @ApiOkResponse({ type: MemberView })
  async suspend(@Param() { projectId, userId }: MemberPath, @Context() context: RequestContext): Promise<MemberView> {
    const { view } = await this.commands.execute(new SuspendMemberCommand(projectId, userId, context));
    return answered(context, view);
  }

  @Post(':userId/resume')
  @HttpCode(200)
  @Requires('members:write', 'member')
  @ApiOkResponse({ type: MemberView })
  async resume(@Param() { projectId, userId }: MemberPath, @Context() context: RequestContext): Promise<MemberView> {
    const { view } = await this.commands.execute(new ResumeMemberCommand(projectId, userId, context));
    return answered(context, view);
  }
}

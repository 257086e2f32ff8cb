import { Body, Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Context, type Page, type RequestContext, Requires } from '#libs/platform';
import { answered } from './answered.js';
import { CloseProjectCommand, CreateProjectCommand } from './project.commands.js';
import { GetProjectQuery } from './standing.queries.js';
import { CreateProjectBody, ProjectPath, ProjectsQuery, TenantPath } from './tenancy.dto.js';
import { ProjectList, ProjectView } from './tenancy.views.js';
import { ListProjectsQuery } from './tenancy.queries.js';

@ApiTags('projects')
@Controller('/v1')
export class ProjectsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Post('tenants/:tenantId/projects')
  @Requires('projects:write', 'tenant')
  @ApiCreatedResponse({ type: ProjectView })
  async create(
    @Param() { tenantId }: TenantPath,
    @Body() { id, name }: CreateProjectBody,
    @Context() context: RequestContext,
  ): Promise<ProjectView> {
    const { view } = await this.commands.execute(new CreateProjectCommand(tenantId, id, name, context));
    return answered(context, view);
  }

  @Get('projects')
  @Requires('projects:read', 'list')
  @ApiOkResponse({ type: ProjectList })
  list(@Query() query: ProjectsQuery, @Context() context: RequestContext): Promise<Page<ProjectView>> {
    return this.queries.execute(new ListProjectsQuery(query, context));
  }

  @Get('projects/:projectId')
  @Requires('projects:read', 'project')
  @ApiOkResponse({ type: ProjectView })
  async get(@Param() { projectId }: ProjectPath, @Context() context: RequestContext): Promise<ProjectView> {
    return answered(context, await this.queries.execute(new GetProjectQuery(projectId, context)));
  }

  @Post('projects/:projectId/close')
  @HttpCode(200)
  @Requires('projects:write', 'project')
  @ApiOkResponse({ type: ProjectView })
  async close(@Param() { projectId }: ProjectPath, @Context() context: RequestContext): Promise<ProjectView> {
    const { view } = await this.commands.execute(new CloseProjectCommand(projectId, context));
    return answered(context, view);
  }
}

import { Body, Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Context, type Page, type RequestContext, Requires } from '#libs/platform';
import { GetTenantQuery } from './standing.queries.js';
import { answered } from './answered.js';
import { CreateTenantBody, TenantPath, TenantsQuery } from './tenancy.dto.js';
import { TenantList, TenantView } from './tenancy.views.js';
import { ListTenantsQuery } from './tenancy.queries.js';
import { CreateTenantCommand, ResumeTenantCommand, SuspendTenantCommand } from './tenant.commands.js';

@ApiTags('tenants')
@Controller('/v1/tenants')
export class TenantsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Post()
  @Requires('tenants:write', 'platform')
  @ApiCreatedResponse({ type: TenantView })
  async create(@Body() { id, name }: CreateTenantBody, @Context() context: RequestContext): Promise<TenantView> {
    const { view } = await this.commands.execute(new CreateTenantCommand(id, name, context));
    return answered(context, view);
  }

  @Get()
  @Requires('tenants:read', 'list')
  @ApiOkResponse({ type: TenantList })
  list(@Query() query: TenantsQuery, @Context() context: RequestContext): Promise<Page<TenantView>> {
    return this.queries.execute(new ListTenantsQuery(query, context));
  }

  @Get(':tenantId')
  @Requires('tenants:read', 'tenant')
  @ApiOkResponse({ type: TenantView })
  async get(@Param() { tenantId }: TenantPath, @Context() context: RequestContext): Promise<TenantView> {
    return answered(context, await this.queries.execute(new GetTenantQuery(tenantId, context)));
  }

  @Post(':tenantId/suspend')
  @HttpCode(200)
  @Requires('tenants:write', 'tenant')
  @ApiOkResponse({ type: TenantView })
  async suspend(@Param() { tenantId }: TenantPath, @Context() context: RequestContext): Promise<TenantView> {
    const { view } = await this.commands.execute(new SuspendTenantCommand(tenantId, context));
    return answered(context, view);
  }

  @Post(':tenantId/resume')
  @HttpCode(200)
  @Requires('tenants:write', 'tenant')
  @ApiOkResponse({ type: TenantView })
  async resume(@Param() { tenantId }: TenantPath, @Context() context: RequestContext): Promise<TenantView> {
    const { view } = await this.commands.execute(new ResumeTenantCommand(tenantId, context));
    return answered(context, view);
  }
}

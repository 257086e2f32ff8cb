import { Body, Controller, Delete, Get, HttpCode, Param, Put } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { KeyPolicy } from '#libs/contracts';
import { Context, type RequestContext, Requires } from '#libs/platform';
import { answeredPolicy } from './answered.js';
import { SetProjectKeyPolicyCommand } from './project.commands.js';
import { GetProjectKeyPolicyQuery, GetTenantKeyPolicyQuery } from './standing.queries.js';
import { KeyPolicyBody, policyOf, ProjectPath, TenantPath } from './tenancy.dto.js';
import { SetTenantKeyPolicyCommand } from './tenant.commands.js';

@ApiTags('key policies')
@Controller('/v1')
export class KeyPoliciesController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Get('tenants/:tenantId/key-policy')
  @Requires('policies:read', 'tenant')
  @ApiOkResponse({ type: KeyPolicyBody })
  async ofTenant(@Param() { tenantId }: TenantPath, @Context() context: RequestContext): Promise<KeyPolicy> {
    return answeredPolicy(context, await this.queries.execute(new GetTenantKeyPolicyQuery(tenantId, context)));
  }

  @Put('tenants/:tenantId/key-policy')
  @Requires('policies:write', 'tenant')
  @ApiOkResponse({ type: KeyPolicyBody })
  async setOfTenant(
    @Param() { tenantId }: TenantPath,
    @Body() body: KeyPolicyBody,
    @Context() context: RequestContext,
  ): Promise<KeyPolicy> {
    const command = new SetTenantKeyPolicyCommand(tenantId, policyOf(body), context);
    return answeredPolicy(context, await this.commands.execute(command));
  }

  @Delete('tenants/:tenantId/key-policy')
  @HttpCode(204)
  @Requires('policies:write', 'tenant')
  @ApiNoContentResponse()
  async removeOfTenant(@Param() { tenantId }: TenantPath, @Context() context: RequestContext): Promise<void> {
    answeredPolicy(context, await this.commands.execute(new SetTenantKeyPolicyCommand(tenantId, null, context)));
  }

  @Get('projects/:projectId/key-policy')
  @Requires('policies:read', 'project')
  @ApiOkResponse({ type: KeyPolicyBody })
  async ofProject(@Param() { projectId }: ProjectPath, @Context() context: RequestContext): Promise<KeyPolicy> {
    return answeredPolicy(context, await this.queries.execute(new GetProjectKeyPolicyQuery(projectId, context)));
  }

  @Put('projects/:projectId/key-policy')
  @Requires('policies:write', 'project')
  @ApiOkResponse({ type: KeyPolicyBody })
  async setOfProject(
    @Param() { projectId }: ProjectPath,
    @Body() body: KeyPolicyBody,
    @Context() context: RequestContext,
  ): Promise<KeyPolicy> {
    const command = new SetProjectKeyPolicyCommand(projectId, policyOf(body), context);
    return answeredPolicy(context, await this.commands.execute(command));
  }

  @Delete('projects/:projectId/key-policy')
  @HttpCode(204)
  @Requires('policies:write', 'project')
  @ApiNoContentResponse()
  async removeOfProject(@Param() { projectId }: ProjectPath, @Context() context: RequestContext): Promise<void> {
    answeredPolicy(context, await this.commands.execute(new SetProjectKeyPolicyCommand(projectId, null, context)));
  }
}

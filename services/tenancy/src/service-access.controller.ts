import { Controller, Delete, HttpCode, Param, Put } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Context, type RequestContext, Requires } from '#libs/platform';
import { answered } from './answered.js';
import { ChangeServiceAccessCommand } from './member.commands.js';
import { ServiceAccessPath } from './tenancy.dto.js';
import { MemberView } from './tenancy.views.js';

@ApiTags('service access')
@Controller('/v1/projects/:projectId/members/:userId/services/:service')
export class ServiceAccessController {
  constructor(private readonly commands: CommandBus) {}

  @Put()
  @Requires('service-access:write', 'member')
  @ApiOkResponse({ type: MemberView })
  async grant(
    @Param() { service, ...place }: ServiceAccessPath,
    @Context() context: RequestContext,
  ): Promise<MemberView> {
    const command = new ChangeServiceAccessCommand('GrantService', place, service, context);
    return answered(context, (await this.commands.execute(command)).view);
  }

  @Delete()
  @HttpCode(204)
  @Requires('service-access:write', 'member')
  @ApiNoContentResponse()
  async revoke(@Param() { service, ...place }: ServiceAccessPath, @Context() context: RequestContext): Promise<void> {
    const command = new ChangeServiceAccessCommand('RevokeService', place, service, context);
    answered(context, (await this.commands.execute(command)).view);
  }
}

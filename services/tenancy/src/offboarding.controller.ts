import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Context, type RequestContext, Requires } from '#libs/platform';
import { OffboardUserCommand } from './removal.commands.js';
import { OffboardBody, removalOf, UserPath } from './tenancy.dto.js';
import { OffboardView } from './tenancy.views.js';

@ApiTags('members')
@Controller('/v1/tenants/:tenantId/users/:userId/offboard')
export class OffboardingController {
  constructor(private readonly commands: CommandBus) {}

  @Post()
  @HttpCode(200)
  @Requires('members:write', 'user')
  @ApiOkResponse({ type: OffboardView })
  async offboard(
    @Param() { tenantId, userId }: UserPath,
    @Body() body: OffboardBody,
    @Context() context: RequestContext,
  ): Promise<OffboardView> {
    const removal = removalOf(body, 'body');
    const command = new OffboardUserCommand(tenantId, userId, removal, body.comment ?? null, context);
    const { view, position } = await this.commands.execute(command);
    context.answered({ position });
    return view;
  }
}

import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Context, ndjsonLines, type RequestContext, Requires, Streamed } from '#libs/platform';
import { ProjectPath } from '../quotas.dto.js';
import { ReconcileUsageCommand } from './reconcile.command.js';
import { ReconciledView } from './reconcile.dto.js';

@ApiTags('allocations')
@Controller('/v1/projects/:projectId')
export class ReconcileController {
  constructor(private readonly commands: CommandBus) {}

  @Post('reconcile')
  @HttpCode(200)
  @Streamed()
  @Requires('reservations:reconcile', 'project')
  @ApiOkResponse({ type: ReconciledView })
  async reconcile(
    @Param() { projectId }: ProjectPath,
    @Body() body: unknown,
    @Context() context: RequestContext,
  ): Promise<ReconciledView> {
    const command = new ReconcileUsageCommand(projectId, ndjsonLines(body), context);
    const { view, position } = await this.commands.execute(command);
    context.answered({ position });
    return view;
  }
}

import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Context, ndjsonLines, type RequestContext, Requires, Streamed } from '#libs/platform';
import { ProjectPath } from '../quotas.dto.js';
import { ReconcileUsageCommand } from './reconcile.command.js';
import { ReconciledView, ReportHeader, ReportLine } from './reconcile.dto.js';

@ApiTags('allocations')
@Controller('/v1/projects/:projectId')
export class ReconcileController {
  constructor(private readonly commands: CommandBus) {}

  @Post('reconcile')
  @ApiOperation({
    summary: 'Holds a report of what really runs against the ledger, and makes the ledger agree',
    description: 'NDJSON: a ReportHeader, then a ReportLine a resource. What it leaves out is taken for gone.',
  })
  @ApiExtraModels(ReportHeader, ReportLine)
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

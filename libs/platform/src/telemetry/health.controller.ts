import { Controller, Get, Header, HttpStatus, Res } from '@nestjs/common';
import { ApiOkResponse, ApiProduces, ApiServiceUnavailableResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Quiet } from '../http/route-options.js';
import { Metrics } from './metrics.js';
import { Readiness, type ReadinessAnswer } from './readiness.js';
import { Open } from '../auth/requires.js';

const readinessSchema = {
  type: 'object',
  required: ['ready', 'checks'],
  properties: {
    ready: { type: 'boolean' },
    appendOnlyByGrant: { type: 'boolean' },
    checks: {
      type: 'object',
      additionalProperties: { type: 'object', required: ['ok'], properties: { ok: { type: 'boolean' } } },
    },
  },
} as const;

/** What orchestrators and Prometheus ask. All of it is open, so none of it names tenants, keys or hosts. */
@ApiTags('system')
@Open()
@Controller()
export class HealthController {
  constructor(
    private readonly readiness: Readiness,
    private readonly metrics: Metrics,
  ) {}

  @Get('healthz')
  @Quiet()
  @ApiOkResponse({ schema: { type: 'object', properties: { alive: { type: 'boolean' } } } })
  healthz(): { alive: true } {
    return { alive: true };
  }

  @Get('readyz')
  @Quiet()
  @ApiOkResponse({ schema: readinessSchema as never })
  @ApiServiceUnavailableResponse({ schema: readinessSchema as never })
  async readyz(@Res({ passthrough: true }) reply: FastifyReply): Promise<ReadinessAnswer> {
    const answer = await this.readiness.answer();
    reply.status(answer.ready ? HttpStatus.OK : HttpStatus.SERVICE_UNAVAILABLE);
    return answer;
  }

  @Get('metrics')
  @Quiet()
  @ApiProduces('text/plain')
  @ApiOkResponse({ schema: { type: 'string' } })
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  async prometheus(): Promise<string> {
    return this.metrics.registry.metrics();
  }
}

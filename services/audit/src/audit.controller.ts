import { Controller, Get, Headers, Query, type StreamableFile } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiExtraModels, ApiOkResponse, ApiTags, getSchemaPath } from '@nestjs/swagger';
import {
  AuditedEvent,
  AuditedEventList,
  Context,
  NDJSON,
  ndjsonAnswer,
  type Page,
  Readiness,
  type RequestContext,
  Requires,
  validationRefusal,
  wantsNdjson,
} from '#libs/platform';
import { AuditEventsQuery } from './audit.dto.js';
import { ListHistoryQuery, ReplayHistoryQuery } from './audit.queries.js';

@ApiTags('audit')
@ApiExtraModels(AuditedEvent, AuditedEventList)
@Controller('/v1/audit')
export class AuditController {
  constructor(
    private readonly queries: QueryBus,
    private readonly readiness: Readiness,
  ) {}

  /** Ascending by position; pages of JSON, or all of it as NDJSON by `Accept: application/x-ndjson`. */
  @Get('events')
  @Requires('audit:read', 'list')
  @ApiOkResponse({
    description: 'A page; by `Accept: application/x-ndjson` everything, one event a line.',
    content: {
      'application/json': { schema: { $ref: getSchemaPath(AuditedEventList) } },
      [NDJSON]: { schema: { $ref: getSchemaPath(AuditedEvent) } },
    },
  })
  async events(
    @Query() query: AuditEventsQuery,
    @Headers('accept') accept: string | undefined,
    @Context() context: RequestContext,
  ): Promise<Page<AuditedEvent> | StreamableFile> {
    if (!wantsNdjson(accept)) return this.queries.execute(new ListHistoryQuery(query, context));
    const ofPages = (['limit', 'cursor'] as const).filter((name) => query[name] !== undefined);
    if (ofPages.length > 0)
      throw validationRefusal(ofPages.map((name) => ({ location: `query.${name}`, message: 'is for JSON pages' })));
    const batches = await this.queries.execute(new ReplayHistoryQuery(query, context));
    return ndjsonAnswer(batches, { signal: this.readiness.drainSignal });
  }
}

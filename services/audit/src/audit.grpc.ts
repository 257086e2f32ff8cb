import { Injectable, type OnModuleInit } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import {
  auditMessage,
  GrpcServer,
  readFields,
  type RequestContext,
  serverStream,
  withoutPosition,
} from '#libs/platform';
import { HistoryFilter } from './audit.dto.js';
import { ReplayHistoryQuery } from './audit.queries.js';

/** The history over gRPC (steward.v1.AuditService). */
@Injectable()
export class AuditGrpc implements OnModuleInit {
  constructor(
    private readonly server: GrpcServer,
    private readonly queries: QueryBus,
  ) {}

  onModuleInit(): void {
    this.server.addService('steward/v1/audit.proto', 'steward.v1.AuditService', {
      readEvents: serverStream('audit:read', 'list', (request, context) => this.messages(request, context)),
    });
  }

  private async *messages(request: unknown, context: RequestContext): AsyncGenerator<object, void, undefined> {
    const wish = readFields(HistoryFilter, withoutPosition(request), 'request');
    for await (const events of await this.queries.execute(new ReplayHistoryQuery(wish, context)))
      for (const event of events) yield auditMessage(event);
  }
}

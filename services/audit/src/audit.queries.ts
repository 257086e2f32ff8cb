import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type AuditedEvent, type Page, PAGE_LIMIT_DEFAULT, type RequestContext } from '#libs/platform';
import type { AuditEventsQuery, HistoryFilter } from './audit.dto.js';
import { HistoryReader } from './history-reader.js';

export class ListHistoryQuery extends Query<Page<AuditedEvent>> {
  constructor(
    readonly wish: AuditEventsQuery,
    readonly context: RequestContext,
  ) {
    super();
  }
}

/** Nothing is read before the first batch is asked for. */
export class ReplayHistoryQuery extends Query<AsyncGenerator<AuditedEvent[], void, undefined>> {
  constructor(
    readonly wish: HistoryFilter,
    readonly context: RequestContext,
  ) {
    super();
  }
}

@QueryHandler(ListHistoryQuery)
export class ListHistoryHandler implements IQueryHandler<ListHistoryQuery> {
  constructor(private readonly history: HistoryReader) {}

  execute({ wish, context }: ListHistoryQuery): Promise<Page<AuditedEvent>> {
    const { limit = PAGE_LIMIT_DEFAULT, cursor, ...filter } = wish;
    return this.history.page(filter, { limit, cursor }, context);
  }
}

@QueryHandler(ReplayHistoryQuery)
export class ReplayHistoryHandler implements IQueryHandler<ReplayHistoryQuery> {
  constructor(private readonly history: HistoryReader) {}

  execute({ wish, context }: ReplayHistoryQuery): Promise<AsyncGenerator<AuditedEvent[], void, undefined>> {
    return Promise.resolve(this.history.replay(wish, context));
  }
}

export const auditQueryHandlers = [ListHistoryHandler, ReplayHistoryHandler];

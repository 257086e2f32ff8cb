import { Controller, Get, Headers, Param, Query, type StreamableFile } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import {
  Context,
  csvAnswer,
  type CsvColumns,
  JsonOrCsv,
  type Page,
  Readiness,
  type RequestContext,
  Requires,
  wantsCsv,
} from '#libs/platform';
import { GetQuotasQuery, ListReservationsQuery } from '../quota.queries.js';
import { ProjectPath, ReservationsQuery } from '../quotas.dto.js';
import { ProjectQuotasView, ReservationList, type ReservationView } from '../quotas.views.js';
import {
  allPages,
  holdToAll,
  limitChangeColumns,
  type PageWish,
  quotaPageColumns,
  quotaPageLines,
  reservationColumns,
  usageColumns,
  usageLines,
} from './report-csv.js';
import { GetUsageHistoryQuery, ListLimitChangesQuery } from './report.queries.js';
import {
  LimitChangeList,
  LimitChangesQuery,
  type LimitChangeView,
  QuotaPageQuery,
  UsageHistoryQuery,
  UsageHistoryView,
} from './reports.dto.js';

async function* once<Row>(rows: readonly Row[]): AsyncGenerator<readonly Row[], void, undefined> {
  yield await Promise.resolve(rows);
}

/** What is read of a project's quotas by people and spreadsheets, from the read model. */
@ApiTags('quotas')
@Controller('/v1/projects/:projectId')
export class ReportsController {
  constructor(
    private readonly queries: QueryBus,
    private readonly readiness: Readiness,
  ) {}

  @Get('quotas')
  @Requires('quotas:read', 'project')
  @JsonOrCsv(ProjectQuotasView)
  async page(
    @Param() { projectId }: ProjectPath,
    @Query() { service, format }: QuotaPageQuery,
    @Headers('accept') accept: string | undefined,
    @Context() context: RequestContext,
  ): Promise<ProjectQuotasView | StreamableFile> {
    const view = await this.queries.execute(new GetQuotasQuery(projectId, service, context));
    context.answered({ position: view.position });
    if (!wantsCsv(accept, format)) return view;
    return this.csv(quotaPageColumns, once(quotaPageLines(view)), `quotas-${projectId}`);
  }

  /** What was used and reserved, by the hour or day of UTC. */
  @Get('usage-history')
  @Requires('quotas:read', 'deferred')
  @JsonOrCsv(UsageHistoryView)
  async usageHistory(
    @Param() { projectId }: ProjectPath,
    @Query() { format, ...query }: UsageHistoryQuery,
    @Headers('accept') accept: string | undefined,
    @Context() context: RequestContext,
  ): Promise<UsageHistoryView | StreamableFile> {
    const view = await this.queries.execute(new GetUsageHistoryQuery(projectId, query, context));
    if (!wantsCsv(accept, format)) return view;
    return this.csv(usageColumns, once(usageLines(view)), `usage-${projectId}`);
  }

  @Get('reservations')
  @ApiTags('reservations')
  @Requires('reservations:read', 'list')
  @JsonOrCsv(ReservationList)
  reservations(
    @Param() { projectId }: ProjectPath,
    @Query() query: ReservationsQuery,
    @Headers('accept') accept: string | undefined,
    @Context() context: RequestContext,
  ): Promise<Page<ReservationView> | StreamableFile> {
    const { format, ...filter } = query;
    const read = (page: PageWish): Promise<Page<ReservationView>> =>
      this.queries.execute(new ListReservationsQuery(projectId, { ...filter, ...page }, context));
    if (!wantsCsv(accept, format)) return read({});
    holdToAll(query);
    return this.csv(reservationColumns, allPages(read), `reservations-${projectId}`);
  }

  /** Who changed which limit, when, from what to what and why; the newest first. */
  @Get('quota-changes')
  @Requires('quotas:history', 'list')
  @JsonOrCsv(LimitChangeList)
  changes(
    @Param() { projectId }: ProjectPath,
    @Query() query: LimitChangesQuery,
    @Headers('accept') accept: string | undefined,
    @Context() context: RequestContext,
  ): Promise<Page<LimitChangeView> | StreamableFile> {
    const { format, ...filter } = query;
    const read = (page: PageWish): Promise<Page<LimitChangeView>> =>
      this.queries.execute(new ListLimitChangesQuery(projectId, { ...filter, ...page }, context));
    if (!wantsCsv(accept, format)) return read({});
    holdToAll(query);
    return this.csv(limitChangeColumns, allPages(read), `quota-changes-${projectId}`);
  }

  private csv<Row>(
    columns: CsvColumns<Row>,
    batches: AsyncIterable<readonly Row[]>,
    name: string,
  ): Promise<StreamableFile> {
    return csvAnswer(columns, batches, `${name}.csv`, { signal: this.readiness.drainSignal });
  }
}

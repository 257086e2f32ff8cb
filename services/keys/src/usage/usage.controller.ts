import { Controller, Get, Headers, Param, Query, type StreamableFile } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import {
  Context,
  csvAnswer,
  type CsvColumns,
  JsonOrCsv,
  Readiness,
  type RequestContext,
  Requires,
  wantsCsv,
} from '#libs/platform';
import { KeyPath, ProjectPath } from '../keys.dto.js';
import {
  AllKeyUsageQuery,
  AllKeyUsageView,
  KeyUsageQuery,
  KeyUsageView,
  ProjectKeyUsageQuery,
  ProjectKeyUsageView,
  type KeyUsageBucketView,
} from './usage.dto.js';
import { GetAllKeyUsageQuery, GetKeyUsageQuery, GetProjectKeyUsageQuery } from './usage.queries.js';

interface UsageLine {
  readonly start: string;
  readonly code: string;
  readonly verifications: number;
}

const columns: CsvColumns<UsageLine> = {
  start: ({ start }) => start,
  code: ({ code }) => code,
  verifications: ({ verifications }) => verifications,
};

async function* lines(buckets: readonly KeyUsageBucketView[]): AsyncGenerator<readonly UsageLine[], void, undefined> {
  yield await Promise.resolve(
    buckets.flatMap(({ start, codes }) => codes.map(({ code, verifications }) => ({ start, code, verifications }))),
  );
}

/** How often keys were verified, by when and with what code. Counts may be a second behind, and a crash loses as much. */
@ApiTags('keys')
@Controller('/v1')
export class UsageController {
  constructor(
    private readonly queries: QueryBus,
    private readonly readiness: Readiness,
  ) {}

  @Get('keys/:keyId/usage')
  @Requires('keys:read', 'key')
  @JsonOrCsv(KeyUsageView)
  async ofKey(
    @Param() { keyId }: KeyPath,
    @Query() { format, ...query }: KeyUsageQuery,
    @Headers('accept') accept: string | undefined,
  ): Promise<KeyUsageView | StreamableFile> {
    const view = await this.queries.execute(new GetKeyUsageQuery(keyId, query));
    return wantsCsv(accept, format) ? this.csv(view.buckets, `usage-${keyId}`) : view;
  }

  @Get('projects/:projectId/key-usage')
  @Requires('keys:read', 'project')
  @JsonOrCsv(ProjectKeyUsageView)
  async ofProject(
    @Param() { projectId }: ProjectPath,
    @Query() { format, ...query }: ProjectKeyUsageQuery,
    @Headers('accept') accept: string | undefined,
  ): Promise<ProjectKeyUsageView | StreamableFile> {
    const view = await this.queries.execute(new GetProjectKeyUsageQuery(projectId, query));
    return wantsCsv(accept, format) ? this.csv(view.buckets, `key-usage-${projectId}`) : view;
  }

  /** Of a tenant, or of the whole platform. */
  @Get('key-usage')
  @Requires('keys:read', 'deferred')
  @JsonOrCsv(AllKeyUsageView)
  async ofAll(
    @Query() { format, ...query }: AllKeyUsageQuery,
    @Headers('accept') accept: string | undefined,
    @Context() context: RequestContext,
  ): Promise<AllKeyUsageView | StreamableFile> {
    const view = await this.queries.execute(new GetAllKeyUsageQuery(query, context));
    return wantsCsv(accept, format) ? this.csv(view.buckets, `key-usage-${query.tenantId ?? 'all'}`) : view;
  }

  private csv(buckets: readonly KeyUsageBucketView[], name: string): Promise<StreamableFile> {
    return csvAnswer(columns, lines(buckets), `${name}.csv`, { signal: this.readiness.drainSignal });
  }
}

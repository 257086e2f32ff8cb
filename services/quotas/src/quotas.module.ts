import { Global, Inject, Module, type OnModuleInit } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { IndexFollower } from '#libs/eventsourcing';
import { InternalModule, MemberUsage } from '#libs/platform';
import { ProjectionHost, ReactorHost } from '#libs/postgres';
import { AllocationsController } from './allocations.controller.js';
import { CatalogueIndex } from './catalogue/catalogue-index.js';
import { CatalogueController } from './catalogue/catalogue.controller.js';
import { MemberUsageGrpc } from './members/member-usage.grpc.js';
import { QuotaMemberUsage } from './members/quota-member-usage.js';
import { QuotaOffboarding } from './members/quota-offboarding.reactor.js';
import { QuotaRights } from './quota-rights.js';
import { quotaCommandHandlers } from './quota.commands.js';
import { quotaQueryHandlers } from './quota.queries.js';
import { QuotasGrpc } from './quotas.grpc.js';
import { QuotasController } from './quotas.controller.js';
import { reportQueryHandlers } from './read-models/report.queries.js';
import { ReportsController } from './read-models/reports.controller.js';
import { quotasProjection } from './read-models/quotas.projection.js';
import { ReconcileUsageHandler } from './reconcile/reconcile.command.js';
import { ReconcileController } from './reconcile/reconcile.controller.js';
import { TakenReports } from './reconcile/taken-report.js';
import { ReserveBatchHandler } from './reserve-batch.command.js';
import { ReservationsController } from './reservations.controller.js';
import { UsageGrpc } from './usage.grpc.js';
import { QuotaLedgers } from './writer/quota-ledgers.js';
import { quotaWriterProviders } from './writer/quota-writer.providers.js';

/** The quota ledgers of all projects. StorageModule and AuthModule stand beside it; it gives tenancy MemberUsage. */
@Global()
@Module({
  imports: [CqrsModule, InternalModule],
  controllers: [
    CatalogueController,
    QuotasController,
    ReservationsController,
    AllocationsController,
    ReconcileController,
    ReportsController,
  ],
  providers: [
    CatalogueIndex,
    MemberUsageGrpc,
    QuotaOffboarding,
    QuotaRights,
    QuotasGrpc,
    ReconcileUsageHandler,
    ReserveBatchHandler,
    TakenReports,
    UsageGrpc,
    { provide: MemberUsage, useClass: QuotaMemberUsage },
    ...quotaCommandHandlers,
    ...quotaQueryHandlers,
    ...reportQueryHandlers,
    ...quotaWriterProviders,
  ],
  exports: [MemberUsage, QuotaLedgers],
})
export class QuotasModule implements OnModuleInit {
  constructor(
    @Inject(IndexFollower) private readonly follower: IndexFollower,
    private readonly catalogue: CatalogueIndex,
    private readonly projections: ProjectionHost,
    private readonly reactors: ReactorHost,
    private readonly offboarding: QuotaOffboarding,
  ) {}

  onModuleInit(): void {
    this.follower.register(this.catalogue);
    this.projections.register(quotasProjection);
    this.reactors.register(this.offboarding);
  }
}

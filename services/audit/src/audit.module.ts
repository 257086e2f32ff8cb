import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { AuditController } from './audit.controller.js';
import { AuditGrpc } from './audit.grpc.js';
import { auditQueryHandlers } from './audit.queries.js';
import { HistoryReader } from './history-reader.js';

/** The history for auditors; it owns no aggregate and no table. */
@Module({
  imports: [CqrsModule],
  controllers: [AuditController],
  providers: [HistoryReader, AuditGrpc, ...auditQueryHandlers],
})
export class AuditModule {}

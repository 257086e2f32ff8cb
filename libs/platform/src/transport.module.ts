import { Global, Module } from '@nestjs/common';
import { GrpcServer } from './grpc/grpc-server.js';
import { HealthController } from './telemetry/health.controller.js';
import { Metrics } from './telemetry/metrics.js';
import { Readiness } from './telemetry/readiness.js';
import { RequestContexts } from './requests/request-contexts.js';

/**
 * What every transport needs, once a process. Other global modules provide INSTALLATION_KEY, PositionGate, CONFIG, LOGGER
 * and the Gatekeeper.
 */
@Global()
@Module({
  controllers: [HealthController],
  providers: [GrpcServer, Metrics, Readiness, RequestContexts],
  exports: [GrpcServer, Metrics, Readiness, RequestContexts],
})
export class TransportModule {}

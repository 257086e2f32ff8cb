import { Global, Module } from '@nestjs/common';
import { GrpcServer } from './grpc/grpc-server.js';
import { HealthController } from './health.controller.js';
import { Metrics } from './metrics.js';
import { Readiness } from './readiness.js';
import { RequestContexts } from './request-contexts.js';

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

import { Global, Module } from '@nestjs/common';
import { GrpcServer } from './grpc/grpc-server.js';
import { RequestContexts } from './requests/request-contexts.js';
import { TelemetryModule } from './telemetry/telemetry.module.js';

/**
 * What every transport needs, once a process. Other global modules provide INSTALLATION_KEY, PositionGate, CONFIG, LOGGER
 * and the Gatekeeper.
 */
@Global()
@Module({
  imports: [TelemetryModule],
  providers: [GrpcServer, RequestContexts],
  exports: [GrpcServer, RequestContexts],
})
export class TransportModule {}

import { Global, Module } from '@nestjs/common';
import { HealthController } from './health.controller.js';
import { Metrics } from './metrics.js';
import { Readiness } from './readiness.js';
import { RequestContexts } from './request-contexts.js';

/** What every transport needs, once a process. Another global module provides INSTALLATION_KEY, PositionGate, CONFIG and LOGGER. */
@Global()
@Module({
  controllers: [HealthController],
  providers: [Metrics, Readiness, RequestContexts],
  exports: [Metrics, Readiness, RequestContexts],
})
export class TransportModule {}

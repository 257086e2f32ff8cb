import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/**
 * The metrics of this process. Others register theirs on `registry`:
 *
 *     new Gauge({ name: 'steward_projection_lag_ms', help: '...', registers: [metrics.registry], collect() {...} });
 *
 * Labels are names from a list (a route's pattern, a code), never an id or a text that a client sent.
 */
@Injectable()
export class Metrics {
  readonly registry = new Registry();
  readonly httpSeconds = new Histogram({
    name: 'steward_http_request_duration_seconds',
    help: 'From the first byte of the header to the last byte of the answer.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15],
    registers: [this.registry],
  });
  readonly grpcSeconds = new Histogram({
    name: 'steward_grpc_call_duration_seconds',
    help: 'From the arrival of a call to its status.',
    labelNames: ['method', 'code'] as const,
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** A gauge that is asked for its value when somebody looks. */
  gauge(name: string, help: string, valueOf: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(valueOf());
      },
    });
  }
}

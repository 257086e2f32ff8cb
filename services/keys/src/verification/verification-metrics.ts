import { Injectable } from '@nestjs/common';
import { Counter, Histogram } from 'prom-client';
import type { VerifyCode } from '#libs/contracts';
import { Metrics } from '#libs/platform';

/** Counts decisions. Counting is one addition; prom-client's own labels are paid for only when somebody looks. */
@Injectable()
export class VerificationMetrics {
  private readonly counts = new Map<VerifyCode, number>();
  private readonly seconds: Histogram;
  private missingVerifiers = 0;

  constructor(metrics: Metrics) {
    const { counts } = this;
    new Counter({
      name: 'steward_verifications_total',
      help: 'Decisions of verify, by code; every key of a batch counts.',
      labelNames: ['code'],
      registers: [metrics.registry],
      collect() {
        this.reset();
        for (const [code, count] of counts) this.inc({ code }, count);
      },
    });
    this.seconds = new Histogram({
      name: 'steward_verification_duration_seconds',
      help: 'From the request that was read to the answer that was made, one observation for a whole batch.',
      buckets: [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.25, 1, 2.5],
      registers: [metrics.registry],
    });
    metrics.gauge(
      'steward_verifiers_missing',
      'Verifiers whose data key is gone without having been destroyed; their keys answer NOT_FOUND. Above 0 is an alarm.',
      () => this.missingVerifiers,
    );
  }

  decided(code: VerifyCode): void {
    this.counts.set(code, (this.counts.get(code) ?? 0) + 1);
  }

  took(seconds: number): void {
    this.seconds.observe(seconds);
  }

  verifierMissing(): void {
    this.missingVerifiers += 1;
  }
}

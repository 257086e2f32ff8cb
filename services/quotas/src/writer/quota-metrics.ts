import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram } from 'prom-client';
import { Metrics } from '#libs/platform';
import type { WriterWatch } from './project-writer.js';

/** How the writers of this process fare, all projects together: a project's id is no label. */
@Injectable()
export class QuotaMetrics implements WriterWatch {
  private readonly batchCommands: Histogram;
  private readonly conflicts: Counter;
  private readonly waiting: Gauge;

  constructor({ registry }: Metrics) {
    const registers = [registry];
    this.batchCommands = new Histogram({
      name: 'steward_quota_batch_commands',
      help: 'Commands decided in one append of a project’s ledger; the count is the number of batches.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
      registers,
    });
    this.conflicts = new Counter({
      name: 'steward_quota_conflicts_total',
      help: 'Batches decided anew because another process had written to the project first.',
      registers,
    });
    this.waiting = new Gauge({
      name: 'steward_quota_mailbox_depth',
      help: 'Commands and reads that wait for their project’s writer, all projects together.',
      registers,
    });
  }

  appended(commands: number): void {
    this.batchCommands.observe(commands);
  }

  lostRace(): void {
    this.conflicts.inc();
  }

  waits(items: number): void {
    this.waiting.inc(items);
  }
}

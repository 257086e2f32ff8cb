import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { KeyUsageBatch } from '#libs/contracts';
import { LOGGER, POOL } from '#libs/platform';
import { inTransaction, isTransient } from '#libs/postgres';
import { KeyUsageSink, UsageBatchRefused } from './key-usage-sink.js';
import { UsagePruner } from './usage-pruner.js';
import { foldUsage } from './usage-tables.js';

/** Straight into the tables, as in one process. */
@Injectable()
export class TableSink extends KeyUsageSink implements OnModuleInit {
  private readonly pruner: UsagePruner;

  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(LOGGER) logger: Pick<Logger, 'warn'>,
  ) {
    super();
    this.pruner = new UsagePruner(pool, (err) => {
      logger.warn({ err }, 'Old usage of keys was not deleted; it is tried again.');
    });
  }

  onModuleInit(): void {
    this.pruner.start();
  }

  async take(batch: KeyUsageBatch): Promise<void> {
    try {
      await inTransaction(this.pool, (client) => foldUsage(client, batch));
    } catch (error) {
      throw isTransient(error) ? error : new UsageBatchRefused({ cause: error });
    }
  }

  override async close(): Promise<void> {
    await this.pruner.stop();
  }
}

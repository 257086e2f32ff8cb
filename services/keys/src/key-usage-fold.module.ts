import {
  type DynamicModule,
  Injectable,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import type { Pool } from 'pg';
import { type KafkaConfig, kafkaOf, LOGGER, type Logger, Metrics, POOL, Readiness } from '#libs/platform';
import { UsageFold } from './usage/usage-fold.js';
import { ensureUsageTopics } from './usage/usage-topic.js';

/** Folds what is published while the application runs. */
@Injectable()
class UsageFoldWatch implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    private readonly fold: UsageFold,
    readiness: Readiness,
    metrics: Metrics,
  ) {
    // Kafka out of reach makes nobody unready: read models and the API need none of it, and what waits is folded later.
    readiness.check('keyUsage', () => ({ ok: true, state: fold.state }));
    metrics.gauge(
      'steward_key_usage_folded_total',
      'Batches of key usage added to the tables.',
      () => fold.foldedCount,
    );
    metrics.gauge(
      'steward_key_usage_repeated_total',
      'Batches of key usage that came again and counted nothing.',
      () => fold.repeatedCount,
    );
    metrics.gauge(
      'steward_key_usage_dead_total',
      'Messages of key usage that could not be read, set aside in steward.keys.usage.dlq. Above 0 is a loss.',
      () => fold.deadCount,
    );
  }

  onApplicationBootstrap(): void {
    this.fold.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.fold.stop();
  }
}

/** The projector's end of what `KeyUsageModule.toKafka` publishes. */
@Module({})
export class KeyUsageFoldModule {
  static of(config: KafkaConfig): DynamicModule {
    const foldOf = (pool: Pool, logger: Logger): UsageFold => {
      const kafka = kafkaOf(config, logger);
      return new UsageFold({
        kafka,
        pool,
        prepare: () => ensureUsageTopics(kafka, config.topics),
        onRetry: (err) => {
          logger.warn({ err }, 'The usage of keys waits to be folded; it is tried again.');
        },
        onDeadLetter: ({ partition, offset }, err) => {
          logger.error({ partition, offset: String(offset), err }, 'A message of key usage cannot be read.');
        },
        onGap: (partition, messages) => {
          logger.error(
            { partition, messages: String(messages) },
            'Messages of key usage were gone before their folding.',
          );
        },
      });
    };
    return {
      module: KeyUsageFoldModule,
      providers: [{ provide: UsageFold, useFactory: foldOf, inject: [POOL, LOGGER] }, UsageFoldWatch],
    };
  }
}

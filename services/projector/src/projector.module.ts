import {
  type DynamicModule,
  Injectable,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { ensureTopics, EventPublisher, eventTopics } from '#libs/kafka';
import { type KafkaConfig, kafkaOf, type Logger, Metrics, Readiness, type Storage } from '#libs/platform';
import { EventRelay } from './event-relay.js';

/** Publishes the log to Kafka while the application runs. */
@Injectable()
class RelayWatch implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    private readonly relay: EventRelay,
    readiness: Readiness,
    metrics: Metrics,
  ) {
    // Kafka out of reach makes nobody unready: the API needs none of it, and what waits is published later.
    readiness.check('relay', () => {
      const { state, lagMs } = relay;
      return { ok: state !== 'failed', state, lagMs: lagMs === null ? null : Math.round(lagMs) };
    });
    metrics.gauge('steward_relay_lag_ms', 'How long the relay to Kafka has been behind the log.', () =>
      Math.round(relay.lagMs ?? 0),
    );
    metrics.gauge(
      'steward_relay_messages_total',
      'Messages published to Kafka, repeated ones too.',
      () => relay.publishedCount,
    );
  }

  onApplicationBootstrap(): void {
    this.relay.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.relay.stop();
  }
}

/** The relay of a process that has Kafka. */
@Module({})
export class ProjectorModule {
  static of(storage: Storage, config: KafkaConfig, logger: Logger): DynamicModule {
    return {
      module: ProjectorModule,
      providers: [{ provide: EventRelay, useValue: relayOf(storage, config, logger) }, RelayWatch],
    };
  }
}

function relayOf(storage: Storage, config: KafkaConfig, logger: Logger): EventRelay {
  const kafka = kafkaOf(config, logger);
  return new EventRelay({
    database: storage.pool,
    store: storage.store,
    publisher: new EventPublisher(kafka),
    prepare: () => ensureTopics(kafka, eventTopics, config.topics),
    onRetry: (err) => {
      logger.warn({ err }, 'The relay to Kafka waits; it is tried again.');
    },
    onFailure: (err) => {
      logger.error({ err }, 'The relay to Kafka stopped.');
    },
  });
}

import { type DynamicModule, Global, Module } from '@nestjs/common';
import { EventPublisher } from '#libs/kafka';
import { type KafkaConfig, kafkaOf, LOGGER, type Logger } from '#libs/platform';
import { KafkaSink } from './usage/kafka-sink.js';
import { KeyUsageSink } from './usage/key-usage-sink.js';
import { TableSink } from './usage/table-sink.js';
import { ensureUsageTopics } from './usage/usage-topic.js';

/** Where the usage of keys goes that verification counts; a composition with KeysModule imports one of the two. */
@Global()
@Module({})
export class KeyUsageModule {
  /** One process, or keys without Kafka. */
  static toTables(): DynamicModule {
    return {
      module: KeyUsageModule,
      providers: [{ provide: KeyUsageSink, useClass: TableSink }],
      exports: [KeyUsageSink],
    };
  }

  /** Keys apart; a projector folds it. */
  static toKafka(config: KafkaConfig): DynamicModule {
    const sinkOf = (logger: Logger): KafkaSink => {
      const kafka = kafkaOf(config, logger);
      return new KafkaSink({
        publisher: new EventPublisher(kafka),
        prepare: () => ensureUsageTopics(kafka, config.topics),
      });
    };
    return {
      module: KeyUsageModule,
      providers: [{ provide: KeyUsageSink, useFactory: sinkOf, inject: [LOGGER] }],
      exports: [KeyUsageSink],
    };
  }
}

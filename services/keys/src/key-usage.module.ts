import { type DynamicModule, Global, Module } from '@nestjs/common';
import { KeyUsageSink } from './usage/key-usage-sink.js';
import { TableSink } from './usage/table-sink.js';

/** Where the usage of keys goes that verification counts; a composition with KeysModule imports one of these. */
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
}

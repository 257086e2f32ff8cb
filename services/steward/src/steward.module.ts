import { type DynamicModule, Module } from '@nestjs/common';
import { type AppConfig, AuthModule, type Logger, type Storage, StorageModule, TransportModule } from '#libs/platform';
import { AuditModule } from '../../audit/src/audit.module.js';
import { KeysModule } from '../../keys/src/keys.module.js';
import { ProjectorModule } from '../../projector/src/projector.module.js';
import { QuotasModule } from '../../quotas/src/quotas.module.js';
import { TenancyModule } from '../../tenancy/src/tenancy.module.js';

/** Every service in one process: the only place that lists them all. */
@Module({})
export class StewardModule {
  static of(storage: Storage, config: AppConfig, logger: Logger): DynamicModule {
    return {
      module: StewardModule,
      imports: [
        StorageModule.of(storage, config, logger),
        TransportModule,
        AuthModule,
        KeysModule,
        QuotasModule,
        TenancyModule,
        AuditModule,
        ...(config.kafka === undefined ? [] : [ProjectorModule.of(storage, config.kafka, logger)]),
      ],
    };
  }
}

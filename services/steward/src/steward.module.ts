import { type DynamicModule, Module } from '@nestjs/common';
import type { Parts } from '#libs/platform';
import { AuditModule } from '../../audit/src/audit.module.js';
import { KeyUsageModule } from '../../keys/src/key-usage.module.js';
import { KeysModule } from '../../keys/src/keys.module.js';
import { ProjectorModule } from '../../projector/src/projector.module.js';
import { QuotasModule } from '../../quotas/src/quotas.module.js';
import { AdminBootstrap, TenancyModule } from '../../tenancy/src/tenancy.module.js';

/** Every service in one process: the only place that lists them all, and that makes the first administrator by itself. */
@Module({})
export class StewardModule {
  static of({ storage, config, logger }: Parts): DynamicModule {
    return {
      module: StewardModule,
      imports: [
        KeyUsageModule.toTables(),
        KeysModule,
        QuotasModule,
        TenancyModule,
        AuditModule,
        ...(config.kafka === undefined ? [] : [ProjectorModule.of(storage, config.kafka, logger)]),
      ],
      providers: [AdminBootstrap],
    };
  }
}

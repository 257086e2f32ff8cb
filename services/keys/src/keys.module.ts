import { Global, Module, type OnModuleInit } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { BootstrapKeys } from '#libs/platform';
import { ProjectionHost, ReactorHost } from '#libs/postgres';
import { AdministratorKeys } from './administrator-keys.js';
import { BulkSelections } from './bulk-selections.js';
import { ExpiryScheduler, TimeHandler } from './expiry.scheduler.js';
import { BulkChangeKeysHandler } from './key-bulk.js';
import { KeyFacts } from './key-facts.js';
import { ImportKeysHandler } from './key-import.js';
import { KeyOffboarding } from './key-offboarding.reactor.js';
import { KeyWriter } from './key-writer.js';
import { keyCommandHandlers } from './key.commands.js';
import { keyQueryHandlers } from './key.queries.js';
import { KeysController } from './keys.controller.js';
import { KeysGrpc } from './keys.grpc.js';
import { NewSecrets } from './new-secrets.js';
import { keyDeadlinesProjection } from './projections/key-deadlines.projection.js';
import { keyListProjection } from './projections/key-list.projection.js';
import { RepepperingModule } from './repeppering.js';
import { LastUses } from './usage/last-uses.js';
import { UsageController } from './usage/usage.controller.js';
import { usageQueryHandlers } from './usage/usage.queries.js';
import { VerificationModule } from './verification/verification.module.js';

// The command line makes an administrator's key without the rest of this module.
export { AdministratorKeys } from './administrator-keys.js';
export { NewSecrets } from './new-secrets.js';

/**
 * API keys: commands, queries, verification, and what time brings. Other global modules provide the storage, the
 * transports and the guard's parts; this one gives them BootstrapKeys, CredentialVerifier and KeyDirectory.
 */
@Global()
@Module({
  imports: [CqrsModule, RepepperingModule, VerificationModule],
  controllers: [KeysController, UsageController],
  providers: [
    BulkSelections,
    KeyFacts,
    KeyOffboarding,
    KeyWriter,
    LastUses,
    NewSecrets,
    ExpiryScheduler,
    { provide: BootstrapKeys, useClass: AdministratorKeys },
    ...keyCommandHandlers,
    BulkChangeKeysHandler,
    ImportKeysHandler,
    TimeHandler,
    KeysGrpc,
    ...keyQueryHandlers,
    ...usageQueryHandlers,
  ],
  exports: [BootstrapKeys],
})
export class KeysModule implements OnModuleInit {
  constructor(
    private readonly projections: ProjectionHost,
    private readonly reactors: ReactorHost,
    private readonly offboarding: KeyOffboarding,
  ) {}

  onModuleInit(): void {
    this.projections.register(keyListProjection);
    this.projections.register(keyDeadlinesProjection);
    this.reactors.register(this.offboarding);
  }
}

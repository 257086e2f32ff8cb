import { Module, type OnModuleInit } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { ProjectionHost } from '#libs/postgres';
import { KeyPoliciesController } from './key-policies.controller.js';
import { memberCommandHandlers } from './member.commands.js';
import { MembersController } from './members.controller.js';
import { OffboardingController } from './offboarding.controller.js';
import { People } from './people.js';
import { principalCommandHandlers } from './principal.commands.js';
import { PrincipalsController } from './principals.controller.js';
import { projectCommandHandlers } from './project.commands.js';
import { ProjectsController } from './projects.controller.js';
import { tenancyProjection } from './projections/tenancy.projection.js';
import { removalCommandHandlers } from './removal.commands.js';
import { ServiceAccessController } from './service-access.controller.js';
import { standingQueryHandlers } from './standing.queries.js';
import { TenancyGrpc } from './tenancy.grpc.js';
import { listQueryHandlers } from './tenancy.queries.js';
import { tenantCommandHandlers } from './tenant.commands.js';
import { TenantsController } from './tenants.controller.js';

// A composition imports modules only: whoever is to make the first administrator provides it, with BootstrapKeys beside it.
export { AdminBootstrap } from './bootstrap.js';

/** Tenants, projects, members and principals. StorageModule and AuthModule stand beside it. */
@Module({
  imports: [CqrsModule],
  controllers: [
    TenantsController,
    ProjectsController,
    MembersController,
    ServiceAccessController,
    OffboardingController,
    PrincipalsController,
    KeyPoliciesController,
  ],
  providers: [
    People,
    TenancyGrpc,
    ...tenantCommandHandlers,
    ...projectCommandHandlers,
    ...memberCommandHandlers,
    ...removalCommandHandlers,
    ...principalCommandHandlers,
    ...listQueryHandlers,
    ...standingQueryHandlers,
  ],
})
export class TenancyModule implements OnModuleInit {
  constructor(private readonly projections: ProjectionHost) {}

  onModuleInit(): void {
    this.projections.register(tenancyProjection);
  }
}

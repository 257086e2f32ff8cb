import { Module, type OnModuleInit } from '@nestjs/common';
import type { Projection } from '#libs/eventsourcing';
import { ProjectionHost } from '#libs/postgres';
import { keyDeadlinesProjection } from '../../keys/src/projections/key-deadlines.projection.js';
import { keyListProjection } from '../../keys/src/projections/key-list.projection.js';
import { quotasProjection } from '../../quotas/src/read-models/quotas.projection.js';
import { tenancyProjection } from '../../tenancy/src/projections/tenancy.projection.js';

/** Every read model of this release. */
export const readModels: readonly Projection[] = [
  tenancyProjection,
  keyListProjection,
  keyDeadlinesProjection,
  quotasProjection,
];

/** Runs the projections of all services. */
@Module({})
export class ReadModelsModule implements OnModuleInit {
  constructor(private readonly projections: ProjectionHost) {}

  onModuleInit(): void {
    for (const projection of readModels) this.projections.register(projection);
  }
}

import { PROJECTOR_DUTIES, type Program } from '#libs/platform';
import { KeyUsageFoldModule } from '../../keys/src/key-usage-fold.module.js';
import { ProjectorModule } from './projector.module.js';
import { ReadModelsModule } from './read-models.module.js';

/** All projections and the relay by themselves, for services that run apart. */
export const projectorProgram: Program = {
  service: 'projector',
  needs: ['STEWARD_DATABASE_URL'],
  duties: PROJECTOR_DUTIES,
  serves: 'health',
  modules: ({ storage, config, logger }) => [
    ReadModelsModule,
    ...(config.kafka === undefined
      ? []
      : [ProjectorModule.of(storage, config.kafka, logger), KeyUsageFoldModule.of(config.kafka)]),
  ],
};

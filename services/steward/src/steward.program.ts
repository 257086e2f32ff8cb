import { ALL_DUTIES, type Program } from '#libs/platform';
import { AdminBootstrap } from '../../tenancy/src/tenancy.module.js';
import { StewardModule } from './steward.module.js';

/** Every service in one process. */
export const stewardProgram: Program = {
  service: 'steward',
  needs: [],
  duties: ALL_DUTIES,
  serves: 'api',
  modules: (parts) => [StewardModule.of(parts)],
  beforeListening: (app) => app.get(AdminBootstrap, { strict: false }).ensureBootstrap(),
};

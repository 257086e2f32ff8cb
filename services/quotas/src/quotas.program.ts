import { API_DUTIES, NoKeyDirectoryModule, type Program, RemoteCredentialsModule } from '#libs/platform';
import { QuotasModule } from './quotas.module.js';

/** The quotas service by itself. None of its routes names a key. */
export const quotasProgram: Program = {
  service: 'quotas',
  needs: ['STEWARD_DATABASE_URL', 'STEWARD_INTERNAL_KEY_FILE', 'STEWARD_KEYS_GRPC_URL'],
  duties: API_DUTIES,
  serves: 'api',
  modules: () => [RemoteCredentialsModule, NoKeyDirectoryModule, QuotasModule],
};

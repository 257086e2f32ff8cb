import { API_DUTIES, NoKeyDirectoryModule, type Program, RemoteCredentialsModule } from '#libs/platform';
import { RemoteUsageModule } from './remote-usage.module.js';
import { TenancyModule } from './tenancy.module.js';

/** The tenancy service by itself. None of its routes names a key. */
export const tenancyProgram: Program = {
  service: 'tenancy',
  needs: ['STEWARD_DATABASE_URL', 'STEWARD_INTERNAL_KEY_FILE', 'STEWARD_KEYS_GRPC_URL', 'STEWARD_QUOTAS_GRPC_URL'],
  duties: API_DUTIES,
  serves: 'api',
  modules: () => [RemoteCredentialsModule, NoKeyDirectoryModule, RemoteUsageModule, TenancyModule],
};

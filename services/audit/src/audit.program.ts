import { API_DUTIES, type Program, RemoteCredentialsModule } from '#libs/platform';
import { AuditModule } from './audit.module.js';
import { KeyOwnersModule } from './key-owners/key-owners.module.js';

/** The audit service by itself: it finds out whose a key is from the log. */
export const auditProgram: Program = {
  service: 'audit',
  needs: ['STEWARD_DATABASE_URL', 'STEWARD_INTERNAL_KEY_FILE', 'STEWARD_KEYS_GRPC_URL'],
  duties: API_DUTIES,
  serves: 'api',
  modules: () => [RemoteCredentialsModule, KeyOwnersModule, AuditModule],
};

import type { AdminBootstrap } from '../../tenancy/src/tenancy.module.js';
import type { Session } from './session.js';

/**
 * How administrators are made without the program: parts of two services put together, as a composition does. They are
 * loaded here alone, so that no other command has to wait for them.
 */
export async function administratorsOf({ config, storage }: Session): Promise<AdminBootstrap> {
  const { AdminBootstrap } = await import('../../tenancy/src/tenancy.module.js');
  const { AdministratorKeys, NewSecrets } = await import('../../keys/src/keys.module.js');
  const { ledger, peppers, installationKey } = storage;
  return new AdminBootstrap(ledger, new AdministratorKeys(ledger, new NewSecrets(peppers), installationKey), config);
}

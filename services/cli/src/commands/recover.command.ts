import type { Command } from 'commander';
import { withStore } from '../session.js';
import type { Terminal } from '../terminal.js';

export function addRecover(admin: Command, terminal: Terminal): void {
  admin
    .command('recover')
    .description('make a new key of the bootstrap administrator, show it once and say so in the ledger')
    .action(async () => {
      // The services are loaded here alone: no other command has to wait for them.
      const { AdminBootstrap } = await import('../../../tenancy/src/tenancy.module.js');
      const { AdministratorKeys, NewSecrets } = await import('../../../keys/src/keys.module.js');
      const principalId = await withStore(terminal, ({ config, storage }) => {
        const { ledger, peppers, installationKey } = storage;
        const keys = new AdministratorKeys(ledger, new NewSecrets(peppers), installationKey);
        return new AdminBootstrap(ledger, keys, config).recover((text) => {
          terminal.print(text.replace(/\n$/, ''));
        });
      });
      terminal.print(
        `It is a key of the platform administrator ${principalId}. Earlier keys stand until they are revoked.`,
      );
    });
}

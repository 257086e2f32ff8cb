import type { Command } from 'commander';
import { administratorsOf } from '../administrators.js';
import { withStore } from '../session.js';
import type { Terminal } from '../terminal.js';

export function addRecover(admin: Command, terminal: Terminal): void {
  admin
    .command('recover')
    .description('make a new key of the bootstrap administrator, show it once and say so in the ledger')
    .action(async () => {
      const principalId = await withStore(terminal, async (session) =>
        (await administratorsOf(session)).recover((text) => {
          terminal.print(text.replace(/\n$/, ''));
        }),
      );
      terminal.print(
        `It is a key of the platform administrator ${principalId}. Earlier keys stand until they are revoked.`,
      );
    });
}

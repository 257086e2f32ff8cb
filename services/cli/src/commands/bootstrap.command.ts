import type { Command } from 'commander';
import { administratorsOf } from '../administrators.js';
import { withStore } from '../session.js';
import type { Terminal } from '../terminal.js';

export function addBootstrap(admin: Command, terminal: Terminal): void {
  admin
    .command('bootstrap')
    .description('make the tables, the key files and the first administrator of an empty store; a second time nothing')
    .action(async () => {
      const isMade = await withStore(
        terminal,
        async (session) =>
          (await administratorsOf(session)).ensureBootstrap((text) => {
            terminal.print(text.replace(/\n$/, ''));
          }),
        { makesStore: true },
      );
      if (!isMade)
        terminal.print('The store is not empty: its first administrator was made before. Nothing was changed.');
    });
}

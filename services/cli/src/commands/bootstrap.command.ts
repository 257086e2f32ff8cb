import type { Command } from 'commander';
import { administratorsOf } from '../administrators.js';
import { withStore } from '../session.js';
import type { Terminal } from '../terminal.js';

/** It runs in containers too, and what these print is kept by whoever keeps their logs. */
export const keyWords = (isAttended: boolean, text: string, keyFile: string): string =>
  isAttended ? text.replace(/\n$/, '') : `The administrator's key is in ${keyFile}.`;

export function addBootstrap(admin: Command, terminal: Terminal): void {
  admin
    .command('bootstrap')
    .description('make the tables, the key files and the first administrator of an empty store; a second time nothing')
    .action(async () => {
      const isMade = await withStore(
        terminal,
        async (session) =>
          (await administratorsOf(session)).ensureBootstrap((text, keyFile) => {
            terminal.print(keyWords(terminal.isAttended, text, keyFile));
          }),
        { makesStore: true },
      );
      if (!isMade)
        terminal.print('The store is not empty: its first administrator was made before. Nothing was changed.');
    });
}

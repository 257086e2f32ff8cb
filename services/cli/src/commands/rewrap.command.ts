import type { Command } from 'commander';
import { withStore } from '../session.js';
import { count, type Terminal } from '../terminal.js';

export function addRewrap(admin: Command, terminal: Terminal): void {
  admin
    .command('rewrap')
    .description('wrap every data key under the current version of the key-encryption key')
    .action(async () => {
      const rewrapped = await withStore(terminal, ({ storage }) => storage.dataKeys.rewrap());
      terminal.print(`${count(rewrapped)} data keys were wrapped anew.`);
    });
}

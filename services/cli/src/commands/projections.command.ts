import type { Command } from 'commander';
import { withStore } from '../session.js';
import { count, table, type Terminal } from '../terminal.js';

export function addProjections(program: Command, terminal: Terminal): void {
  program
    .command('projections')
    .description('how far every read model is')
    .option('--json', 'one JSON object instead of text')
    .action(async (options: { json?: boolean }) => {
      const { head, status } = await withStore(terminal, async ({ storage }) => ({
        head: await storage.store.head(),
        status: await storage.projections.status(),
      }));
      const rows = status.map(({ name, version, liveVersion, generation, position, parkedCount }) => ({
        projection: name,
        version,
        liveVersion,
        generation,
        position,
        parked: parkedCount,
      }));
      if (options.json === true) {
        terminal.print(JSON.stringify({ head, projections: rows }, undefined, 2));
        return;
      }
      const text = (value: number | string | null): string => (value === null ? '-' : String(value));
      terminal.print(
        table(
          ['projection', 'version', 'live version', 'generation', 'parked', 'position'],
          rows.map((row) => [
            row.projection,
            text(row.version),
            text(row.liveVersion),
            text(row.generation),
            count(row.parked),
            text(row.position),
          ]),
        ),
      );
      terminal.print(`The log ends at position ${head}.`);
    });
}

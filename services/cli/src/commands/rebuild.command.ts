import type { Command } from 'commander';
import { projections, withStore } from '../session.js';
import { count, perSecond, Progress, type Terminal } from '../terminal.js';

export function addRebuild(program: Command, terminal: Terminal): void {
  const known = projections.map(({ name }) => name);
  program
    .command('rebuild')
    .description('build read models anew beside the live ones and switch; Steward may run and write meanwhile')
    .argument('[projection...]', `which ones: ${known.join(', ')}`)
    .option('--all', 'every projection')
    .option('--json', 'one JSON object instead of text')
    .action(async (named: string[], options: { all?: boolean; json?: boolean }, command: Command) => {
      const unknown = named.find((name) => !known.includes(name));
      if (unknown !== undefined)
        command.error(`No projection is called ${unknown}; there are ${known.join(', ')}.`, { code: 'usage' });
      if (named.length > 0 === (options.all === true))
        command.error('Name the projections, or say --all.', { code: 'usage' });
      const rebuilt = await withStore(terminal, async ({ storage }) => {
        const results = [];
        for (const name of options.all === true ? known : [...new Set(named)]) {
          const progress = new Progress(terminal);
          const result = await storage.projections.rebuild(
            name,
            ({ eventsApplied }) => {
              progress.update(`${name}: ${count(eventsApplied)} events applied`);
            },
            terminal.signal,
          );
          progress.clear();
          results.push({ projection: name, ...result, durationMs: Math.round(result.durationMs) });
          if (options.json !== true)
            terminal.print(
              `${name}: ${count(result.eventsApplied)} events in ${perSecond(result.eventsApplied, result.durationMs)}; generation ${result.generation} is live at position ${result.position}.`,
            );
        }
        return results;
      });
      if (options.json === true) terminal.print(JSON.stringify({ rebuilt }, undefined, 2));
    });
}

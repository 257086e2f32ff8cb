import type { Command } from 'commander';
import type { ParkedEvent, RetryResult } from '#libs/postgres';
import { projections, withStore } from '../session.js';
import { count, EXIT_FAULT, table, type Terminal } from '../terminal.js';

export function addQuarantine(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  const quarantine = program
    .command('quarantine')
    .description('events that a read model could not apply, and those that wait behind them');
  addList(quarantine, terminal);

  const done = (key: string, result: RetryResult): void => {
    const { applied, remaining, reason } = result;
    terminal.print(
      remaining === 0
        ? `${count(applied)} events were applied; nothing is parked under ${key} any more.`
        : `${count(applied)} events were applied, ${count(remaining)} stay parked under ${key}: ${reason ?? 'no reason is known'}.`,
    );
    if (remaining > 0) exit(EXIT_FAULT);
  };

  quarantine
    .command('retry')
    .description('apply what is parked under a key, in order, up to the first event that fails again')
    .argument('<projection>')
    .argument('<key>', 'as `quarantine list` shows it')
    .action(async (projection: string, key: string, _options: unknown, command: Command) => {
      requireKnown(projection, command);
      done(key, await withStore(terminal, ({ storage }) => storage.projections.retryParked(projection, key)));
    });

  quarantine
    .command('skip')
    .description('leave out the event that holds a key up, for ever, and apply those behind it')
    .argument('<projection>')
    .argument('<key>', 'as `quarantine list` shows it')
    .requiredOption('--reason <text>', 'why; it is kept')
    .action(async (projection: string, key: string, options: { reason: string }, command: Command) => {
      requireKnown(projection, command);
      const reason = options.reason.trim();
      if (reason === '') command.error('The reason must say something.', { code: 'usage' });
      done(key, await withStore(terminal, ({ storage }) => storage.projections.skipParked(projection, key, reason)));
    });
}

function addList(quarantine: Command, terminal: Terminal): void {
  quarantine
    .command('list')
    .description('what is parked, in log order, at most 1,000 events')
    .argument('[projection]')
    .option('--json', 'one JSON object instead of text')
    .action(async (projection: string | undefined, options: { json?: boolean }, command: Command) => {
      if (projection !== undefined) requireKnown(projection, command);
      const parked = await withStore(terminal, ({ storage }) => storage.projections.listParked(projection));
      if (options.json === true) terminal.print(JSON.stringify({ parked }, undefined, 2));
      else if (parked.length === 0) terminal.print('Nothing is parked.');
      else terminal.print(parkedTable(parked));
    });
}

export const parkedTable = (parked: readonly ParkedEvent[]): string =>
  table(
    ['projection', 'key', 'event', 'type', 'position', 'attempts', 'parked at', 'reason'],
    parked.map((event) => [
      event.projection,
      event.key,
      `${event.stream}/${event.revision}`,
      event.type,
      event.position,
      count(event.attempts),
      event.parkedAt,
      event.reason ?? 'waits behind the one before',
    ]),
  );

function requireKnown(projection: string, command: Command): void {
  const known = projections.map(({ name }) => name);
  if (!known.includes(projection))
    command.error(`No projection is called ${projection}; there are ${known.join(', ')}.`, { code: 'usage' });
}

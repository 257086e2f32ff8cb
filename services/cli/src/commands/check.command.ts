import type { Command } from 'commander';
import { type CheckResult, checkStore } from '../check/check.js';
import type { Fault } from '../check/fault.js';
import { projections, withStore } from '../session.js';
import { count, EXIT_FAULT, perSecond, Progress, type Terminal } from '../terminal.js';

/** More than anybody reads; the number of all is told. */
const LISTED_FAULTS_MAX = 1_000;

export function addCheck(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  program
    .command('check')
    .description('read the whole ledger, prove it, and hold every read model against a fresh fold')
    .option('--json', 'one JSON object instead of text')
    .option('--no-read-models', 'leave the read models out')
    .action(async (options: { json?: boolean; readModels: boolean }) => {
      const listed: Fault[] = [];
      const progress = new Progress(terminal);
      const onFault = (fault: Fault): void => {
        if (listed.length >= LISTED_FAULTS_MAX) return;
        listed.push(fault);
        progress.clear();
        if (options.json !== true) terminal.print(faultLine(fault));
      };
      const result = await withStore(
        terminal,
        ({ storage }) =>
          checkStore({
            ...storage,
            connection: storage.database.connection,
            projections: options.readModels ? projections : [],
            onFault,
            onProgress: progress.update,
            signal: terminal.signal,
          }),
        // Else the check would itself do what it is to find undone.
        { destroysDueKeys: false },
      );
      progress.clear();
      if (options.json === true)
        terminal.print(JSON.stringify({ ...result, ok: result.faults === 0, listed }, undefined, 2));
      else terminal.print(summaryOf(result));
      if (result.faults > 0) exit(EXIT_FAULT);
    });
}

export function faultLine({ kind, stream, revision, position, detail }: Fault): string {
  const place = [
    ...(stream === undefined ? [] : [revision === undefined ? stream : `${stream}/${revision}`]),
    ...(position === undefined ? [] : [`position ${position}`]),
  ].join(' at ');
  return `FAULT ${kind}${place === '' ? '' : ` ${place}`}: ${detail}.`;
}

export function summaryOf(result: CheckResult): string {
  const { events, streams, head, destroyedDataKeys, faults, ledgerMs, readModels, readModelsMs } = result;
  const models = readModels.map(({ projection, state, tables }) => {
    const rows = tables.map((one) => `${one.table} ${count(one.rows)}`).join(', ');
    const words = {
      equal: `equal to a fold of the log (rows: ${rows})`,
      different: 'NOT equal to a fold of the log',
      absent: 'not built yet in this version',
    };
    return `  ${projection}: ${words[state]}`;
  });
  return [
    `Ledger: ${count(events)} events of ${count(streams)} streams up to position ${head}, ${count(destroyedDataKeys)} data keys destroyed; ${perSecond(events, ledgerMs)}.`,
    ...(readModels.length === 0 ? [] : [`Read models, in ${(readModelsMs / 1_000).toFixed(1)} s:`, ...models]),
    faults === 0 ? 'No fault was found.' : `${count(faults)} ${faults === 1 ? 'fault was' : 'faults were'} found.`,
  ].join('\n');
}

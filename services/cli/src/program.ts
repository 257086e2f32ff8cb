import { Command, CommanderError } from 'commander';
import { addBootstrap } from './commands/bootstrap.command.js';
import { addCheck } from './commands/check.command.js';
import { addProjections } from './commands/projections.command.js';
import { addQuarantine } from './commands/quarantine.command.js';
import { addRebuild } from './commands/rebuild.command.js';
import { addRecover } from './commands/recover.command.js';
import { addRetireVersion } from './commands/retire-version.command.js';
import { addRewrap } from './commands/rewrap.command.js';
import { EXIT_FAULT, EXIT_USAGE, sentenceOf, type Terminal } from './terminal.js';

/** Runs one command line (without `node` and the script) and answers the exit code: 0, 1 for a fault or failure, 64 for usage. */
export async function runSteward(args: readonly string[], terminal: Terminal): Promise<number> {
  let code = 0;
  const exit = (wanted: number): void => {
    code = wanted;
  };
  const program = new Command('steward')
    .description('Operates a Steward store. The environment names it, as for the program itself.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        terminal.print(text.trimEnd());
      },
      writeErr: terminal.tell,
    })
    .showHelpAfterError('(--help tells more)');
  addCheck(program, terminal, exit);
  addRebuild(program, terminal);
  addProjections(program, terminal);
  addQuarantine(program, terminal, exit);
  const admin = program.command('admin').description('keys of the installation and of its administrator');
  addBootstrap(admin, terminal);
  addRecover(admin, terminal);
  addRetireVersion(admin, terminal);
  addRewrap(admin, terminal);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    // Commander has told already what was wrong; help and version are asked for and no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    terminal.tell(`steward: ${terminal.signal.aborted ? 'Interrupted.' : sentenceOf(error)}\n`);
    return EXIT_FAULT;
  }
}

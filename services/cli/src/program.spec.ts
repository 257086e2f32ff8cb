import { readFileSync } from 'node:fs';
import { faultKinds } from './check/fault.js';
import { runSteward } from './program.js';
import { projections } from './session.js';
import { EXIT_FAULT, EXIT_USAGE } from './terminal.js';

interface Ran {
  readonly code: number;
  readonly printed: string;
  readonly told: string;
}

async function steward(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const printed: string[] = [];
  const told: string[] = [];
  const code = await runSteward(args, {
    // A folder that is never made: nothing here may get as far as a store.
    env: { STEWARD_DATA_DIR: '/nonexistent/steward', ...env },
    print: (text) => printed.push(text),
    tell: (text) => told.push(text),
    rewrites: false,
    isAttended: false,
    signal: new AbortController().signal,
  });
  return { code, printed: printed.join('\n'), told: told.join('') };
}

describe('the command line of steward', () => {
  it('answers help with exit code 0, and names every command', async () => {
    const { code, printed } = await steward(['--help']);
    expect(code).toBe(0);
    for (const command of ['check', 'rebuild', 'projections', 'quarantine', 'admin'])
      expect(printed).toContain(command);
    const { printed: ofAdmin } = await steward(['admin', '--help']);
    for (const command of ['bootstrap', 'recover', 'retire-version', 'rewrap']) expect(ofAdmin).toContain(command);
  });

  it.each([
    [[], 'Usage'],
    [['melt'], "unknown command 'melt'"],
    [['check', '--fast'], "unknown option '--fast'"],
    [['check', 'everything'], 'too many arguments'],
    [['rebuild'], 'Name the projections, or say --all.'],
    [['rebuild', 'key-list', '--all'], 'Name the projections, or say --all.'],
    [['rebuild', 'nope'], 'No projection is called nope'],
    [['quarantine', 'list', 'nope'], 'No projection is called nope'],
    [['quarantine', 'retry', 'key-list'], "missing required argument 'key'"],
    [['quarantine', 'skip', 'key-list', 'key-x'], "required option '--reason <text>'"],
    [['quarantine', 'skip', 'key-list', 'key-x', '--reason', ' '], 'The reason must say something.'],
    [['admin', 'retire-version', 'password', '1'], 'Allowed choices are kek, pepper'],
  ])('refuses %j with exit code 64 and says why', async (args, why) => {
    const { code, printed, told } = await steward(args);
    expect({ code, printed }).toEqual({ code: EXIT_USAGE, printed: '' });
    expect(told).toContain(why);
  });

  it('makes no store where none stands, and says so in one sentence', async () => {
    const { code, told } = await steward(['check']);
    expect(code).toBe(EXIT_FAULT);
    expect(told).toBe(
      'steward: No store stands in /nonexistent/steward: set STEWARD_DATA_DIR or STEWARD_DATABASE_URL as for the program.\n',
    );
  });

  it('names a wrong variable and never its value', async () => {
    const { code, told } = await steward(['projections'], { STEWARD_DATABASE_URL: 'mysql://root:hunter2@db' });
    expect(code).toBe(EXIT_FAULT);
    expect(told).toMatch(/^steward: .*STEWARD_DATABASE_URL must be a URL.*\n$/);
    expect(told).not.toContain('hunter2');
  });

  it('tells in one line that a database cannot be reached, without the password', async () => {
    const { code, told } = await steward(['projections'], {
      STEWARD_DATABASE_URL: 'postgres://steward:hunter2@127.0.0.1:1/steward',
    });
    expect(code).toBe(EXIT_FAULT);
    expect(told).toBe('steward: The database cannot be reached (ECONNREFUSED).\n');
  });

  it('has every kind of fault on the page that describes it', () => {
    const page = readFileSync(new URL('../../../docs/guides/command-line.md', import.meta.url), 'utf8');
    expect(faultKinds.filter((kind) => !page.includes(`\`${kind}\``))).toEqual([]);
  });

  it('knows every projection by a name of its own', () => {
    expect(new Set(projections.map(({ name }) => name)).size).toBe(projections.length);
  });
});

// What `npm run check` and `npm test` are made of: stages that run beside each other or alone, and their counts.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';

const CORES = availableParallelism();

/** Answers `{ok, output}`. With `shown` the output passes through as it comes, else it is kept. */
function run(command, args, shown) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: shown ? 'inherit' : ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    child.on('error', (error) => resolve({ ok: false, output: `${output}${error.message}\n` }));
    child.on('close', (status) => resolve({ ok: status === 0, output }));
  });
}

/** A stage that counts as one test: a script of package.json. */
export const script = (title, name, ...args) => ({
  title,
  async run(shown) {
    const { ok, output } = await run('npm', ['run', '--silent', name, '--', ...args], shown);
    return { ok, output, passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
  },
});

/** A stage that runs one Jest project; a suite that does not even load counts as one failure. */
export const jest = (project, ...args) => ({
  title: `${project} tests`,
  async run(shown) {
    const scratch = mkdtempSync(join(tmpdir(), 'steward-test-'));
    const outputFile = join(scratch, 'result.json');
    const { ok, output } = await run(
      'npm',
      ['run', '--silent', 'jest', '--', '--selectProjects', project, '--json', `--outputFile=${outputFile}`, ...args],
      shown,
    );
    try {
      const result = JSON.parse(readFileSync(outputFile, 'utf8'));
      const failed = result.numFailedTests + result.numRuntimeErrorTestSuites;
      const skipped = result.numPendingTests;
      return { ok, output, passed: result.numPassedTests, failed: ok ? failed : Math.max(1, failed), skipped };
    } catch {
      return { ok, output, passed: 0, failed: 1, skipped: 0 };
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  },
});

/** Jest would leave one of two cores alone. */
export const unitTests = jest('unit', `--maxWorkers=${Math.max(2, CORES - 1)}`);

export const counts = { passed: 0, failed: 0, skipped: 0 };

/** Runs one stage and adds its counts. Programs beside each other do not talk at once: each is heard when it has ended. */
async function runStage(stage, { shown, tellAll }) {
  const startedMs = performance.now();
  if (shown) console.log(`\n== ${stage.title}`);
  const { ok, output, passed, failed, skipped } = await stage.run(shown);
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  counts.passed += passed;
  counts.failed += failed;
  counts.skipped += skipped;
  if (!ok || tellAll) process.stdout.write(output);
  const tests = passed + failed + skipped > 1 ? ` (${passed} passed, ${failed} failed, ${skipped} skipped)` : '';
  console.log(`== ${stage.title}: ${ok ? 'ok' : 'FAILED'} in ${seconds} s${tests}`);
}

/** One stage by itself, heard as it goes. */
export const alone = (stage) => runStage(stage, { shown: true });

/** As many stages at once as there are cores, at least two, begun in the order given. */
export async function sideBySide(stages, { tellAll = false } = {}) {
  const waiting = [...stages];
  const lane = async () => {
    for (let stage = waiting.shift(); stage !== undefined; stage = waiting.shift())
      await runStage(stage, { shown: false, tellAll });
  };
  await Promise.all(Array.from({ length: Math.max(2, CORES) }, lane));
}

/** The last line, and the exit code that says the same. */
export function conclude() {
  console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1;
}

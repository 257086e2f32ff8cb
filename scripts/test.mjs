// The README's test command: static checks, then every test, then one line with the counts.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const scratch = mkdtempSync(join(tmpdir(), 'steward-test-'));
const counts = { passed: 0, failed: 0, skipped: 0 };

/** Runs a command and answers whether it succeeded. */
function run(title, command, args) {
  console.log(`\n== ${title}`);
  const startedMs = performance.now();
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  console.log(
    `== ${title}: ${status === 0 ? 'ok' : 'FAILED'} in ${Math.round((performance.now() - startedMs) / 1000)} s`,
  );
  return status === 0;
}

/** Runs one Jest project and adds its counts; a suite that does not even load counts as one failure. */
function jest(project, args) {
  const outputFile = join(scratch, `${project}.json`);
  const ok = run(`${project} tests`, process.execPath, [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    '--selectProjects',
    project,
    '--json',
    `--outputFile=${outputFile}`,
    ...args,
  ]);
  try {
    const result = JSON.parse(readFileSync(outputFile, 'utf8'));
    counts.passed += result.numPassedTests;
    counts.failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
    counts.skipped += result.numPendingTests;
    if (!ok && result.numFailedTests + result.numRuntimeErrorTestSuites === 0) counts.failed += 1;
  } catch {
    counts.failed += 1;
  }
}

for (const [title, script] of [
  ['build', 'build'],
  ['format', 'format:check'],
  ['lint', 'lint'],
  ['architecture', 'arch'],
  ['types', 'types'],
]) {
  if (run(title, 'npm', ['run', '--silent', script])) counts.passed += 1;
  else counts.failed += 1;
}
jest('unit', []);
jest('int', ['--maxWorkers=2']);
jest('e2e', ['--runInBand']);

rmSync(scratch, { recursive: true, force: true });
console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1;

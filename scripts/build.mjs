// Builds the program into dist/. With --if-changed only when a source is newer than the last build, so that a start
// does not wait for a compiler that has nothing to do.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOTS = ['services', 'libs'];
const INPUTS = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];
const STAMP = 'dist/.built';
/** What the program loads beside its modules; tsc emits only JavaScript. */
const CARRIED = /\.(proto|sql)$/;

const newestBelow = (folder) =>
  Math.max(
    0,
    ...readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs),
  );

function isCurrent() {
  if (!existsSync(STAMP)) return false;
  const builtMs = statSync(STAMP).mtimeMs;
  return [...ROOTS.map(newestBelow), ...INPUTS.map((file) => statSync(file).mtimeMs)].every((ms) => ms < builtMs);
}

if (process.argv.includes('--if-changed') && isCurrent()) process.exit(0);

const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  stdio: 'inherit',
});
if (status !== 0) process.exit(status ?? 1);
for (const root of ROOTS)
  cpSync(root, `dist/${root}`, {
    recursive: true,
    filter: (path) => statSync(path).isDirectory() || CARRIED.test(path),
  });
writeFileSync(STAMP, '');

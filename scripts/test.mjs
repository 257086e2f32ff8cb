// The README's test command: static checks, then every test, then one line with the counts.
import { alone, conclude, jest, script, sideBySide, unitTests } from './stages.mjs';

await alone(script('build', 'build'));
await sideBySide(
  [
    unitTests,
    script('lint', 'lint'),
    script('types', 'types'),
    script('format', 'format:check'),
    script('architecture', 'arch'),
    jest('simulation', '--runInBand'),
  ],
  { tellAll: true },
);
await alone(jest('int', '--maxWorkers=2'));
// Whole programs mostly wait, for one another and for the clock.
await alone(jest('e2e', '--maxWorkers=2'));
conclude();

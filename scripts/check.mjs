// The fast part of `npm test`: whatever needs no build, no database and no long simulation.
import { conclude, script, sideBySide, unitTests } from './stages.mjs';

// A file is linted anew when it changes, so what only the types of another file make wrong is found by `npm test`.
const cached = ['--cache', '--cache-strategy', 'content', '--cache-location', 'node_modules/.cache/steward/eslint'];

await sideBySide([
  unitTests,
  script('lint', 'lint', ...cached),
  script('types', 'types'),
  script('format', 'format:check'),
  script('architecture', 'arch'),
]);
conclude();

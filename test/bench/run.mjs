// `npm run bench [-- group ...]`: measures, prints one table, and keeps the figures in test/bench/results/<date>.json.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

const groups = {
  append: async (options) => (await import('./append.mjs')).append(options),
  quota: async (options) => (await import('./quota.mjs')).quota(options),
  relay: async (options) => (await import('./relay.mjs')).relay(options),
  revocation: async (options) => (await import('./revocation.mjs')).revocation(options),
  verify: async (options) => (await import('./verify.mjs')).verify(options),
};

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => groups[name] === undefined);
if (unknown.length > 0) {
  console.error(`No such group: ${unknown.join(', ')}. There are: ${Object.keys(groups).join(', ')}.`);
  process.exit(64);
}

if (!existsSync(here('peers/node_modules'))) {
  console.log('Installing the peers that Steward is measured against, into test/bench/peers.');
  try {
    execFileSync('npm', ['ci', '--legacy-peer-deps', '--silent'], { cwd: here('peers'), stdio: 'inherit' });
  } catch {
    console.log('The peers cannot be installed; their rows are left out.');
  }
}

const options = { roundMs: Number(process.env.STEWARD_BENCH_ROUND_MS ?? 2000), log: (text) => console.log(text) };
const rows = [];
for (const name of asked.length > 0 ? asked : Object.keys(groups)) {
  console.log(`\n== ${name}`);
  try {
    rows.push(...(await groups[name](options)));
  } catch (error) {
    // What the groups before it measured took minutes and is kept.
    console.error(error);
    process.exitCode = 1;
  }
}

const cells = rows.map(({ id, what, figure, reference, ratio, target, met }) => [
  id,
  what,
  figure,
  reference,
  ratio === null ? '-' : ratio.toFixed(2),
  target,
  met ? 'met' : 'not met',
]);
const header = ['#', 'what', 'figure', 'limit or peer', 'ratio', 'target', ''];
const widths = header.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column].length)));
console.log('');
for (const row of [header, ...cells]) console.log(row.map((cell, column) => cell.padEnd(widths[column])).join('  '));

const [{ model } = { model: 'unknown' }] = cpus();
const machine = {
  cpu: model,
  cores: availableParallelism(),
  memoryBytes: totalmem(),
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
};
mkdirSync(here('results'), { recursive: true });
const file = here(`results/${new Date().toISOString().slice(0, 10)}.json`);
const measured = new Set(rows.map(({ id }) => id));
const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).rows : [];
const number = ({ id }) => Number(id.slice(1));
const kept = [...before.filter(({ id }) => !measured.has(id)), ...rows].sort((a, b) => number(a) - number(b));
writeFileSync(file, `${JSON.stringify({ machine, rows: kept }, null, 2)}\n`);
console.log(`\nKept in test/bench/results. Shared machines are noisy: read the ratios, not the rates.`);

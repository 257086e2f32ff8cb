#!/usr/bin/env node
import 'reflect-metadata';
import { runSteward } from './program.js';

const interrupted = new AbortController();
// The first one ends the work in hand, and what was opened is closed; a second one ends the process.
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => {
    interrupted.abort();
  });

process.exitCode = await runSteward(process.argv.slice(2), {
  env: process.env,
  print: (text) => process.stdout.write(`${text}\n`),
  tell: (text) => process.stderr.write(text),
  isAttended: process.stdout.isTTY,
  rewrites: process.stderr.isTTY,
  signal: interrupted.signal,
});

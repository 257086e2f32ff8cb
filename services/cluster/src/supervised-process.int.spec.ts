import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '#libs/kafka';
import { createLogger } from '#libs/platform';
import { SupervisedProcess } from './supervised-process.js';

/** Answers that it is ready, and does not end when it is asked to. */
const STUBBORN = `
  import { createServer } from 'node:http';
  process.on('SIGTERM', () => undefined);
  createServer((_request, response) => response.end('{}')).listen(Number(process.env.STEWARD_PORT), '127.0.0.1');
`;

it('a process that still drains is not waited for once nobody waits, however early that was said', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'steward-supervised-'));
  const script = join(folder, 'stubborn.mjs');
  await writeFile(script, STUBBORN);
  const [port] = await freePorts(1);
  const env = { STEWARD_PORT: String(port) };
  const plan = { name: 'stubborn', script, args: [], env, http: `http://127.0.0.1:${port ?? 0}`, grpc: undefined };
  const keeper = { keep: () => undefined, forget: () => undefined };
  const supervised = new SupervisedProcess(plan, { logger: createLogger({ level: 'silent' }), keeper });
  try {
    await supervised.start(new AbortController().signal);
    const beganMs = performance.now();
    await supervised.stop(AbortSignal.abort());
    expect(performance.now() - beganMs).toBeLessThan(5_000);
  } finally {
    await supervised.stop(AbortSignal.abort());
    await rm(folder, { recursive: true });
  }
});

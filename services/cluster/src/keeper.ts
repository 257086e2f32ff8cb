import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

export interface Kept {
  readonly pid: number;
  readonly signal: NodeJS.Signals;
}

/** Before what was asked to end is killed. */
export const ORDERLY_MS_MAX = 10_000;
const ASK_EVERY_MS = 50;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** Asks them to end, and kills what has not after a while. */
export async function endAll(kept: readonly Kept[], { orderlyMsMax = ORDERLY_MS_MAX } = {}): Promise<void> {
  for (const { pid, signal } of kept) end(pid, signal);
  const deadline = performance.now() + orderlyMsMax;
  while (performance.now() < deadline && kept.some(({ pid }) => isAlive(pid))) await sleep(ASK_EVERY_MS);
  for (const { pid } of kept) end(pid, 'SIGKILL');
}

/** Each line is the whole list; the end of the input is the end of whoever wrote it. */
async function keep(): Promise<void> {
  let kept: readonly Kept[] = [];
  for await (const line of createInterface({ input: process.stdin })) kept = JSON.parse(line) as Kept[];
  await endAll(kept);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  // Whoever stops the cluster in order closes the pipe.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  await keep();
}

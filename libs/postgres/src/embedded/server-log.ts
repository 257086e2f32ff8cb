import { copyFile, open, stat, truncate } from 'node:fs/promises';

const SIZE_BYTES_MAX = 8 * 1024 * 1024;
const EVERY_MS = 60_000;
const TAIL_BYTES = 4096;

/**
 * Keeps the server's log within twice 8 MiB. It is emptied in place, for the server holds it open and outlives us; it
 * appends, so its next line stands at the new beginning.
 */
export async function limitLog(path: string): Promise<void> {
  if ((await sizeOf(path)) <= SIZE_BYTES_MAX) return;
  await copyFile(path, `${path}.1`);
  await truncate(path);
}

export function keepLogLimited(path: string, onError: (error: unknown) => void): () => void {
  const timer = setInterval(() => {
    limitLog(path).catch(onError);
  }, EVERY_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}

export async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  return found?.size ?? 0;
}

/** What was written after `fromBytes`, its last lines. */
export async function logSince(path: string, fromBytes: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const end = (await file.stat()).size;
    const start = Math.max(Math.min(fromBytes, end), end - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    return buffer.toString('utf8', 0, bytesRead).trim();
  } finally {
    await file.close();
  }
}

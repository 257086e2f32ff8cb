import { link, open, rename, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';

/** Writes the whole file or nothing, and returns once it would survive a loss of power. */
export const writeDurably = (path: string, text: string, mode: number): Promise<void> =>
  placeDurably(path, text, mode, rename);

/** As writeDurably, but of several that make the file at once one does: what stands there is never replaced. */
export const createDurably = (path: string, text: string, mode: number): Promise<void> =>
  placeDurably(path, text, mode, linkOnce);

async function placeDurably(
  path: string,
  text: string,
  mode: number,
  place: (unfinished: string, path: string) => Promise<void>,
): Promise<void> {
  const unfinished = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(unfinished, 'wx', mode);
    try {
      await file.writeFile(text, 'utf8');
      await file.sync();
    } finally {
      await file.close();
    }
    await place(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

const NO_HARD_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

async function linkOnce(unfinished: string, path: string): Promise<void> {
  try {
    await link(unfinished, path);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    // A file system that knows no hard links leaves nothing better.
    if (NO_HARD_LINKS.has(code)) return rename(unfinished, path);
    if (code !== 'EEXIST') throw error;
  }
  await rm(unfinished);
}

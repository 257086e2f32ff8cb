import { chown, mkdtemp, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterHome } from './cluster-home.js';
import {
  isPostmaster,
  nameOfAnswering,
  type Postmaster,
  postmasterOf,
  removeStalePidFile,
  stopPostmaster,
} from './postmaster.js';
import { shortTemporaryFolder } from './server-user.js';

const ADOPT_MS_MAX = 30_000;
const SOCKET_DIR_PREFIX = 'stw-';

/** The orphan of a killed Steward if it bears the name, as what this release would have started; else it is stopped. */
export async function takeOver(
  home: ClusterHome,
  name: string,
  onStop: (pid: number) => void,
): Promise<Postmaster | undefined> {
  const found = await postmasterOf(home.cluster);
  if (found === undefined) return undefined;
  const until = performance.now() + ADOPT_MS_MAX;
  while (performance.now() < until && (await isPostmaster(found.pid, home.cluster))) {
    const answered = await nameOfAnswering(found.socketDir, home.cluster);
    if (answered === name) return found;
    if (answered !== undefined) break;
    await sleep(50);
  }
  if (await isPostmaster(found.pid, home.cluster)) {
    onStop(found.pid);
    if (!(await stopPostmaster(found.pid))) throw new Error(`The PostgreSQL process ${found.pid} does not stop.`);
  }
  await removeStalePidFile(home.cluster, found.pid);
  await removeSocketDir(found.socketDir);
  return undefined;
}

export async function makeSocketDir({ user }: ClusterHome): Promise<string> {
  const folder = await mkdtemp(join(await shortTemporaryFolder(user), SOCKET_DIR_PREFIX));
  if (user.uid !== undefined && user.gid !== undefined) await chown(folder, user.uid, user.gid);
  return folder;
}

export async function removeSocketDir(folder: string): Promise<void> {
  if (basename(folder).startsWith(SOCKET_DIR_PREFIX)) await rm(folder, { recursive: true, force: true });
}

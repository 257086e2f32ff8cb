import { chmod, chown, mkdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { basename, join } from 'node:path';
import { writeDurably } from '../durable-file.js';
import { canReach, OWN_USER, runsAsRoot, type ServerUser, unprivilegedUser } from './server-user.js';

/** Where the cluster of a data directory stands, and whom its server runs as. */
export interface ClusterHome {
  /** Holds the server's files and the cluster. */
  readonly folder: string;
  /** PostgreSQL's own data directory. */
  readonly cluster: string;
  readonly user: ServerUser;
}

/** The cluster stands where this process or the server's user cannot get at it. */
export class ClusterUnreachable extends Error {
  constructor(why: string) {
    super(why);
    this.name = 'ClusterUnreachable';
  }
}

const OUTSIDE = '/var/lib/steward';
const LOCATION_FILE = 'cluster-location.json';

/** PostgreSQL's own data directory in the folder that holds it. */
export const clusterOf = (folder: string): string => join(folder, 'cluster');
const insideOf = (dataDir: string): string => join(dataDir, 'postgres');

async function ownerOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).uid;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The folder that a data directory names or holds already; undefined before its first start. */
export async function knownHome(dataDir: string): Promise<string | undefined> {
  const named = await readFile(join(dataDir, LOCATION_FILE), 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  if (named !== undefined) return (JSON.parse(named) as { folder: string }).folder;
  return (await ownerOf(clusterOf(insideOf(dataDir)))) === undefined ? undefined : insideOf(dataDir);
}

/** Makes the data directory where it is absent, in a way that lets the server's user pass through it. */
export async function prepareDataDirectory(dataDir: string): Promise<string> {
  const mode = runsAsRoot() ? 0o711 : 0o700;
  const made = await mkdir(dataDir, { recursive: true, mode });
  if (made !== undefined) await chmod(dataDir, mode);
  return realpath(dataDir);
}

/** An existing cluster stays where it is and runs as its owner; a new one goes where its server's user can reach it. */
export async function findHome(dataDir: string): Promise<ClusterHome> {
  const known = await knownHome(dataDir);
  const owner = known === undefined ? undefined : await ownerOf(clusterOf(known));
  if (known !== undefined && owner !== undefined) return homeOfExisting(known, owner);

  const user = runsAsRoot() ? await unprivilegedUser() : OWN_USER;
  const folder = known ?? (await placeForNew(dataDir, user));
  await mkdir(folder, { recursive: true, mode: 0o711 });
  await chmod(folder, 0o711);
  return { folder, cluster: clusterOf(folder), user };
}

async function homeOfExisting(folder: string, owner: number): Promise<ClusterHome> {
  const cluster = clusterOf(folder);
  if (!runsAsRoot()) {
    if (owner !== process.getuid?.())
      throw new ClusterUnreachable(
        `The cluster ${cluster} belongs to user ${owner}; start Steward as root or as that user.`,
      );
    return { folder, cluster, user: OWN_USER };
  }
  if (owner === 0)
    throw new ClusterUnreachable(`The cluster ${cluster} belongs to root, whom PostgreSQL refuses to run as.`);
  const user = { uid: owner, gid: (await stat(cluster)).gid };
  if (!(await canReach(user, cluster)))
    throw new ClusterUnreachable(`User ${owner}, who owns the cluster ${cluster}, cannot reach it any more.`);
  return { folder, cluster, user };
}

/**
 * Below a home that others may not enter the cluster stands outside, and the data directory says where. The name is
 * random, so that a data directory made anew at an old path never meets what an older one left.
 */
async function placeForNew(dataDir: string, user: ServerUser): Promise<string> {
  if (await canReach(user, dataDir)) return insideOf(dataDir);
  const folder = join(OUTSIDE, `${basename(dataDir)}-${randomBytes(8).toString('hex')}`);
  await mkdir(OUTSIDE, { recursive: true, mode: 0o711 });
  const reason = 'The user that PostgreSQL runs as cannot reach this directory.';
  await writeDurably(join(dataDir, LOCATION_FILE), `${JSON.stringify({ folder, reason }, undefined, 2)}\n`, 0o644);
  return folder;
}

/** An empty directory for initdb; what an interrupted one left is thrown away. */
export async function emptyClusterFor({ folder, user }: ClusterHome): Promise<string> {
  const unfinished = join(folder, 'cluster-unfinished');
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  if (user.uid !== undefined && user.gid !== undefined) await chown(unfinished, user.uid, user.gid);
  return unfinished;
}

/** A cluster is one only when it is whole: the rename is what makes it so. */
export async function adoptNewCluster(unfinished: string, home: ClusterHome): Promise<void> {
  await rename(unfinished, home.cluster);
}

import { chmod, chown, mkdir, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { basename, join } from 'node:path';
import { writeDurably } from '../durable-file.js';
import { runInitdb } from './postmaster.js';
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

interface Location {
  readonly folder: string;
  /** True once the cluster stood there: from then on its absence is a loss and no first start. */
  readonly made: boolean;
  readonly reason: string;
}

async function locationOf(dataDir: string): Promise<Location | undefined> {
  try {
    return JSON.parse(await readFile(join(dataDir, LOCATION_FILE), 'utf8')) as Location;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const writeLocation = (dataDir: string, location: Location): Promise<void> =>
  writeDurably(join(dataDir, LOCATION_FILE), `${JSON.stringify(location, undefined, 2)}\n`, 0o644);

/** The folder that a data directory names or holds already; undefined before its first start. */
export async function knownHome(dataDir: string): Promise<string | undefined> {
  const location = await locationOf(dataDir);
  if (location !== undefined) return location.folder;
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
  if ((await locationOf(dataDir))?.made === true)
    throw new ClusterUnreachable(
      `The data directory ${dataDir} names the cluster ${clusterOf(known ?? '')}, which is gone.`,
    );

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
  await writeLocation(dataDir, { folder, made: false, reason });
  return folder;
}

const UNFINISHED = 'unfinished-';

/**
 * A new cluster, whole or not at all: the rename makes it one. Each attempt has a name of its own, for an initdb whose
 * Steward was killed goes on for a moment, and must not write into its successor's.
 */
export async function makeCluster({ folder, cluster, user }: ClusterHome, bin: string): Promise<void> {
  for (const name of await readdir(folder))
    if (name.startsWith(UNFINISHED))
      await rm(join(folder, name), { recursive: true, force: true }).catch(() => undefined);
  const unfinished = join(folder, UNFINISHED + randomBytes(8).toString('hex'));
  await mkdir(unfinished, { mode: 0o700 });
  if (user.uid !== undefined && user.gid !== undefined) await chown(unfinished, user.uid, user.gid);
  await runInitdb(bin, unfinished, user);
  await rename(unfinished, cluster);
}

/** Called when the cluster stands. */
export async function recordCluster(dataDir: string, { folder }: ClusterHome): Promise<void> {
  const location = await locationOf(dataDir);
  if (location?.folder === folder && !location.made) await writeLocation(dataDir, { ...location, made: true });
}

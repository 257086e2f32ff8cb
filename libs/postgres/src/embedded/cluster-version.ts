import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The cluster was made by another major version, whose files this server cannot read. */
export class ClusterVersionMismatch extends Error {
  constructor(
    readonly cluster: string,
    readonly found: string,
    readonly wanted: string,
  ) {
    super(`The cluster ${cluster} is of PostgreSQL ${found}; this release brings PostgreSQL ${wanted}.`);
    this.name = 'ClusterVersionMismatch';
  }
}

async function majorOf(cluster: string): Promise<string | undefined> {
  try {
    return (await readFile(join(cluster, 'PG_VERSION'), 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

export const hasCluster = async (cluster: string): Promise<boolean> => (await majorOf(cluster)) !== undefined;

export async function checkMajor(cluster: string, wanted: string): Promise<void> {
  const found = await majorOf(cluster);
  if (found !== undefined && found !== wanted) throw new ClusterVersionMismatch(cluster, found, wanted);
}

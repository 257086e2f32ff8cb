import { link, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { shortTemporaryFolder } from './server-user.js';

/** Another living process holds the data directory. `pid` is unknown when the holder is too busy to answer. */
export class DataDirectoryInUse extends Error {
  constructor(
    readonly directory: string,
    readonly pid: number | undefined,
  ) {
    super(`The data directory ${directory} is in use by another Steward (process ${pid ?? 'unknown'}).`);
    this.name = 'DataDirectoryInUse';
  }
}

const ATTEMPTS_MAX = 50;
const ANSWER_MS_MAX = 300;

type Holder = { readonly is: 'alive'; readonly pid: number | undefined } | { readonly is: 'dead' | 'gone' };

/**
 * An exclusive lock on a directory that the kernel gives back when its holder dies, however it dies.
 *
 * Node knows neither flock nor fcntl. A file with a pid in it can meet a reused pid, and nobody can tell from inside a
 * container whether a pid of another one lives; an abstract socket is private to a network namespace, so two containers
 * on one volume would both get it. A listening socket that stands in the directory itself has neither fault: connecting
 * to it succeeds while its holder lives, across namespaces, even when the holder's event loop is stuck, and is refused
 * from the moment of its death.
 *
 * What is left of a dead holder must be taken over by exactly one. Sockets are therefore numbered: only the one with the
 * highest number counts, the next holder hard-links its own, already listening one to the next number (of two, one
 * fails), and the highest number is never removed, not even on release, so that a number is never given twice. One who
 * was slow between looking and linking may still get a number below a newer holder's; it sees that on looking again.
 */
export class DirectoryLock {
  private constructor(private readonly server: Server) {}

  /** Throws DataDirectoryInUse at once if another process holds it; the directory must exist. */
  static async acquire(directory: string): Promise<DirectoryLock> {
    const folder = join(directory, 'lock');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // A socket's path may have about 100 characters; a link with a short name stands for the long one.
    const alias = await mkdtemp(join(await shortTemporaryFolder(), 'stw-'));
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.end(String(process.pid));
    });
    const own = `new-${randomBytes(8).toString('hex')}`;
    try {
      const short = join(alias, 'l');
      await symlink(folder, short);
      await listen(server, join(short, own));
      await takeNextNumber(directory, folder, short, own);
      server.unref();
      return new DirectoryLock(server);
    } catch (error) {
      server.close();
      throw error;
    } finally {
      await rm(join(folder, own), { force: true });
      await rm(alias, { recursive: true, force: true });
    }
  }

  async release(): Promise<void> {
    await new Promise<void>((done) => {
      this.server.close(() => {
        done();
      });
    });
  }
}

async function numbersIn(folder: string): Promise<number[]> {
  const names = await readdir(folder);
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

async function takeNextNumber(directory: string, folder: string, short: string, own: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const highest = (await numbersIn(folder)).at(-1) ?? 0;
    if (highest > 0) {
      const holder = await holderOf(join(short, String(highest)));
      if (holder.is === 'alive') throw new DataDirectoryInUse(directory, holder.pid);
      if (holder.is === 'gone') continue;
    }
    const mine = highest + 1;
    try {
      await link(join(folder, own), join(folder, String(mine)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw error;
    }
    const others = (await numbersIn(folder)).filter((number) => number !== mine);
    if (others.every((number) => number < mine)) {
      await Promise.all(others.map((number) => rm(join(folder, String(number)), { force: true })));
      return;
    }
    await rm(join(folder, String(mine)), { force: true });
  }
  throw new DataDirectoryInUse(directory, undefined);
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(path, () => {
      server.off('error', fail);
      done();
    });
  });
}

function holderOf(path: string): Promise<Holder> {
  return new Promise((done, fail) => {
    let answer = '';
    const socket = connect(path);
    const alive = (): void => {
      socket.destroy();
      done({ is: 'alive', pid: /^\d+$/.test(answer) ? Number(answer) : undefined });
    };
    socket.setTimeout(ANSWER_MS_MAX, alive);
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => (answer += text));
    socket.on('end', () => {
      if (answer !== '') alive();
      else done({ is: 'gone' });
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      socket.destroy();
      // A full backlog is a sign of life. One that dies in the middle resets the connection: look again.
      if (error.code === 'EAGAIN') alive();
      else if (error.code === 'ECONNREFUSED') done({ is: 'dead' });
      else if (error.code === 'ENOENT' || error.code === 'ECONNRESET' || error.code === 'EPIPE') done({ is: 'gone' });
      else fail(error);
    });
  });
}

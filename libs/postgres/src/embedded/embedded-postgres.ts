import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientConfig } from 'pg';
import { findPackage, materialise, type Package } from './binaries.js';
import {
  type ClusterHome,
  clusterOf,
  findHome,
  knownHome,
  makeCluster,
  prepareDataDirectory,
  recordCluster,
} from './cluster-home.js';
import { checkMajor, hasCluster } from './cluster-version.js';
import { DirectoryLock } from './directory-lock.js';
import { makeSocketDir, removeSocketDir, takeOver } from './orphan.js';
import {
  isAlive,
  isPostmaster,
  nameOfAnswering,
  postmasterOf,
  removeStalePidFile,
  spawnPostmaster,
  stopPostmaster,
} from './postmaster.js';
import { DATABASE, ensureRoles, OWNER, PROGRAM } from './roles.js';
import { keepLogLimited, limitLog, logSince, sizeOf } from './server-log.js';
import { clusterName, CONNECTIONS_MAX, PORT } from './settings.js';

/** What the supervisor says; pino's Logger is one. */
export interface EmbeddedLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface EmbeddedOptions {
  /** Made where it is absent. */
  readonly dataDir: string;
  readonly log: EmbeddedLog;
  /** How long recovery may take until the server answers; 5 min unless told. */
  readonly startMsMax?: number;
  /** For whoever runs several programs on it; 60 unless told. */
  readonly connectionsMax?: number;
}

export interface EmbeddedConnection {
  /** The role that runs Steward. */
  readonly programConfig: ClientConfig;
  readonly programUrl: string;
  /** The role that migrates. */
  readonly ownerConfig: ClientConfig;
  readonly ownerUrl: string;
}

export interface EmbeddedPostgres extends EmbeddedConnection {
  readonly socketDir: string;
  /** PostgreSQL's own data directory. */
  readonly clusterDir: string;
  /** The data directory as asked for, links resolved. */
  readonly dataDir: string;
  readonly kind: 'started' | 'adopted';
  pid(): number;
  /** Told once when the server died and could not be started again; never after stop(). */
  onExit(callback: (error: Error) => void): void;
  /** Stops the server (fast, then immediate: 30 s at most) and gives the data directory back. */
  stop(): Promise<void>;
}

const START_MS_MAX = 300_000;
const START_ATTEMPTS_MAX = 20;
const RETRY_MS = 250;
const WATCH_MS = 200;
const RESTARTS_MAX = 5;
const RESTARTS_WITHIN_MS = 60_000;

const configOf = (socketDir: string, user: string): ClientConfig => ({
  host: socketDir,
  port: PORT,
  user,
  database: DATABASE,
});

/** The user stands behind the question mark, for a URL that names one and no host is none to most parsers. */
const urlOf = (socketDir: string, user: string): string =>
  `postgresql:///${DATABASE}?host=${encodeURIComponent(socketDir)}&port=${PORT}&user=${user}`;

const connectionOf = (socketDir: string): EmbeddedConnection => ({
  programConfig: configOf(socketDir, PROGRAM),
  programUrl: urlOf(socketDir, PROGRAM),
  ownerConfig: configOf(socketDir, OWNER),
  ownerUrl: urlOf(socketDir, OWNER),
});

/** How to reach the server that runs on a data directory now, for another process; undefined if none answers. */
export async function connectionOfRunning(dataDir: string): Promise<EmbeddedConnection | undefined> {
  const folder = await knownHome(await realpath(dataDir).catch(() => dataDir));
  if (folder === undefined) return undefined;
  const cluster = clusterOf(folder);
  const postmaster = await postmasterOf(cluster);
  if (postmaster === undefined || (await nameOfAnswering(postmaster.socketDir, cluster)) === undefined)
    return undefined;
  return connectionOf(postmaster.socketDir);
}

/**
 * A PostgreSQL of Steward's own on a data directory. Adopts the server that a killed Steward left running, starts one
 * otherwise, and restarts it when it dies. Throws DataDirectoryInUse, EmbeddedPostgresUnavailable, ClusterUnreachable or
 * ClusterVersionMismatch.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const pkg = await findPackage();
  const dataDir = await prepareDataDirectory(options.dataDir);
  const lock = await DirectoryLock.acquire(dataDir);
  let server: Supervised | undefined;
  try {
    const home = await findHome(dataDir);
    await checkMajor(home.cluster, pkg.major);
    server = new Supervised({
      home,
      pkg,
      dataDir,
      lock,
      log: options.log,
      logFile: join(dataDir, 'postgres.log'),
      startMsMax: options.startMsMax ?? START_MS_MAX,
      connectionsMax: options.connectionsMax ?? CONNECTIONS_MAX,
    });
    await server.begin();
    return server;
  } catch (error) {
    await (server === undefined ? lock.release() : server.stop());
    throw error;
  }
}

interface SupervisedParts {
  readonly home: ClusterHome;
  readonly pkg: Package;
  readonly dataDir: string;
  readonly lock: DirectoryLock;
  readonly log: EmbeddedLog;
  readonly logFile: string;
  readonly startMsMax: number;
  readonly connectionsMax: number;
}

class Supervised implements EmbeddedPostgres {
  kind: 'started' | 'adopted' = 'started';
  socketDir = '';
  private postmasterPid = 0;
  private bin = '';
  private watch: NodeJS.Timeout | undefined;
  private forgetLog: () => void = () => undefined;
  private stopping: Promise<void> | undefined;
  private restarting: Promise<void> | undefined;
  private restarts: number[] = [];
  private exitCallbacks: ((error: Error) => void)[] = [];
  private exitError: Error | undefined;

  constructor(private readonly parts: SupervisedParts) {}

  get clusterDir(): string {
    return this.parts.home.cluster;
  }
  get dataDir(): string {
    return this.parts.dataDir;
  }
  get programConfig(): ClientConfig {
    return configOf(this.socketDir, PROGRAM);
  }
  get ownerConfig(): ClientConfig {
    return configOf(this.socketDir, OWNER);
  }
  get programUrl(): string {
    return urlOf(this.socketDir, PROGRAM);
  }
  get ownerUrl(): string {
    return urlOf(this.socketDir, OWNER);
  }

  pid(): number {
    return this.postmasterPid;
  }

  onExit(callback: (error: Error) => void): void {
    if (this.exitError === undefined) this.exitCallbacks.push(callback);
    else callback(this.exitError);
  }

  async begin(): Promise<void> {
    const { home, log, logFile, dataDir } = this.parts;
    await limitLog(logFile);
    await this.bringUp();
    await recordCluster(dataDir, home);
    // A Steward that was killed between its first start and this line left a cluster without them.
    await ensureRoles(this.socketDir);
    this.forgetLog = keepLogLimited(logFile, (error) => {
      log.warn({ err: error }, 'The log of PostgreSQL could not be shortened.');
    });
    this.keepWatch();
    log.info({ pid: this.postmasterPid, cluster: home.cluster }, `PostgreSQL ${this.kind}.`);
  }

  /** A Steward killed just after it had started a server left one that shows only when a second one meets it. */
  private async bringUp(): Promise<void> {
    const { home, log, pkg, connectionsMax } = this.parts;
    const form = { serverVersion: pkg.version, connectionsMax };
    for (let attempt = 1; attempt <= START_ATTEMPTS_MAX; attempt += 1) {
      const orphan = await takeOver(home, clusterName(form), (pid) => {
        log.warn({ pid }, 'The PostgreSQL of an earlier Steward is stopped first.');
      });
      this.bin = await materialise(pkg, home.folder);
      if (orphan !== undefined) {
        if (this.socketDir !== '') await removeSocketDir(this.socketDir);
        this.kind = 'adopted';
        this.socketDir = orphan.socketDir;
        this.postmasterPid = orphan.pid;
        return;
      }
      if (!(await hasCluster(home.cluster))) await makeCluster(home, this.bin);
      if (this.socketDir === '') this.socketDir = await makeSocketDir(home);
      if (await this.startServer()) return;
      await sleep(RETRY_MS);
    }
    throw new Error(`PostgreSQL was kept from starting ${START_ATTEMPTS_MAX} times; see ${this.parts.logFile}.`);
  }

  /** True once it answers, false where the remains of a killed one are in its way for a moment. */
  private async startServer(): Promise<boolean> {
    const { home, pkg, logFile, startMsMax, connectionsMax } = this.parts;
    const until = performance.now() + startMsMax;
    const before = await sizeOf(logFile);
    const child = await spawnPostmaster({
      ...home,
      bin: this.bin,
      serverVersion: pkg.version,
      connectionsMax,
      socketDir: this.socketDir,
      logFile,
    });
    this.postmasterPid = child.pid ?? 0;
    for (let waitMs = 10; child.exitCode === null && child.signalCode === null; waitMs = Math.min(waitMs + 5, 200)) {
      if ((await nameOfAnswering(this.socketDir, home.cluster)) !== undefined) return true;
      if (performance.now() > until) {
        await stopPostmaster(this.postmasterPid);
        throw new Error(`PostgreSQL did not answer within ${startMsMax} ms; see ${logFile}.`);
      }
      await sleep(waitMs);
    }
    const said = await logSince(logFile, before);
    if (/still in use|lock file .* already exists/.test(said)) return false;
    throw new Error(`PostgreSQL ended while starting: ${said}`);
  }

  /** An adopted server is nobody's child here, so both kinds are watched by their pid. */
  private keepWatch(): void {
    this.watch = setInterval(() => {
      if (this.stopping !== undefined || this.restarting !== undefined || isAlive(this.postmasterPid)) return;
      this.restarting = this.restart().finally(() => (this.restarting = undefined));
    }, WATCH_MS);
    this.watch.unref();
  }

  private async restart(): Promise<void> {
    const { home, log } = this.parts;
    const nowMs = performance.now();
    this.restarts = [...this.restarts.filter((at) => nowMs - at < RESTARTS_WITHIN_MS), nowMs];
    log.error({ pid: this.postmasterPid, restarts: this.restarts.length }, 'PostgreSQL died and is started again.');
    try {
      if (this.restarts.length > RESTARTS_MAX)
        throw new Error(`PostgreSQL died ${this.restarts.length} times in a minute.`);
      await sleep(100 * 2 ** (this.restarts.length - 1));
      if (this.isStopping()) return;
      await removeStalePidFile(home.cluster, this.postmasterPid);
      for (let attempt = 1; !(await this.startServer()); attempt += 1) {
        if (attempt >= START_ATTEMPTS_MAX) throw new Error('What the server left keeps it from starting again.');
        await sleep(RETRY_MS);
      }
      log.info({ pid: this.postmasterPid }, 'PostgreSQL answers again.');
    } catch (error) {
      this.exitError = error instanceof Error ? error : new Error(String(error));
      log.error({ err: this.exitError }, 'PostgreSQL cannot be started again.');
      clearInterval(this.watch);
      for (const callback of this.exitCallbacks) callback(this.exitError);
    }
  }

  private isStopping(): boolean {
    return this.stopping !== undefined;
  }

  stop(): Promise<void> {
    this.stopping ??= this.stopOnce();
    return this.stopping;
  }

  private async stopOnce(): Promise<void> {
    clearInterval(this.watch);
    this.forgetLog();
    this.exitCallbacks = [];
    await this.restarting;
    try {
      if (await isPostmaster(this.postmasterPid, this.parts.home.cluster)) {
        const stopped = await stopPostmaster(this.postmasterPid);
        if (!stopped) throw new Error(`The PostgreSQL process ${this.postmasterPid} does not stop.`);
      }
      await removeSocketDir(this.socketDir);
    } finally {
      await this.parts.lock.release();
    }
  }
}

import { spawn } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { connectionOfRunning, type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.js';
import { findHome } from './cluster-home.js';
import { DirectoryLock } from './directory-lock.js';
import { takeOver } from './orphan.js';
import { isAlive, isPostmaster } from './postmaster.js';
import { canReach, runsAsRoot, unprivilegedUser } from './server-user.js';
import { buildSupervisorProgram, endOf, runLocker, runSupervisor } from './testing/supervisor-process.js';

const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
const asRoot = runsAsRoot() ? it : it.skip;
if (!runsAsRoot())
  process.stdout.write(
    'Embedded PostgreSQL: what needs root to become another user is left out, for this is no root.\n',
  );

let scratch: string;
let program: { folder: string; script: string; locker: string };
const started: EmbeddedPostgres[] = [];
const orphans: number[] = [];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'steward-test-'));
  await chmod(scratch, 0o711);
  program = await buildSupervisorProgram();
  await chmod(program.folder, 0o755);
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((server) => server.stop()));
  for (const pid of orphans.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGQUIT');
});

afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
  await rm(program.folder, { recursive: true, force: true });
});

async function start(dataDir: string): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, log });
  started.push(server);
  return server;
}

async function runOn<Row extends object>(config: EmbeddedPostgres['ownerConfig'], sql: string): Promise<Row[]> {
  const client = new Client(config);
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function until(what: string, holds: () => Promise<boolean> | boolean, msMax = 15_000): Promise<void> {
  const end = performance.now() + msMax;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`Not within ${msMax} ms: ${what}.`);
    await sleep(20);
  }
}

describe('The embedded PostgreSQL', () => {
  it('is durable, keeps to its socket, and has two roles that are no superusers', async () => {
    const server = await start(join(scratch, 'plain'));

    const settings = await runOn(
      server.programConfig,
      `select current_setting('fsync') as fsync, current_setting('data_checksums') as checksums,
              current_setting('listen_addresses') as addresses, current_setting('server_encoding') as encoding`,
    );
    expect(settings).toEqual([{ fsync: 'on', checksums: 'on', addresses: '', encoding: 'UTF8' }]);
    const roles = await runOn(
      server.ownerConfig,
      `select rolname from pg_roles where rolname like 'steward%' and not rolsuper and rolcanlogin order by 1`,
    );
    expect(roles).toEqual([{ rolname: 'steward_owner' }, { rolname: 'steward_program' }]);
    await runOn(server.ownerConfig, 'create schema ledger');
    await expect(runOn(server.programConfig, 'create schema other')).rejects.toThrow(/permission denied/);
    expect((await stat(server.socketDir)).mode & 0o777).toBe(0o700);
  });

  it('keeps what was written over a stop and a start, and leaves nothing running or lying about', async () => {
    const dataDir = join(scratch, 'again');
    const first = await start(dataDir);
    await runOn(first.ownerConfig, 'create table kept as select 1 as one');
    await first.stop();
    expect(isAlive(first.pid())).toBe(false);
    await expect(stat(first.socketDir)).rejects.toThrow('ENOENT');

    const second = await start(dataDir);
    expect(second.kind).toBe('started');
    expect(await runOn(second.ownerConfig, 'select * from kept')).toEqual([{ one: 1 }]);
  });

  it('refuses a second Steward on the same directory by name, and another process finds the server', async () => {
    const dataDir = join(scratch, 'taken');
    const server = await start(dataDir);

    const begun = performance.now();
    await expect(startEmbeddedPostgres({ dataDir, log })).rejects.toMatchObject({
      name: 'DataDirectoryInUse',
      directory: dataDir,
      pid: process.pid,
    });
    expect(performance.now() - begun).toBeLessThan(1000);
    const { child, said } = await runSupervisor(program.script, dataDir);
    expect(said.error).toBe('DataDirectoryInUse');
    expect(said.message).toContain(`${dataDir} is in use by another Steward (process ${process.pid})`);
    expect(await endOf(child)).toBe(1);

    const found = await connectionOfRunning(dataDir);
    expect(found?.ownerConfig).toEqual(server.ownerConfig);
    await server.stop();
    expect(await connectionOfRunning(dataDir)).toBeUndefined();
  });

  it('is adopted by the next start when Steward was killed, with what was written', async () => {
    const dataDir = join(scratch, 'orphan');
    const { child, said } = await runSupervisor(program.script, dataDir);
    expect(said.kind).toBe('started');
    orphans.push(said.pid ?? 0);
    child.kill('SIGKILL');
    await endOf(child);
    expect(isAlive(said.pid ?? 0)).toBe(true);

    const server = await start(dataDir);
    expect(server.kind).toBe('adopted');
    expect(server.pid()).toBe(said.pid);
    expect(server.socketDir).toBe(said.socketDir);
    await server.stop();
    expect(isAlive(said.pid ?? 0)).toBe(false);
  });

  it('stops the orphan of another release before it starts its own', async () => {
    const dataDir = join(scratch, 'other-release');
    const { child, said } = await runSupervisor(program.script, dataDir);
    orphans.push(said.pid ?? 0);
    child.kill('SIGKILL');
    await endOf(child);

    const stopped: number[] = [];
    expect(
      await takeOver(await findHome(dataDir), 'steward of another release', (pid) => stopped.push(pid)),
    ).toBeUndefined();
    expect(stopped).toEqual([said.pid]);
    expect(isAlive(said.pid ?? 0)).toBe(false);
    expect((await start(dataDir)).kind).toBe('started');
  });

  it('refuses by name a cluster of another major version', async () => {
    const dataDir = join(scratch, 'older');
    await mkdir(join(dataDir, 'postgres', 'cluster'), { recursive: true });
    await writeFile(join(dataDir, 'postgres', 'cluster', 'PG_VERSION'), '17\n');
    if (runsAsRoot()) {
      const { uid = 0, gid = 0 } = await unprivilegedUser();
      await chmod(dataDir, 0o711);
      await chown(join(dataDir, 'postgres', 'cluster'), uid, gid);
    }
    await expect(startEmbeddedPostgres({ dataDir, log })).rejects.toMatchObject({
      name: 'ClusterVersionMismatch',
      found: '17',
      wanted: '18',
    });
  });

  it('starts over the stale files of a whole tree that was killed, even when their pid is somebody else now', async () => {
    const dataDir = join(scratch, 'killed');
    const { child, said } = await runSupervisor(program.script, dataDir);
    orphans.push(said.pid ?? 0);
    await runOn(
      { host: said.socketDir ?? '', port: 5432, user: 'steward_owner', database: 'steward' },
      'create table kept()',
    );
    child.kill('SIGKILL');
    process.kill(said.pid ?? 0, 'SIGKILL');
    await endOf(child);
    const pidFile = join(said.clusterDir ?? '', 'postmaster.pid');
    await until('the killed server is gone', () => !isAlive(said.pid ?? 0));
    const stale = (await readFile(pidFile, 'utf8')).split('\n');
    await writeFile(pidFile, [String(process.pid), ...stale.slice(1)].join('\n'));

    const server = await start(dataDir);
    expect(server.kind).toBe('started');
    expect(await runOn(server.ownerConfig, 'select * from kept')).toEqual([]);
    await expect(stat(said.socketDir ?? '')).rejects.toThrow('ENOENT');
  });

  it('begins anew after a first start that was killed in the middle of initdb', async () => {
    const dataDir = join(scratch, 'halfway');
    await mkdir(join(dataDir, 'postgres', 'unfinished-0123456789abcdef', 'base'), { recursive: true });
    await chmod(dataDir, 0o711);

    const server = await start(dataDir);
    expect(await readdir(join(dataDir, 'postgres'))).toEqual(['cluster', expect.stringMatching(/^server-18/)]);
    expect(await runOn(server.programConfig, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('comes up whole after Steward, alone or with its server, was killed at any moment of a start', async () => {
    const dataDir = join(scratch, 'any-moment');
    const seed = Number(process.env['STEWARD_SEED'] ?? Date.now() % 1_000_000);
    let state = seed;
    const random = (): number => (state = (state * 48_271 + 11) % 2_147_483_647) / 2_147_483_647;
    for (let round = 0; round < 12; round += 1) {
      const child = spawn(process.execPath, [program.script, dataDir], { stdio: 'ignore', cwd: '/' });
      await sleep(random() * 1500);
      child.kill('SIGKILL');
      await endOf(child);
      const pid = await serverPidOf(dataDir);
      if (pid !== undefined && random() < 0.5) process.kill(pid, 'SIGKILL');
    }

    const server = await start(dataDir).catch((error: unknown) => {
      throw new Error(`Seed ${seed}.`, { cause: error });
    });
    expect(await runOn(server.programConfig, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  async function serverPidOf(dataDir: string): Promise<number | undefined> {
    const text = await readFile(join(dataDir, 'postgres', 'cluster', 'postmaster.pid'), 'utf8').catch(() => '');
    const pid = Number(text.split('\n')[0]);
    return pid > 1 && (await isPostmaster(pid, join(dataDir, 'postgres', 'cluster'))) ? pid : undefined;
  }

  it('is started again when the server is killed, under the same address', async () => {
    const server = await start(join(scratch, 'restart'));
    const before = server.pid();
    process.kill(before, 'SIGKILL');

    await until('the server answers again', async () => {
      const answered = await runOn(server.programConfig, 'select 1').catch(() => undefined);
      return answered !== undefined && server.pid() !== before;
    });
  });

  it('stops through SIGTERM of its program and gives the directory back', async () => {
    const dataDir = join(scratch, 'sigterm');
    const { child, said } = await runSupervisor(program.script, dataDir);
    child.kill('SIGTERM');
    expect(await endOf(child)).toBe(0);
    expect(isAlive(said.pid ?? 0)).toBe(false);
    expect((await start(dataDir)).kind).toBe('started');
  });

  it('logs neither statements nor their parameters nor the rows an error is about', async () => {
    const dataDir = join(scratch, 'silent');
    const server = await start(dataDir);
    const client = new Client(server.ownerConfig);
    await client.connect();
    await client.query('create table secrets (text text primary key, number int check (number > 0))');
    await client.query('insert into secrets values ($1, 1)', ['canary-a']);
    await expect(client.query('insert into secrets values ($1, 1)', ['canary-a'])).rejects.toThrow();
    await expect(client.query('insert into secrets values ($1, -1)', ['canary-b'])).rejects.toThrow();
    await expect(client.query(`select 'canary-c' frm`)).resolves.toBeDefined();
    await expect(client.query(`select 'canary-d' from nowhere`)).rejects.toThrow();
    await client.end();

    const said = await readFile(join(dataDir, 'postgres.log'), 'utf8');
    expect(said).toContain('ERROR');
    expect(said).not.toContain('canary');
  });

  asRoot('runs below a home of mode 0700 and stays where it was put', async () => {
    const home = join(scratch, 'home');
    await mkdir(home, { mode: 0o700 });
    const dataDir = join(home, 'data');
    const server = await start(dataDir);
    const folder = dirname(server.clusterDir);
    try {
      expect(folder).toMatch(/^\/var\/lib\/steward\/data-[0-9a-f]{16}$/);
      const location = JSON.parse(await readFile(join(dataDir, 'cluster-location.json'), 'utf8')) as object;
      expect(location).toMatchObject({ folder });
      await server.stop();
      const again = await start(dataDir);
      expect(again.clusterDir).toBe(server.clusterDir);
      await again.stop();
      await rm(folder, { recursive: true });
      await expect(startEmbeddedPostgres({ dataDir, log })).rejects.toThrow(
        `names the cluster ${folder}/cluster, which is gone`,
      );
    } finally {
      await Promise.all(started.splice(0).map((one) => one.stop()));
      await rm(folder, { recursive: true, force: true });
    }
  });

  asRoot('runs as a normal user, below a home of mode 0700 of that user', async () => {
    const { uid = 0, gid = 0 } = await unprivilegedUser();
    if (!(await canReach({ uid, gid }, program.folder))) return;
    const home = join(scratch, 'user-home');
    await mkdir(home, { mode: 0o700 });
    await chown(home, uid, gid);
    const { child, said } = await runSupervisor(program.script, join(home, 'data'), { uid, gid });
    expect(said).toMatchObject({ kind: 'started', clusterDir: join(home, 'data', 'postgres', 'cluster') });
    child.kill('SIGTERM');
    expect(await endOf(child)).toBe(0);
  });
});

describe('The lock of a directory', () => {
  it('is given to exactly one of many, and again after its holder was killed, twenty times over', async () => {
    const dataDir = join(scratch, 'lock');
    await mkdir(dataDir);
    for (let round = 0; round < 20; round += 1) {
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => DirectoryLock.acquire(dataDir)));
      const held = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      expect(held).toHaveLength(1);
      await held[0]?.release();
    }
    expect((await readdir(join(dataDir, 'lock'))).length).toBe(1);
  });

  it('is never held by two of many processes that die with it', async () => {
    const directory = join(scratch, 'lock-processes');
    await mkdir(directory);
    const end = performance.now() + 4000;
    const said = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const lines: string[] = [];
        while (performance.now() < end)
          lines.push(...(await runLocker(program.locker, directory, end - performance.now())));
        return lines;
      }),
    );
    const held = said.flat().filter((line) => line === 'HELD').length;
    expect(said.flat().filter((line) => line !== 'HELD')).toEqual([]);
    expect(held).toBeGreaterThan(10);
    // A number is never given twice, so the last one counts them all.
    expect(await readdir(join(directory, 'lock'))).toContain(String(held));
  });
});

// P8: one hot project, reserve -> commit -> release, 64 callers: Steward's writer against row locks and optimistic
// retries on the same PostgreSQL with the same durability.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { eventTypes } from '../../dist/libs/contracts/src/index.js';
import { Codec, MemoryDataKeys } from '../../dist/libs/eventsourcing/src/index.js';
import { migrate, PostgresEventStore, startEmbeddedPostgres } from '../../dist/libs/postgres/src/index.js';
import { optimisticProject, RIVALS_DDL, rowLockProject } from './quota-rivals.mjs';
import { stewardProject } from './quota-steward.mjs';
import { CALLERS, holdToRoom, race, RACE_ROOM, ROOM, work } from './quota-work.mjs';
import { medianOf, rounds } from './rounds.mjs';
import { cpuNs, spentNs, treeCpuNs } from './server-cpu.mjs';

/** The driver's own default; with 32 the rivals are not faster and take more of the CPU. */
const RIVAL_CONNECTIONS = 10;

const clock = { nowMs: () => Date.now(), now: () => new Date().toISOString() };
const callersOf = (project) => Array.from({ length: CALLERS }, () => project.change);

async function contenders(server) {
  await migrate(server.ownerConfig, { programRole: server.programConfig.user });
  const store = new PostgresEventStore({ connection: server.programConfig });
  const pool = new pg.Pool({ ...server.ownerConfig, max: RIVAL_CONNECTIONS });
  await pool.query(RIVALS_DDL);
  const codec = new Codec(eventTypes, new MemoryDataKeys());
  const ledger = { store, codec, clock, onAppended: () => Promise.resolve() };
  const open = {
    steward: (projectId, room) => stewardProject(ledger, projectId, room),
    rowLocks: (projectId, room) => rowLockProject(pool, projectId, room),
    optimistic: (projectId, room) => optimisticProject(pool, projectId, room),
  };
  return {
    open,
    async close() {
      await store.close();
      await pool.end();
    },
  };
}

/** The callers run in this process, beside the writer or the rivals' own code, so its CPU is counted with them. */
async function measured(project, postgresPid, roundMs) {
  const before = { own: cpuNs(process.pid), postgres: treeCpuNs(postgresPid) };
  const done = await work(callersOf(project), roundMs);
  if (before.postgres === undefined) return done;
  const perCommandUs = (ns) => ns / 1_000 / done.commands;
  return {
    ...done,
    nodeUs: perCommandUs(cpuNs(process.pid) - before.own),
    postgresUs: perCommandUs(spentNs(before.postgres, treeCpuNs(postgresPid))),
  };
}

function rowsOf(figures) {
  const median = (name, figure) => medianOf(figures[name].map((one) => one[figure]));
  const told = (name) => {
    const rate = `${Math.round(median(name, 'perSecond'))} commands/s, p99 ${median(name, 'p99Ms').toFixed(1)} ms`;
    if (figures[name][0].nodeUs === undefined) return rate;
    const [node, postgres] = ['nodeUs', 'postgresUs'].map((figure) => Math.round(median(name, figure)));
    return `${rate}, CPU ${node} us node + ${postgres} us PostgreSQL`;
  };
  const row = (what, rival, target) => {
    const ratio = median('steward', 'perSecond') / median(rival, 'perSecond');
    return {
      id: 'P8',
      what,
      figure: told('steward'),
      reference: told(rival),
      ratio,
      target: `>= ${target}`,
      met: ratio >= target,
    };
  };
  return [
    row('one hot project, 64 callers, service core, 0 oversold, against row locks', 'rowLocks', 50),
    row('the same, against optimistic retries', 'optimistic', 100),
  ];
}

/** Rows of the table of figures. Throws if a contender oversold. */
export async function quotaCore({ roundMs, log }) {
  const dataDir = mkdtempSync(join(tmpdir(), 'steward-bench-'));
  // PostgreSQL runs as an unprivileged user when this runs as root.
  chmodSync(dataDir, 0o711);
  const silent = { info() {}, warn() {}, error() {} };
  const server = await startEmbeddedPostgres({ dataDir, log: silent });
  let all;
  try {
    all = await contenders(server);
    const projects = {};
    for (const [name, open] of Object.entries(all.open)) {
      projects[name] = await open('HOT', ROOM);
      const raced = await open('RACE', RACE_ROOM);
      await race(name, callersOf(raced));
      holdToRoom(name, await raced.history(), RACE_ROOM);
      await raced.close();
    }
    const figures = await rounds(
      Object.fromEntries(
        Object.entries(projects).map(([name, project]) => [name, () => measured(project, server.pid(), roundMs)]),
      ),
    );
    for (const [name, project] of Object.entries(projects)) {
      const { commands, left } = holdToRoom(name, await project.history(), ROOM);
      if (left !== 0) throw new Error(`${name} holds ${left} reservations that were released.`);
      log(`${name}: nothing oversold in ${commands} commands.`);
      await project.close();
    }
    return rowsOf(figures);
  } finally {
    await all?.close();
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

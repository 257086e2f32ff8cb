// P9: the same over HTTP against the whole program, as it ships, beside node:http that only echoes JSON.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { JsonConnection } from './json-connection.mjs';
import { CALLERS, items, memberOf, MEMBERS, race, RACE_ROOM, ROOM, TTL_SECONDS, work } from './quota-work.mjs';
import { medianOf, rounds } from './rounds.mjs';
import { cpuNs, spentNs, treeCpuNs } from './server-cpu.mjs';
import { aDataDir, administratorOf, bearer, made, startSteward } from './steward-program.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

async function openProject(root, projectId, room) {
  await made(root, 'POST', '/v1/tenants/acme/projects', { id: projectId, name: projectId });
  for (let n = 0; n < MEMBERS; n += 1) {
    const member = `/v1/projects/${projectId}/members/${memberOf(n)}`;
    await made(root, 'PUT', member, { role: 'tenant_user' });
    await made(root, 'PUT', `${member}/services/${items[0].service}`);
  }
  for (const { service, resource, amount } of items) {
    const name = `${service}/${resource}`;
    await made(root, 'PUT', `/v1/projects/${projectId}/quotas/${name}`, { limit: amount * room.project });
    await made(root, 'PUT', `/v1/projects/${projectId}/member-default-quotas/${name}`, { limit: amount * room.member });
  }
}

/** As a caller of the work: the three requests of a reservation over one connection. */
const changerOf =
  (connection, projectId, deniedStatus) =>
  async (step, { id, userId }) => {
    const project = `/v1/projects/${projectId}`;
    const requests = {
      reserve: ['POST', `${project}/reservations`, { id, userId, items, ttlSeconds: TTL_SECONDS }],
      commit: ['POST', `${project}/reservations/${id}/commit`, {}],
      release: ['DELETE', `${project}/allocations/${id}`, {}],
    };
    const { status, text } = await connection.ask(...requests[step]);
    if (status === deniedStatus && text.includes('QUOTA_EXCEEDED')) return false;
    if (status >= 300) throw new Error(`${step}: ${status} ${text}`);
    return true;
  };

async function measured(server, changers, roundMs) {
  const before = { own: cpuNs(server.pid), tree: treeCpuNs(server.pid) };
  const done = await work(changers, roundMs);
  if (before.tree === undefined) return done;
  const ownUs = (cpuNs(server.pid) - before.own) / 1_000 / done.commands;
  const treeUs = spentNs(before.tree, treeCpuNs(server.pid)) / 1_000 / done.commands;
  return { ...done, ownUs, treeUs };
}

function rowsOf(figures) {
  const median = (name, figure) => medianOf(figures[name].map((one) => one[figure]));
  const told = (name) =>
    `${Math.round(median(name, 'perSecond'))} requests/s, p99 ${median(name, 'p99Ms').toFixed(1)} ms`;
  const cpuKnown = figures.steward[0].ownUs !== undefined;
  const us = (name, figure) => `${Math.round(median(name, figure))} us`;
  const row = (what, figure, reference, ratio) => ({
    id: 'P9',
    what,
    figure,
    reference,
    ratio,
    target: '>= 0.30',
    met: ratio >= 0.3,
  });
  const byCpu = (figure) => median('echo', 'ownUs') / median('steward', figure);
  return [
    row(
      'the same over HTTP, by wall clock',
      told('steward'),
      `node:http echo ${told('echo')}`,
      median('steward', 'perSecond') / median('echo', 'perSecond'),
    ),
    ...(cpuKnown
      ? [
          row(
            'the same over HTTP, per server CPU',
            `${us('steward', 'ownUs')} a request, ${us('steward', 'treeUs')} with PostgreSQL`,
            `node:http echo ${us('echo', 'ownUs')} (ratio with PostgreSQL ${byCpu('treeUs').toFixed(2)})`,
            byCpu('ownUs'),
          ),
        ]
      : []),
  ];
}

async function holdToNothing(root, projectId) {
  const { services } = await made(root, 'GET', `/v1/projects/${projectId}/quotas`);
  const kept = services.flatMap(({ project }) => project).filter(({ used, reserved }) => used + reserved > 0);
  if (kept.length > 0) throw new Error(`Something released is still counted: ${JSON.stringify(kept)}`);
}

/** Rows of the table of figures. Throws if the program oversold. */
export async function quotaHttp({ roundMs }) {
  const dataDir = aDataDir();
  const echo = fork(here('quota-echo.mjs'), [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  let steward;
  const connections = [];
  const open = async (port, headers) => {
    connections.push(await JsonConnection.open(port, headers));
    return connections.at(-1);
  };
  try {
    const [{ port: echoPort }] = await once(echo, 'message');
    steward = await startSteward({ dataDir });
    const root = await open(steward.port, bearer(administratorOf(dataDir)));
    await made(root, 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
    await made(root, 'PUT', '/v1/principals/compute', { type: 'service', role: 'service' });
    const { secret } = await made(root, 'POST', '/v1/principals/compute/keys');
    await openProject(root, 'HOT', ROOM);
    await openProject(root, 'RACE', RACE_ROOM);
    const callers = async (port) => {
      const opened = [];
      while (opened.length < CALLERS) opened.push(await open(port, bearer(secret)));
      return opened;
    };
    const [own, raw] = [await callers(steward.port), await callers(echoPort)];
    const changers = (all, projectId) => all.map((connection) => changerOf(connection, projectId, 409));
    await race('Steward over HTTP', changers(own, 'RACE'));
    const figures = await rounds({
      echo: () => measured({ pid: echo.pid }, changers(raw, 'HOT'), roundMs),
      steward: () => measured(steward, changers(own, 'HOT'), roundMs),
    });
    await holdToNothing(root, 'HOT');
    return rowsOf(figures);
  } finally {
    for (const connection of connections) connection.close();
    echo.kill();
    await steward?.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

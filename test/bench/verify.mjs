// P1, P2 and P6: verification over HTTP against node:http doing the same work, and the memory of the index.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';
import { medianOf, rounds } from './rounds.mjs';
import { cpuNs } from './server-cpu.mjs';
import { CALLER, tokenOf, usedEvery } from './verify-keys.mjs';

const KEYS = Number(process.env.STEWARD_BENCH_KEYS ?? 1_000_000);
const USED = 10_000;
const BATCH = 100;
const CONNECTIONS = 64;
const START_MS_MAX = 300_000;

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Starts a module of this folder and answers what it sends first. */
function started(file, args, execArgv = []) {
  const child = fork(here(file), args.map(String), { execArgv, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const message = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${file} did not start.`)), START_MS_MAX);
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}.`)));
    child.once('message', () => clearTimeout(timer));
  });
  return { child, message };
}

const caller = { 'content-type': 'application/json', authorization: `Bearer ${tokenOf(CALLER)}` };

let connection = 0;
function share(bodies, path) {
  connection += 1;
  const own = bodies.filter((_, n) => bodies.length <= CONNECTIONS || n % CONNECTIONS === connection % CONNECTIONS);
  return own.map((body) => ({ method: 'POST', path, headers: caller, body }));
}

async function load({ port, pid, path, bodies, roundMs, rate }) {
  const before = cpuNs(pid);
  const result = await autocannon({
    url: `http://127.0.0.1:${port}`,
    connections: CONNECTIONS,
    duration: roundMs / 1_000,
    sampleInt: Math.min(1_000, roundMs / 2),
    ...(rate === undefined ? {} : { overallRate: rate }),
    // A share of the bodies for each connection: autocannon prepares all that a connection may send.
    setupClient: (client) => client.setRequests(share(bodies, path)),
    requests: share(bodies.slice(0, 1), path),
  });
  const after = cpuNs(pid);
  const answered = result['2xx'];
  if (answered === 0 || result.non2xx > 0 || result.errors > 0)
    throw new Error(`${path}: ${answered} answered, ${result.non2xx} refused, ${result.errors} broken.`);
  return {
    perSecond: answered / (result.duration || roundMs / 1_000),
    cpuUs: before === undefined || after === undefined ? undefined : (after - before) / answered / 1_000,
    p99Ms: result.latency.p99,
  };
}

async function firstAnswer(port, path, body) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers: caller, body });
  return response.json();
}

async function memory() {
  const weigh = async (what) => {
    const { child, message } = started('verify-memory.mjs', [what, KEYS], ['--expose-gc', '--max-old-space-size=8192']);
    const { bytes } = await message;
    child.kill();
    return bytes;
  };
  const index = await weigh('index');
  const map = await weigh('map');
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const limit = (80e6 * KEYS) / 1e6;
  return [
    {
      id: 'P6',
      what: `memory of ${KEYS.toLocaleString('en')} keys incl. owner, scopes, expiry, status`,
      figure: megabytes(index),
      reference: `Map of objects ${megabytes(map)}`,
      ratio: map / index,
      target: `<= ${megabytes(limit)}, >= 4x smaller`,
      met: index <= limit && map / index >= 4,
    },
  ];
}

/** Rows of the table of figures. */
export async function verify({ roundMs, log }) {
  const memoryRows = await memory();
  log(`Loading ${KEYS.toLocaleString('en')} keys into Steward and into its limit.`);
  const steward = started('verify-server.mjs', [KEYS, USED]);
  const limit = started('verify-limit.mjs', [KEYS, USED], ['--max-old-space-size=8192']);
  try {
    const [{ port }, { port: limitPort }] = await Promise.all([steward.message, limit.message]);
    const every = usedEvery(KEYS, USED);
    const tokens = Array.from({ length: Math.min(USED, KEYS) }, (_, n) => tokenOf(n * every));
    const bodies = tokens.map((token) => JSON.stringify({ token }));
    const batches = Array.from({ length: tokens.length / BATCH }, (_, n) =>
      JSON.stringify({ requests: tokens.slice(n * BATCH, (n + 1) * BATCH).map((token) => ({ token })) }),
    );
    for (const [at, path] of [
      [port, '/v1/keys/verify'],
      [limitPort, '/'],
    ]) {
      const answer = await firstAnswer(at, path, bodies[1]);
      if (answer.code !== 'VALID') throw new Error(`${path} answers ${JSON.stringify(answer)}.`);
    }
    const own = { port, pid: steward.child.pid, roundMs };
    const raw = { port: limitPort, pid: limit.child.pid, roundMs, path: '/' };
    const figures = await rounds({
      raw: () => load({ ...raw, bodies }),
      single: () => load({ ...own, path: '/v1/keys/verify', bodies }),
      batch: () => load({ ...own, path: '/v1/keys/verify-batch', bodies: batches }),
    });
    const median = (name, figure) => medianOf(figures[name].map((one) => one[figure]));
    const calm = (name) => Math.floor(median(name, 'perSecond') * 0.7);
    const paced = await rounds({
      raw: () => load({ ...raw, bodies, rate: calm('raw') }),
      single: () => load({ ...own, path: '/v1/keys/verify', bodies, rate: calm('single') }),
    });
    return [...rateRows(median), latencyRow(paced), ...memoryRows];
  } finally {
    steward.child.kill();
    limit.child.kill();
  }
}

/** By the server's CPU where it is known: on a shared machine the load decides the wall clock. */
function rateRows(median) {
  const row = (id, what, name, keys, target) => {
    const wall = (median(name, 'perSecond') * keys) / median('raw', 'perSecond');
    const rawUs = median('raw', 'cpuUs');
    const ownUs = median(name, 'cpuUs');
    const ratio = rawUs === undefined ? wall : (rawUs * keys) / ownUs;
    const cpu = (us) => (us === undefined ? '' : `, ${us.toFixed(2)} us CPU`);
    return {
      id,
      what,
      figure: `${Math.round(median(name, 'perSecond') * keys)} keys/s${cpu(ownUs === undefined ? undefined : ownUs / keys)} a key`,
      reference: `node:http ${Math.round(median('raw', 'perSecond'))}/s${cpu(rawUs)} (wall ratio ${wall.toFixed(2)})`,
      ratio,
      target: `>= ${target}`,
      met: ratio >= target,
    };
  };
  return [
    row('P1', 'verify over HTTP, one key a request, per server CPU', 'single', 1, 0.8),
    row('P2', `verify over HTTP, batch of ${BATCH}, per key and server CPU`, 'batch', BATCH, 12),
  ];
}

function latencyRow(paced) {
  const p99 = (name) => medianOf(paced[name].map(({ p99Ms }) => p99Ms));
  const ratio = p99('single') / p99('raw');
  return {
    id: 'P1',
    what: 'p99 at 70 % of its own rate',
    figure: `${p99('single')} ms`,
    reference: `node:http ${p99('raw')} ms`,
    ratio,
    target: '<= 2',
    met: ratio <= 2,
  };
}

// P12: from the acknowledgement of a revocation to the refusal by every verifier, in one process and in three that
// follow one store, against the acknowledgement's own latency.
import { rmSync } from 'node:fs';
import { startEmbeddedPostgres } from '../../dist/libs/postgres/src/index.js';
import { JsonConnection } from './json-connection.mjs';
import { medianOf, rounds } from './rounds.mjs';
import { aDataDir, administratorOf, bearer, made, startSteward } from './steward-program.mjs';

const REVOCATIONS_A_ROUND = 200;
const MAKERS = 8;
/** After this a verifier counts as one that never refuses. */
const REFUSAL_MS_MAX = 10_000;
const PROJECT = '/v1/projects/GOV112345';

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const quantiles = (figuresMs) => {
  const sorted = figuresMs.toSorted((a, b) => a - b);
  return { p50Ms: at(sorted, 0.5), p99Ms: at(sorted, 0.99) };
};

/** A project, and a service that verifies: answers its token. */
async function prepared([{ port }], administrator) {
  const root = await JsonConnection.open(port, bearer(administrator));
  try {
    await made(root, 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
    await made(root, 'POST', '/v1/tenants/acme/projects', { id: 'GOV112345', name: 'Weather' });
    await made(root, 'PUT', `${PROJECT}/members/alice`, { role: 'tenant_user' });
    await made(root, 'PUT', '/v1/principals/gateway', { type: 'service', role: 'service' });
    const { secret } = await made(root, 'POST', '/v1/principals/gateway/keys');
    return secret;
  } finally {
    root.close();
  }
}

async function keysMadeBy(makers) {
  const keys = [];
  const wish = { name: 'to be revoked', owner: { type: 'user', id: 'alice' }, ttlDays: 30 };
  const make = async (connection) => {
    for (let n = 0; n < REVOCATIONS_A_ROUND / MAKERS; n += 1)
      keys.push(await made(connection, 'POST', `${PROJECT}/keys`, wish));
  };
  await Promise.all(makers.map(make));
  return keys;
}

async function acceptAll(gateway, keys) {
  for (const { secret } of keys) {
    const { code } = await made(gateway, 'POST', '/v1/keys/verify', { token: secret });
    if (code !== 'VALID') throw new Error(`A new key is ${code}.`);
  }
}

/**
 * Asks one verifier over and over, each time when it has answered, from a moment on: ms until it first refused, which its
 * answer takes a part of, and ms until it last accepted, 0 if never.
 */
async function refusalOf(gateway, token, sinceMs) {
  let acceptedMs = 0;
  for (;;) {
    const { code } = await made(gateway, 'POST', '/v1/keys/verify', { token });
    const tookMs = performance.now() - sinceMs;
    if (code === 'REVOKED') return { refusedMs: tookMs, acceptedMs };
    if (code !== 'VALID') throw new Error(`A revoked key is ${code}.`);
    if (tookMs > REFUSAL_MS_MAX) throw new Error(`A verifier accepts a key ${REFUSAL_MS_MAX} ms after its revocation.`);
    acceptedMs = tookMs;
  }
}

/** Each revocation is acknowledged by the next process in turn; the last verifier to refuse counts. */
async function revokedInTurn({ stewards, administrator, service }) {
  // The program closes connections that wait for another contender's round, so every round has its own.
  const connections = [];
  const open = async ({ port }, token) => {
    connections.push(await JsonConnection.open(port, bearer(token)));
    return connections.at(-1);
  };
  const openAll = (to, token) => Promise.all(to.map((steward) => open(steward, token)));
  try {
    const keys = await keysMadeBy(await openAll(Array(MAKERS).fill(stewards[0]), administrator));
    const gateways = await openAll(stewards, service);
    await Promise.all(gateways.map((gateway) => acceptAll(gateway, keys)));
    const roots = await openAll(stewards, administrator);
    const tookMs = { acknowledged: [], refused: [], accepted: [] };
    for (const [n, { key, secret }] of keys.entries()) {
      const sinceMs = performance.now();
      await made(roots[n % roots.length], 'POST', `/v1/keys/${key.id}/revoke`, { reason: 'compromised' });
      const doneMs = performance.now();
      const refusals = await Promise.all(gateways.map((gateway) => refusalOf(gateway, secret, doneMs)));
      tookMs.acknowledged.push(doneMs - sinceMs);
      tookMs.refused.push(Math.max(...refusals.map(({ refusedMs }) => refusedMs)));
      tookMs.accepted.push(Math.max(...refusals.map(({ acceptedMs }) => acceptedMs)));
    }
    return Object.fromEntries(Object.entries(tookMs).map(([name, figuresMs]) => [name, quantiles(figuresMs)]));
  } finally {
    for (const connection of connections) connection.close();
  }
}

function rowOf(what, figures, targetMs) {
  const median = (of, quantile) => medianOf(figures.map((figure) => figure[of][quantile]));
  const told = (of) => `p50 ${median(of, 'p50Ms').toFixed(1)} ms, p99 ${median(of, 'p99Ms').toFixed(1)} ms`;
  const p99Ms = median('refused', 'p99Ms');
  return {
    id: 'P12',
    what,
    figure: `${told('refused')}; accepted until p99 ${median('accepted', 'p99Ms').toFixed(1)} ms`,
    reference: `the acknowledgement ${told('acknowledged')}`,
    ratio: p99Ms / median('acknowledged', 'p99Ms'),
    target: `p99 <= ${targetMs} ms`,
    met: p99Ms <= targetMs,
  };
}

/** Rows of the table of figures. Throws if a verifier goes on accepting. */
export async function revocation({ log }) {
  const ends = [];
  try {
    const dirs = { alone: aDataDir(), store: aDataDir(), three: aDataDir() };
    for (const dir of Object.values(dirs)) ends.unshift(() => rmSync(dir, { recursive: true, force: true }));
    const started = async (options) => {
      const steward = await startSteward(options);
      ends.unshift(() => steward.stop());
      return steward;
    };
    const opened = async (stewards, dataDir) => {
      const administrator = administratorOf(dataDir);
      return { stewards, administrator, service: await prepared(stewards, administrator) };
    };
    const one = await opened([await started({ dataDir: dirs.alone })], dirs.alone);
    const silent = { info() {}, warn() {}, error() {} };
    const server = await startEmbeddedPostgres({ dataDir: dirs.store, log: silent, connectionsMax: 200 });
    ends.unshift(() => server.stop());
    const env = { STEWARD_DATABASE_URL: server.ownerUrl };
    const stewards = [];
    for (const name of ['first', 'second', 'third']) stewards.push(await started({ dataDir: dirs.three, env, name }));
    const three = await opened(stewards, dirs.three);
    log(`${REVOCATIONS_A_ROUND} revocations a round, asked of every verifier until it refuses.`);
    const figures = await rounds({ one: () => revokedInTurn(one), three: () => revokedInTurn(three) });
    return [
      rowOf('revoke acknowledged -> refused, one process', figures.one, 5),
      rowOf('the same, by every one of three processes that follow one store', figures.three, 250),
    ];
  } finally {
    for (const end of ends) await end();
  }
}

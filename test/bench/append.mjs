// P7: command -> acknowledged event with 64 callers, through decide, version check and an answer of one's own, against
// the rate at which the same disk does fdatasync, and against Emmett's PostgreSQL store at its defaults.
import { chmodSync, closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { Codec, FixedClock, MemoryDataKeys, runCommand } from '../../dist/libs/eventsourcing/src/index.js';
import { migrate, PostgresEventStore, startEmbeddedPostgres } from '../../dist/libs/postgres/src/index.js';
import { medianOf, rounds } from './rounds.mjs';

const CALLERS = 64;

/** A counter with one rule, so that every command folds, decides and checks its version. */
const decider = {
  initialState: { extended: 0 },
  decide: (command, state) => {
    if (state.extended >= 1_000_000) throw new Error('The rule that is checked.');
    return [{ type: 'KeyExtended', data: { from: command.at, to: command.at, days: 30 } }];
  },
  evolve: (state) => ({ extended: state.extended + 1 }),
};

/** Runs `one` in `callers` loops for `ms` and answers how often a second it was done. */
async function perSecond(callers, ms, one) {
  const startedMs = performance.now();
  const endMs = startedMs + ms;
  let done = 0;
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let n = 0; performance.now() < endMs; n += 1) {
        await one(caller, n);
        done += 1;
      }
    }),
  );
  return done / ((performance.now() - startedMs) / 1000);
}

function fdatasyncPerSecond(file, ms) {
  const page = Buffer.alloc(8192, 1);
  const startedMs = performance.now();
  let done = 0;
  for (; performance.now() - startedMs < ms; done += 1) {
    writeSync(file, page, 0, page.length, (done * page.length) % (8 << 20));
    fdatasyncSync(file);
  }
  return done / ((performance.now() - startedMs) / 1000);
}

async function emmettStore(url) {
  const { getPostgreSQLEventStore } =
    await import('./peers/node_modules/@event-driven-io/emmett-postgresql/dist/index.js');
  return getPostgreSQLEventStore(url);
}

const context = (commandId) => ({
  commandId,
  correlationId: commandId,
  causationId: null,
  requestHash: null,
  actor: { type: 'service', id: 'bench', via: 'internal' },
  actorPart: null,
});

/** Rows of the table of figures (docs/guides/bench.md). */
export async function append({ roundMs, log }) {
  const dataDir = mkdtempSync(join(tmpdir(), 'steward-bench-'));
  // PostgreSQL runs as an unprivileged user when this runs as root.
  chmodSync(dataDir, 0o711);
  const silent = { info() {}, warn() {}, error() {} };
  const server = await startEmbeddedPostgres({ dataDir, log: silent });
  let store;
  let emmett;
  const file = openSync(join(dataDir, 'fdatasync'), 'w');
  try {
    await migrate(server.ownerConfig, { programRole: server.programConfig.user });
    store = new PostgresEventStore({ connection: server.programConfig });
    const ledger = {
      store,
      clock: new FixedClock(Date.now()),
      codec: new Codec({ KeyExtended: { schemaVersion: 1 } }, new MemoryDataKeys()),
      onAppended: () => Promise.resolve(),
    };
    emmett = await emmettStore(server.ownerUrl).catch((error) => {
      log(`Emmett is left out: ${error.message}`);
    });
    let run = 0;
    const contenders = {
      fdatasync: () => fdatasyncPerSecond(file, roundMs),
      steward: () => {
        run += 1;
        return perSecond(CALLERS, roundMs, (caller, n) =>
          // A key of its own for every four commands: streams as short as they are in life.
          runCommand(ledger, {
            stream: `key-${run}x${caller}x${n >> 2}`,
            decider,
            command: { at: '2026-01-01T00:00:00.000Z' },
            scope: { tenantId: 'acme', projectId: 'GOV112345' },
            context: context(randomUUID()),
          }),
        );
      },
      ...(emmett === undefined
        ? {}
        : {
            emmett: () => {
              run += 1;
              return perSecond(CALLERS, roundMs, (caller, n) =>
                emmett.appendToStream(
                  `key-${run}x${caller}x${n >> 2}`,
                  [{ type: 'KeyExtended', data: { from: 'a', to: 'b', days: 30 }, metadata: { actor: 'bench' } }],
                  { expectedStreamVersion: n % 4 === 0 ? 'STREAM_DOES_NOT_EXIST' : BigInt(n % 4) },
                ),
              );
            },
          }),
    };
    const figures = await rounds(contenders);
    const rate = medianOf(figures.steward);
    const row = (what, reference, target) => ({
      id: 'P7',
      what,
      figure: `${Math.round(rate)} commands/s`,
      reference: `${Math.round(reference)}/s`,
      ratio: rate / reference,
      target: `>= ${target}`,
      met: rate / reference >= target,
    });
    return [
      row('command -> acknowledged event, embedded, 64 callers, against fdatasync', medianOf(figures.fdatasync), 4),
      ...(figures.emmett === undefined
        ? []
        : [row("the same, against Emmett's PostgreSQL store at its defaults", medianOf(figures.emmett), 10)]),
    ];
  } finally {
    closeSync(file);
    await emmett?.close();
    await store?.close();
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

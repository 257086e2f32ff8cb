import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { PostgresEventStore } from '#libs/postgres';
import {
  createScratchLedger,
  type ExternalPostgres,
  type ScratchLedger,
  seededRandom,
  startExternalPostgres,
} from '#libs/testing';

/**
 * Three processes with 16 writers each, whose transactions linger and roll back, and one reader that follows meanwhile.
 * STEWARD_FAULT_SIZE=full writes the 100,000 events of the release check.
 */
const full = process.env['STEWARD_FAULT_SIZE'] === 'full';
const EVENTS = full ? 100_000 : 6_000;
const PROCESSES = 3;
const TIME_MAX_MS = full ? 900_000 : 60_000;

interface Seen {
  readonly position: string;
  readonly stream: string;
  readonly revision: number;
  readonly id: string;
}

interface Report {
  readonly events: number;
  readonly skipped: number;
  readonly outOfOrder: number;
  readonly gaps: number;
}

/** What the reader saw, held against what stands in the log when all is quiet. */
function report(seen: readonly Seen[], all: readonly Seen[]): Report {
  const ids = new Set(seen.map((event) => event.id));
  const revisions = new Map<string, number>();
  let previous = '';
  let outOfOrder = 0;
  for (const { position, stream, revision } of seen) {
    if (position <= previous || revision !== (revisions.get(stream) ?? 0) + 1) outOfOrder += 1;
    previous = position;
    revisions.set(stream, revision);
  }
  return {
    events: all.length,
    skipped: all.filter((event) => !ids.has(event.id)).length,
    outOfOrder,
    gaps: Number(all.at(-1)?.position ?? 0) - all.length,
  };
}

const writer = fileURLToPath(new URL('./order-writer.mjs', import.meta.url));
const { seed } = seededRandom();

async function write(store: 'ledger' | 'naive', connection: pg.ClientConfig, events: number): Promise<void> {
  await Promise.all(
    Array.from({ length: PROCESSES }, async (_, n) => {
      const { stdout } = await promisify(execFile)(
        process.execPath,
        [writer, store, String(Math.ceil(events / PROCESSES)), String(seed + n)],
        { env: { ...process.env, ORDER_CONNECTION: JSON.stringify(connection) }, timeout: TIME_MAX_MS },
      );
      const { rolledBack } = JSON.parse(stdout) as { rolledBack: number };
      expect(rolledBack).toBeGreaterThan(0);
    }),
  );
}

describe('the order of the log', () => {
  let server: ExternalPostgres;
  let ledger: ScratchLedger;

  beforeAll(async () => {
    server = await startExternalPostgres();
    ledger = await createScratchLedger(server.url);
    process.stdout.write(`order SEED=${seed} EVENTS=${EVENTS} PostgreSQL ${server.version} (${server.kind})\n`);
  });

  afterAll(async () => {
    await ledger.drop();
    await server.stop();
  });

  it(
    'a follower of the ledger skips nothing, sees nothing out of order, and positions have no gap',
    async () => {
      const store = new PostgresEventStore({ connection: ledger.program });
      const stop = new AbortController();
      const seen: Seen[] = [];
      let reached = store.origin;
      const following = (async () => {
        for await (const page of store.follow({ after: store.origin, signal: stop.signal })) {
          seen.push(...page.events);
          reached = page.position;
          if (stop.signal.aborted) return;
        }
      })();
      await write('ledger', ledger.program, EVENTS);
      const head = await store.head();
      for (const deadline = performance.now() + 10_000; reached < head && performance.now() < deadline;)
        await new Promise((resolve) => setTimeout(resolve, 20));
      stop.abort();
      await following;
      const all: Seen[] = [];
      for (let after = store.origin; after < head; after = all.at(-1)?.position ?? head)
        all.push(...(await store.readAll({ after, limit: 1_000 })).events);
      await store.close();
      const found = report(seen, all);
      process.stdout.write(`order of the ledger: ${JSON.stringify(found)}\n`);
      expect(found).toEqual({ events: all.length, skipped: 0, outOfOrder: 0, gaps: 0 });
      expect(all.length).toBeGreaterThanOrEqual(EVENTS);
    },
    TIME_MAX_MS,
  );

  it(
    'the same reader on a store that takes positions from a sequence is caught skipping',
    async () => {
      const reader = new pg.Client(ledger.owner);
      await reader.connect();
      await reader.query(`create schema naive; create table naive.events (
        position bigint generated always as identity primary key, stream text collate "C" not null,
        revision bigint not null, event_id uuid not null, unique (stream, revision))`);
      const columns = `lpad(position::text, 20, '0') as position, stream, revision::int, event_id as id`;
      const seen: Seen[] = [];
      const writing = { ended: false };
      const following = (async () => {
        for (let last = false; !last;) {
          last = writing.ended;
          const { rows } = await reader.query<Seen>(
            `select ${columns} from naive.events e where e.position > $1 order by e.position limit 1000`,
            [seen.at(-1)?.position ?? '0'],
          );
          seen.push(...rows);
          if (rows.length > 0) last = false;
        }
      })();
      await write('naive', ledger.owner, EVENTS / 2).finally(() => {
        writing.ended = true;
      });
      await following;
      const { rows: all } = await reader.query<Seen>(`select ${columns} from naive.events e order by e.position`);
      await reader.end();
      const found = report(seen, all);
      process.stdout.write(`order of a bare sequence: ${JSON.stringify(found)}\n`);
      expect(found.skipped).toBeGreaterThan(0);
      expect(found.gaps).toBeGreaterThan(0);
    },
    TIME_MAX_MS,
  );
});

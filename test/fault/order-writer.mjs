// One of the writing processes of order.fault.spec.ts: 16 writers whose transactions linger and roll back at random.
// node order-writer.mjs <ledger|naive> <events to commit> <seed>; the connection is JSON in ORDER_CONNECTION.
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

const [, , store, wantedText, seedText] = process.argv;
const wanted = Number(wantedText);
const connection = JSON.parse(process.env.ORDER_CONNECTION);
const WRITERS = 16;
const STREAMS = 200;

let state = Number(seedText) >>> 0;
/** mulberry32 */
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

const texts = (count, text) => Array.from({ length: count }, () => text);
const sha256 = (text) => createHash('sha256').update(text).digest();

/** One append by the ledger's own function; answers the revision that the stream is at, and whether it was written. */
async function appendToLedger(client, stream, expected, ids) {
  const envelopes = ids.map((id) => JSON.stringify({ id }));
  let start = 1;
  const starts = envelopes.map((envelope) => (start += envelope.length) - envelope.length);
  const { rows } = await client.query({
    name: 'append',
    text: 'select first_position, actual_revision from ledger.append_batch($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15)',
    values: [
      [stream],
      [1],
      [expected],
      [ids.length],
      texts(ids.length, 1),
      ids.map((_, n) => n),
      ids,
      texts(ids.length, 'KeyUpdated'),
      texts(ids.length, null),
      texts(ids.length, null),
      starts,
      envelopes.map((envelope) => envelope.length),
      texts(ids.length, 0),
      Buffer.from(envelopes.join('')),
      Buffer.concat(envelopes.flatMap((envelope) => [sha256(envelope), sha256(envelope)])),
    ],
  });
  return { written: rows[0].first_position !== null, revision: Number(rows[0].actual_revision) };
}

/** What many event stores do: the position comes from a sequence, and the order of commits is another. */
async function appendNaively(client, stream, expected, ids) {
  const { rows } = await client.query({
    name: 'naive',
    text: `insert into naive.events (stream, revision, event_id)
      select $1, $2 + n, id from unnest($3::uuid[]) with ordinality as new (id, n)
      on conflict (stream, revision) do nothing returning revision`,
    values: [stream, expected, ids],
  });
  if (rows.length === ids.length) return { written: true, revision: expected + ids.length };
  const standing = await client.query(
    'select coalesce(max(revision), 0) as revision from naive.events where stream = $1',
    [stream],
  );
  return { written: false, revision: Number(standing.rows[0].revision) };
}

const append = store === 'naive' ? appendNaively : appendToLedger;
const revisions = new Map();
const counts = { committed: 0, conflicts: 0, rolledBack: 0 };

async function write() {
  const client = new pg.Client(connection);
  await client.connect();
  while (counts.committed < wanted) {
    const stream = `order-${Math.floor(random() * STREAMS)}`;
    const ids = Array.from({ length: 1 + Math.floor(random() * 3) }, () => randomUUID());
    await client.query('begin');
    if (random() < 0.1) {
      // A transaction id taken long before the append is what an order by transaction ids trips over.
      await client.query('select pg_current_xact_id()');
      await sleep(random() * 10);
    }
    const { written, revision } = await append(client, stream, revisions.get(stream) ?? 0, ids);
    if (random() < 0.05) await sleep(random() * 8);
    const keep = written && random() > 0.05;
    await client.query(keep ? 'commit' : 'rollback');
    if (keep) {
      counts.committed += ids.length;
      revisions.set(stream, Math.max(revision, revisions.get(stream) ?? 0));
    } else if (written) counts.rolledBack += 1;
    else {
      counts.conflicts += 1;
      revisions.set(stream, revision);
    }
  }
  await client.end();
}

await Promise.all(Array.from({ length: WRITERS }, write));
process.stdout.write(`${JSON.stringify(counts)}\n`);

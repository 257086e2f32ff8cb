// Recomputes every leaf and chain hash of a history from its raw bytes, with nothing but Node:
//
//   curl -sS -H "Authorization: Bearer $KEY" -H 'accept: application/x-ndjson' \
//     'http://127.0.0.1:8080/v1/audit/events?projectId=GOV112345&raw=true' | node examples/verify-history.mjs
//
// or with the name of a file. Exit code 0: all is as it was written. 1: the first event that is not is named.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { isDeepStrictEqual } from 'node:util';

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
const LEAF = Buffer.from([0x00]);
const CHAIN = Buffer.from([0x02]);

/** What the form says beside the envelope, by the envelope's name. The store's position and time are not hashed. */
const told = {
  id: 'eventId',
  stream: 'stream',
  revision: 'revision',
  type: 'type',
  tenantId: 'tenantId',
  projectId: 'projectId',
  actor: 'actor',
  commandId: 'commandId',
  correlationId: 'correlationId',
  causationId: 'causationId',
  recordedAt: 'recordedAt',
};

/** The last event of each stream: its revision and its chain hash. */
const ends = new Map();
let begunLater = 0;

function faultOf(event) {
  if (typeof event.raw !== 'string') return 'it has no raw bytes; ask with raw=true';
  const bytes = Buffer.from(event.raw, 'base64');
  if (bytes.toString('base64') !== event.raw) return 'its raw bytes are not base64';
  const leafHash = sha256(LEAF, bytes);
  if (leafHash.toString('hex') !== event.leafHash) return 'its bytes do not have its leaf hash';

  const envelope = JSON.parse(bytes.toString('utf8'));
  for (const [name, shown] of Object.entries(told))
    if (!isDeepStrictEqual(envelope[name], event[shown])) return `its ${shown} is not that of its bytes`;
  // A newer release shows old events in today's form; the bytes keep theirs.
  if (envelope.schemaVersion === event.schemaVersion && !isDeepStrictEqual(envelope.data, event.data))
    return 'its data are not those of its bytes';
  if (!isDeepStrictEqual(Object.keys(envelope.private), Object.keys(event.private)))
    return 'its private parts are not those of its bytes';

  const { stream, revision, prev } = envelope;
  const before = ends.get(stream);
  if (before === undefined && revision > 1) begunLater += 1;
  if (before !== undefined && revision !== before.revision + 1)
    return `revision ${revision} follows ${before.revision}; a history by type or actor has no whole chains`;
  if ((revision === 1) !== (prev === null)) return 'only the first event of a stream has none before it';
  if (before !== undefined && prev !== before.chainHash) return 'it does not follow from the event before it';
  const chainHash = sha256(CHAIN, prev === null ? Buffer.alloc(32) : Buffer.from(prev, 'hex'), leafHash).toString(
    'hex',
  );
  if (chainHash !== event.chainHash) return 'its chain hash does not follow from its bytes';
  ends.set(stream, { revision, chainHash });
  return undefined;
}

const [file] = process.argv.slice(2);
const input = file === undefined ? process.stdin : createReadStream(file);
let events = 0;
for await (const line of createInterface({ input, crlfDelay: Infinity })) {
  if (line.trim() === '') continue;
  events += 1;
  let name = `line ${events}`;
  let fault;
  try {
    const event = JSON.parse(line);
    if (event.code !== undefined) throw new Error(`the answer is ${event.code}`);
    name = `${event.stream}/${event.revision} at position ${event.position}`;
    fault = faultOf(event);
  } catch (error) {
    fault = `it is no event: ${error.message}`;
  }
  if (fault === undefined) continue;
  console.error(`BAD ${name}: ${fault}.`);
  process.exit(1);
}
if (events === 0) {
  console.error('BAD history: no event came, so nothing is proved.');
  process.exit(1);
}
const later = begunLater === 0 ? '' : `; ${begunLater} streams began before this history`;
console.log(`OK: ${events} events in ${ends.size} streams${later}.`);

import type { AppendRequest, NewEvent } from '#libs/eventsourcing';
import type pg from 'pg';

/** What the database answers for one append of a batch; `firstPosition` is that of its first event. */
export type AppendOutcome =
  | { readonly kind: 'written'; readonly firstPosition: number; readonly storedAt: string }
  | { readonly kind: 'already' }
  | { readonly kind: 'conflict'; readonly actualRevision: number };

const STATEMENT = `select first_position, actual_revision, already, stored_at
from ledger.append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`;

/** The array literal without the quoting that the driver gives to every element. */
const numbers = (values: readonly number[]): string => `{${values.join(',')}}`;

const privateTextOf = (event: NewEvent): string => {
  for (const _ in event.privateParts) return JSON.stringify(event.privateParts);
  return '';
};

/** Hex digits and hyphens need no quotes; null where no event bears one, as is so while nobody makes traces. */
const traceparentsOf = (events: readonly NewEvent[]): string | null =>
  events.some((event) => event.traceparent !== undefined)
    ? `{${events.map((event) => event.traceparent ?? 'null').join(',')}}`
    : null;

/** The texts of all events in one buffer: each envelope followed by its private parts. */
function packTexts(events: readonly NewEvent[]): {
  texts: Buffer;
  starts: number[];
  envelopeSizes: number[];
  privateSizes: number[];
} {
  const starts: number[] = [];
  const envelopeSizes: number[] = [];
  const privateSizes: number[] = [];
  const pieces: string[] = [];
  let start = 1;
  for (const event of events) {
    const privateText = privateTextOf(event);
    const envelopeSize = Buffer.byteLength(event.envelope, 'utf8');
    const privateSize = Buffer.byteLength(privateText, 'utf8');
    starts.push(start);
    envelopeSizes.push(envelopeSize);
    privateSizes.push(privateSize);
    pieces.push(event.envelope, privateText);
    start += envelopeSize + privateSize;
  }
  return { texts: Buffer.from(pieces.join(''), 'utf8'), starts, envelopeSizes, privateSizes };
}

/** The parameters of ledger.append_batch; what each means stands beside its definition. */
export function batchParameters(requests: readonly AppendRequest[]): unknown[] {
  const streamNumbers = new Map<string, number>();
  const appendStream: number[] = [];
  const eventAppend: number[] = [];
  const eventNth: number[] = [];
  const events: NewEvent[] = [];
  requests.forEach((request, n) => {
    let streamNumber = streamNumbers.get(request.stream);
    if (streamNumber === undefined) {
      streamNumber = streamNumbers.size + 1;
      streamNumbers.set(request.stream, streamNumber);
    }
    appendStream.push(streamNumber);
    request.events.forEach((event, nth) => {
      eventAppend.push(n + 1);
      eventNth.push(nth);
      events.push(event);
    });
  });
  const { texts, starts, envelopeSizes, privateSizes } = packTexts(events);
  return [
    [...streamNumbers.keys()],
    numbers(appendStream),
    numbers(requests.map((request) => request.expectedRevision)),
    numbers(requests.map((request) => request.events.length)),
    numbers(eventAppend),
    numbers(eventNth),
    events.map((event) => event.id),
    events.map((event) => event.type),
    events.map((event) => event.tenantId),
    events.map((event) => event.projectId),
    numbers(starts),
    numbers(envelopeSizes),
    numbers(privateSizes),
    texts,
    Buffer.concat(events.flatMap((event) => [event.leafHash, event.chainHash])),
    traceparentsOf(events),
  ];
}

type Row = readonly [firstPosition: string | null, actualRevision: string, already: boolean, storedAt: Date];

/** One call, one implicit transaction: the answers in the order of the requests. `deadlineMs` bounds the wait. */
export async function sendBatch(
  client: pg.ClientBase,
  requests: readonly AppendRequest[],
  deadlineMs: number,
): Promise<AppendOutcome[]> {
  const query = {
    name: 'ledger.append_batch',
    text: STATEMENT,
    values: batchParameters(requests),
    rowMode: 'array' as const,
    query_timeout: deadlineMs,
  };
  const { rows } = await client.query<Row & unknown[]>(query);
  const storedAt = rows[0]?.[3].toISOString() ?? '';
  return rows.map(([firstPosition, actualRevision, already]) => {
    if (firstPosition !== null) return { kind: 'written', firstPosition: Number(firstPosition), storedAt };
    return already ? { kind: 'already' } : { kind: 'conflict', actualRevision: Number(actualRevision) };
  });
}

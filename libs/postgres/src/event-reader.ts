import {
  CORRELATION_ID_PATTERN,
  envelopeStartOf,
  type EventFilter,
  type FollowPage,
  isTraceparent,
  type Position,
  type ReadAllOptions,
  type ReadStreamOptions,
  type SealedPart,
  type StoredEvent,
  StoreUnavailable,
} from '#libs/eventsourcing';
import pg from 'pg';
import { failureOfRead } from './postgres-errors.js';
import { storeSession } from './session.js';
import { BEGINNING_EVENTS, StreamReads } from './stream-reads.js';

export const ORIGIN: Position = '0'.repeat(20);

/** Twenty digits hold every bigint, and text sorts as the numbers do. */
export const positionOf = (position: string | number): Position => String(position).padStart(20, '0');

const POSITION_MAX = positionOf('9223372036854775807');

export const isPosition = (text: string): boolean => /^\d{20}$/.test(text) && text <= POSITION_MAX;

const COLUMNS =
  'position, stream, revision, event_id, type, tenant_id, project_id, envelope, leaf_hash, chain_hash, private_parts, stored_at, traceparent';

type Row = readonly [
  position: string,
  stream: string,
  revision: string,
  eventId: string,
  type: string,
  tenantId: string | null,
  projectId: string | null,
  envelope: string,
  leafHash: string,
  chainHash: string,
  privateParts: string | null,
  storedAt: string,
  traceparent: string | null,
  head?: string,
];

/** The row of a filtered page that found nothing: the head alone. */
type NoMatch = readonly [position: null, ...others: null[], head: string];

/** The columns come as the server's own text: what needs another form gets it here, once. */
const AS_TEXT: pg.CustomTypesConfig = { getTypeParser: () => (text: string) => text };

const parseTime = pg.types.getTypeParser(pg.types.builtins.TIMESTAMPTZ) as (text: string) => Date;
const NO_PARTS: Readonly<Record<string, SealedPart>> = Object.freeze({});

function decodeRows(rows: readonly Row[]): StoredEvent[] {
  // The events of a batch share one time, so parsing it once is nearly always enough.
  let timeText = '';
  let time = '';
  return rows.map((row) => {
    if (row[11] !== timeText) {
      timeText = row[11];
      time = parseTime(timeText).toISOString();
    }
    const event = {
      position: positionOf(row[0]),
      stream: row[1],
      revision: Number(row[2]),
      id: row[3],
      type: row[4],
      tenantId: row[5],
      projectId: row[6],
      envelope: row[7],
      leafHash: Buffer.from(row[8].slice(2), 'hex'),
      chainHash: Buffer.from(row[9].slice(2), 'hex'),
      privateParts: row[10] === null ? NO_PARTS : (JSON.parse(row[10]) as Record<string, SealedPart>),
      storedAt: time,
    };
    return isTraceparent(row[12]) ? { ...event, traceparent: row[12] } : event;
  });
}

/** The conditions of a filter and their parameters, numbered after those that are there already. */
function conditionsOf(filter: EventFilter | undefined, values: unknown[]): string {
  const conditions: string[] = [];
  const add = (condition: (parameter: string) => string, value: unknown): void => {
    values.push(value);
    conditions.push(` and ${condition(`$${values.length}`)}`);
  };
  if (filter?.tenantId !== undefined) add((p) => `tenant_id = ${p}`, filter.tenantId);
  if (filter?.projectId !== undefined) add((p) => `project_id = ${p}`, filter.projectId);
  if (filter?.within !== undefined) {
    const { tenantIds, projectIds } = filter.within;
    values.push(tenantIds);
    add((p) => `(tenant_id = any($${values.length - 1}) or project_id = any(${p}))`, projectIds);
  }
  if (filter?.categories !== undefined) add((p) => `split_part(stream, '-', 1) = any(${p})`, filter.categories);
  if (filter?.types !== undefined) add((p) => `type = any(${p})`, filter.types);
  if (filter?.streamPrefix !== undefined) add((p) => `starts_with(stream, ${p})`, filter.streamPrefix);
  if (filter?.actorId !== undefined) add((p) => `starts_with(envelope, ${p})`, envelopeStartOf(filter.actorId));
  if (filter?.correlationId !== undefined) {
    // Looking for the text costs a fraction of the expression, which alone tells whose field it is.
    add((p) => `strpos(envelope, ${p}) > 0`, `"correlationId":${JSON.stringify(filter.correlationId)}`);
    add((p) => `substring(envelope from '${CORRELATION_ID_PATTERN}') = ${p}`, filter.correlationId);
  }
  return conditions.join('');
}

export interface EventReaderOptions {
  readonly connection: pg.ClientConfig;
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  /** Deadline of a read that a caller waits for: a page of one stream, the head, the time. */
  readonly shortReadMs: number;
  /** Deadline of a page of the log, and the server's statement_timeout. */
  readonly longReadMs: number;
  /** How many positions one filtered page looks at: what hardly anything passes would otherwise read the whole log. */
  readonly filteredPositionsMax: number;
}

const STREAM_PAGE = 1_000;

/** One stream is read by its own index, from where the page before ended in it; `$1` and `$2` are the positions. */
const ofStream = (stream: string): string =>
  ` and stream = ${stream} and revision > coalesce(
      (select last.revision from ledger.events last where last.position = $1 and last.stream = ${stream}), 0)`;

/** Reads over a small pool, each within a deadline; what may pass by itself is a StoreUnavailable. */
export class EventReader {
  private readonly pool: pg.Pool;
  private readonly streamReads = new StreamReads((streams, limit) => this.beginnings(streams, limit));

  constructor(private readonly options: EventReaderOptions) {
    this.pool = new pg.Pool({
      ...storeSession(options.connection),
      max: options.connectionsMax,
      // A connection once made is kept: under load a new one may take longer than a caller can wait.
      idleTimeoutMillis: 0,
      application_name: 'steward-reads',
      connectionTimeoutMillis: options.connectTimeoutMs,
      statement_timeout: options.longReadMs,
    });
    // An idle connection that breaks is replaced by the next read, which reports its own failure.
    this.pool.on('error', () => undefined);
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  /** In pages, so that every query is short however long the stream is. */
  async readStream(stream: string, options: ReadStreamOptions = {}): Promise<StoredEvent[]> {
    const { backwards = false, limit = Infinity } = options;
    let low = backwards ? (options.to ?? 1) : (options.from ?? 1);
    let high = (backwards ? options.from : options.to) ?? Number.MAX_SAFE_INTEGER;
    const events: StoredEvent[] = [];
    if (Object.keys(options).length === 0) {
      events.push(...(await this.streamReads.beginning(stream)));
      if (events.length < BEGINNING_EVENTS) return events;
      low = events.length + 1;
    }
    while (low <= high && events.length < limit) {
      const wanted = Math.min(limit - events.length, STREAM_PAGE);
      const page = await this.streamPage(stream, low, high, backwards, wanted);
      events.push(...page);
      const last = page.at(-1);
      if (last === undefined || page.length < wanted) break;
      if (backwards) high = last.revision - 1;
      else low = last.revision + 1;
    }
    return events;
  }

  private async beginnings(streams: readonly string[], limit: number): Promise<StoredEvent[][]> {
    const rows = await this.query<Row>(
      'ledger.read_beginnings',
      `select e.* from unnest($1::text[]) as wanted (stream) cross join lateral (
        select ${COLUMNS} from ledger.events where stream = wanted.stream order by revision limit $2
      ) e order by e.stream, e.revision`,
      [streams, limit],
      this.options.shortReadMs,
    );
    const found = new Map<string, StoredEvent[]>(streams.map((stream) => [stream, []]));
    for (const event of decodeRows(rows)) found.get(event.stream)?.push(event);
    return [...found.values()];
  }

  private async streamPage(
    stream: string,
    low: number,
    high: number,
    backwards: boolean,
    limit: number,
  ): Promise<StoredEvent[]> {
    const direction = backwards ? 'desc' : 'asc';
    const rows = await this.query<Row>(
      `ledger.read_stream_${direction}`,
      `select ${COLUMNS} from ledger.events where stream = $1 and revision between $2 and $3
      order by revision ${direction} limit $4`,
      [stream, low, high, limit],
      this.options.shortReadMs,
    );
    return decodeRows(rows);
  }

  async readAll(options: ReadAllOptions): Promise<FollowPage> {
    const { after = ORIGIN, until = POSITION_MAX, limit, filter } = options;
    const filtered = filter !== undefined && Object.keys(filter).length > 0;
    return filtered ? this.filteredPage(after, until, limit, filter) : this.plainPage(after, until, limit);
  }

  private async plainPage(after: Position, until: Position, limit: number): Promise<FollowPage> {
    const rows = await this.query<Row>(
      'ledger.read_all',
      `select ${COLUMNS} from ledger.events where position > $1 and position <= $2 order by position limit $3`,
      [after, until, limit],
      this.options.longReadMs,
    );
    const events = decodeRows(rows);
    return { events, position: events.at(-1)?.position ?? after, caughtUp: events.length < limit };
  }

  /** With the head of the same snapshot, so that a page without a match still tells how far it has looked. */
  private async filteredPage(
    after: Position,
    until: Position,
    limit: number,
    filter: EventFilter,
  ): Promise<FollowPage> {
    const { stream } = filter;
    const farthest = BigInt(after) + BigInt(this.options.filteredPositionsMax);
    const end = stream === undefined && farthest < BigInt(until) ? positionOf(String(farthest)) : until;
    const values: unknown[] = [after, end, limit];
    let conditions = conditionsOf(filter, values);
    if (stream !== undefined) conditions += ofStream(`$${values.push(stream)}`);
    const order = stream === undefined ? 'position' : 'revision';
    const rows = await this.query<Row | NoMatch>(
      `ledger.read_all_by_${Object.keys(filter).sort().join('_')}`,
      `select e.*, h.position from ledger.head h left join lateral (
        select ${COLUMNS} from ledger.events
        where position > $1 and position <= $2${conditions} order by ${order} limit $3
      ) e on true order by e.position`,
      values,
      this.options.longReadMs,
    );
    const head = positionOf(rows[0]?.[13] ?? 0);
    const events = decodeRows(rows.filter((row): row is Row => row[0] !== null));
    const last = events.at(-1);
    if (last !== undefined && events.length === limit) return { events, position: last.position, caughtUp: false };
    const looked = head < end ? head : end;
    return { events, position: looked > after ? looked : after, caughtUp: looked === head || end === until };
  }

  async head(): Promise<Position> {
    return positionOf(await this.value('ledger.head', 'select position from ledger.head', []));
  }

  async positionAt(time: Date): Promise<Position> {
    return positionOf(await this.value('ledger.position_at', 'select ledger.position_at($1)', [time.toISOString()]));
  }

  async nowMs(): Promise<number> {
    return Math.floor(
      Number(await this.value('ledger.now', 'select extract(epoch from clock_timestamp()) * 1000', [])),
    );
  }

  private async value(name: string, text: string, values: readonly unknown[]): Promise<string> {
    const rows = await this.query<readonly [string]>(name, text, values, this.options.shortReadMs);
    const value = rows[0]?.[0];
    if (value === undefined) throw new StoreUnavailable('unreachable');
    return value;
  }

  private async query<R extends readonly unknown[]>(
    name: string,
    text: string,
    values: readonly unknown[],
    deadlineMs: number,
  ): Promise<R[]> {
    const query = {
      name,
      text,
      values: [...values],
      rowMode: 'array' as const,
      types: AS_TEXT,
      query_timeout: deadlineMs,
    };
    try {
      const { rows } = await this.pool.query<unknown[]>(query);
      return rows as readonly unknown[] as R[];
    } catch (error) {
      throw failureOfRead(error);
    }
  }
}

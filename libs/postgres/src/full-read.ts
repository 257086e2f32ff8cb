import type { LedgerRead, LedgerRow, Position, PositionFault } from '#libs/eventsourcing';
import pg from 'pg';
import { positionOf } from './event-reader.js';
import { storeSession } from './session.js';

export interface DataKeyState {
  readonly name: string;
  readonly owner: string;
  readonly destroyed: boolean;
}

const PAGE_EVENTS = 1_000;
const PAGE_POSITIONS = 50_000;
const PAGE_KEYS = 1_000;
const PAGE_MS_MAX = 60_000;

/**
 * Reads the whole ledger for a check, page by page, on a connection of its own: memory does not grow with the log, and
 * no transaction stays open, for that would keep the server from clearing up behind the appends that go on meanwhile.
 */
export class FullRead implements LedgerRead {
  private constructor(
    private readonly client: pg.Client,
    private readonly elsewhere: LedgerRead | undefined,
  ) {}

  /** `elsewhere` holds the events where they stand in another store; the data keys are always here. */
  static async open(connection: pg.ClientConfig, elsewhere?: LedgerRead): Promise<FullRead> {
    const client = new pg.Client({
      ...storeSession(connection),
      connectionTimeoutMillis: 5_000,
      query_timeout: PAGE_MS_MAX,
    });
    // A connection that breaks fails the query in hand.
    client.on('error', () => undefined);
    await client.connect();
    return new FullRead(client, elsewhere);
  }

  async close(): Promise<void> {
    await this.client.end();
  }

  byStream(until: Position, streamPrefix = ''): AsyncGenerator<LedgerRow[], void, undefined> {
    return this.elsewhere?.byStream(until, streamPrefix) ?? this.rowsByStream(until, streamPrefix);
  }

  /** The next page is read while one is worked on. */
  private async *rowsByStream(until: Position, streamPrefix: string): AsyncGenerator<LedgerRow[], void, undefined> {
    let ahead = this.streamPage(until, streamPrefix, '', 0);
    for (;;) {
      const page = await ahead;
      const last = page.at(-1);
      if (last === undefined) return;
      ahead = this.streamPage(until, streamPrefix, last.stream, last.revision);
      // A reader that stops early never awaits it.
      ahead.catch(() => undefined);
      yield page;
    }
  }

  private async streamPage(until: Position, prefix: string, stream: string, revision: number): Promise<LedgerRow[]> {
    const { rows } = await this.client.query<Record<string, string | null> & { leaf_hash: Buffer; chain_hash: Buffer }>(
      `select position, stream, revision, event_id, type, tenant_id, project_id, envelope, leaf_hash, chain_hash,
         private_parts, to_char(stored_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as stored_at
       from ledger.events
       where (stream, revision) > ($1, $2::bigint) and position <= $3::bigint and starts_with(stream, $4)
       order by stream, revision limit $5`,
      [stream, revision, until, prefix, PAGE_EVENTS],
    );
    return rows.map((row) => ({
      position: positionOf(row['position'] as string),
      stream: row['stream'] as string,
      revision: Number(row['revision']),
      id: row['event_id'] as string,
      type: row['type'] as string,
      tenantId: row['tenant_id'] ?? null,
      projectId: row['project_id'] ?? null,
      envelope: row['envelope'] as string,
      leafHash: row.leaf_hash,
      chainHash: row.chain_hash,
      privateText: row['private_parts'] ?? null,
      storedAt: row['stored_at'] as string,
    }));
  }

  positionFaults(): AsyncGenerator<PositionFault, void, undefined> {
    return this.elsewhere?.positionFaults() ?? this.faultsOfPositions();
  }

  /** Positions are dense and the store's time never runs back. */
  private async *faultsOfPositions(): AsyncGenerator<PositionFault, void, undefined> {
    const head = await this.client.query<{ head: string; last: string }>(
      'select h.position as head, coalesce((select max(position) from ledger.events), 0) as last from ledger.head h',
    );
    const [row] = head.rows;
    if (row?.head !== row?.last)
      yield {
        kind: 'head',
        position: positionOf(row?.last ?? 0),
        detail: `the head row says ${row?.head ?? 'nothing'}, the last event stands at ${row?.last ?? 0}`,
      };
    const until = row?.last ?? '0';
    let position = 0n;
    let storedAt = '';
    for (;;) {
      const { rows } = await this.client.query<{ position: string; stored_at: string }>(
        `select position, to_char(stored_at at time zone 'UTC', 'YYYYMMDDHH24MISSUS') as stored_at from ledger.events
         where position > $1::bigint and position <= $2::bigint order by position limit ${PAGE_POSITIONS}`,
        [position, until],
      );
      if (rows.length === 0) return;
      for (const event of rows) {
        const own = BigInt(event.position);
        if (own !== position + 1n)
          yield {
            kind: 'gap',
            position: positionOf(event.position),
            detail: `${own - position - 1n} positions before it are empty`,
          };
        if (event.stored_at < storedAt)
          yield {
            kind: 'time-backwards',
            position: positionOf(event.position),
            detail: 'it is stored at an earlier time than the event before it',
          };
        position = own;
        storedAt = event.stored_at;
      }
    }
  }

  /** The data keys of these names, and those that stand for these owners. */
  async dataKeys(names: readonly string[], standingOf: readonly string[]): Promise<DataKeyState[]> {
    if (names.length + standingOf.length === 0) return [];
    const { rows } = await this.client.query<DataKeyState>(
      `select name, owner, destroyed_at is not null as destroyed from ledger.data_keys where name = any($1)
       union
       select name, owner, false from ledger.data_keys where owner = any($2) and destroyed_at is null`,
      [names, standingOf],
    );
    return rows;
  }

  async *destroyedDataKeys(): AsyncGenerator<DataKeyState[], void, undefined> {
    for (let after = ''; ;) {
      const { rows } = await this.client.query<DataKeyState>(
        `select name, owner, true as destroyed from ledger.data_keys
         where destroyed_at is not null and name > $1 order by name limit ${PAGE_KEYS}`,
        [after],
      );
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.name;
      yield rows;
    }
  }

  async envelopes(streams: readonly string[], types: readonly string[]): Promise<string[]> {
    if (this.elsewhere !== undefined) return this.elsewhere.envelopes(streams, types);
    const { rows } = await this.client.query<{ envelope: string }>(
      'select envelope from ledger.events where stream = any($1) and type = any($2)',
      [streams, types],
    );
    return rows.map(({ envelope }) => envelope);
  }
}

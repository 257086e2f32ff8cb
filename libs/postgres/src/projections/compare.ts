import { randomUUID } from 'node:crypto';
import type { PoolClient } from 'pg';
import { type Codec, type EventStore, openEvents, type Position, type Projection } from '#libs/eventsourcing';
import { beginGeneration, type Checkpoint, dropBuilding, liveCheckpoint, physicalTables } from './generations.js';
import { Lease, LEASE_TIMES, LeaseSession } from '../leases/lease.js';
import { applyPage, applyWithin } from './page.js';
import { PAGE_EVENTS_MAX, RebuildRunning } from './rebuild.js';
import { type Database, inTransaction } from '../transaction.js';

const ROUNDS_MAX = 100;
const LAST_PAGES_MAX = 5;
const DIGEST_MS_MAX = 3_600_000;
const NAMED_ROWS_MAX = 5;

export interface CompareOptions {
  readonly database: Database;
  readonly store: EventStore;
  readonly codec: Codec;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: { readonly eventsApplied: number }) => void) | undefined;
}

export interface TableComparison {
  readonly table: string;
  readonly equal: boolean;
  readonly liveRows: number;
  readonly foldedRows: number;
  /** Primary keys of the first rows that differ. */
  readonly differing: readonly string[];
}

export interface Comparison {
  readonly projection: string;
  /** Both stand at this position. */
  readonly position: Position;
  readonly eventsApplied: number;
  readonly parkedKeys: readonly string[];
  readonly tables: readonly TableComparison[];
}

export interface TableDigest {
  readonly rows: number;
  /** Of all rows as text, whatever their order. */
  readonly digest: string;
}

/**
 * Folds the log anew into tables beside the live ones, compares both in one snapshot and drops the new ones; the live
 * ones serve and are fed meanwhile. Undefined while no tables of the projection's version stand. Throws RebuildRunning,
 * UnknownEvent.
 */
export async function compareWithFold(
  projection: Projection,
  options: CompareOptions,
): Promise<Comparison | undefined> {
  const { database, store } = options;
  const standing = await liveCheckpoint(database, projection.name);
  if (standing?.version !== projection.version) return undefined;
  const session = new LeaseSession(database);
  try {
    // The lease of a rebuild, for both build beside and one would drop what the other builds.
    const lease = await Lease.tryAcquire(session, `${projection.name}:rebuild`, randomUUID(), LEASE_TIMES);
    if (lease === undefined) throw new RebuildRunning(projection.name);
    try {
      const begun = await beginGeneration(database, projection, store.origin, lease.epoch);
      try {
        return await new Fold(projection, options, begun).run();
      } finally {
        await dropBuilding(database, projection.name, begun.generation);
      }
    } finally {
      await lease.release().catch(() => undefined);
    }
  } finally {
    session.close();
  }
}

class Fold {
  private eventsApplied = 0;

  constructor(
    private readonly projection: Projection,
    private readonly options: CompareOptions,
    private checkpoint: Checkpoint,
  ) {}

  async run(): Promise<Comparison | undefined> {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const live = await liveCheckpoint(this.options.database, this.projection.name);
      if (live?.version !== this.projection.version) return undefined;
      await this.applyUntil(live.position);
      const comparison = await this.compare();
      if (comparison !== undefined) return comparison;
    }
    throw new Error(`${this.projection.name} moves on faster than it can be folded.`);
  }

  private page(until: Position, after: Position): ReturnType<EventStore['readAll']> {
    const filter = { categories: this.projection.categories };
    return this.options.store.readAll({ after, until, limit: PAGE_EVENTS_MAX, filter });
  }

  private async applyUntil(until: Position): Promise<void> {
    const { database, codec, signal, onProgress } = this.options;
    while (this.checkpoint.position < until) {
      signal?.throwIfAborted();
      const page = await this.page(until, this.checkpoint.position);
      const next = await applyPage({ database, codec, projection: this.projection }, this.checkpoint, page);
      if (next === undefined) throw new Error(`The fold of ${this.projection.name} was taken over.`);
      this.checkpoint = next;
      this.eventsApplied += page.events.length;
      onProgress?.({ eventsApplied: this.eventsApplied });
    }
  }

  /** In one snapshot, where the live checkpoint and the live rows belong together; undefined if too much is left to apply. */
  private compare(): Promise<Comparison | undefined> {
    const { projection } = this;
    return inTransaction(this.options.database, async (client) => {
      await client.query('set transaction isolation level repeatable read');
      const live = await liveCheckpoint(client, projection.name);
      if (live?.version !== projection.version) return undefined;
      let built = this.checkpoint;
      for (let pages = 0; built.position < live.position; pages += 1) {
        if (pages === LAST_PAGES_MAX) return undefined;
        const page = await this.page(live.position, built.position);
        const opened = await openEvents(this.options.codec, page.events, projection.parts);
        if (!(await applyWithin(client, projection, built, opened, page.position))) return undefined;
        built = { ...built, position: page.position };
        this.eventsApplied += page.events.length;
      }
      const ofLive = physicalTables(projection, live.generation);
      const ofFold = physicalTables(projection, built.generation);
      const tables: TableComparison[] = [];
      for (const { name } of projection.tables)
        tables.push(await compareTables(client, name, ofLive[name] as string, ofFold[name] as string));
      return {
        projection: projection.name,
        position: live.position,
        eventsApplied: this.eventsApplied,
        parkedKeys: [...live.parkedKeys].sort(),
        tables,
      };
    });
  }
}

/** The sum of two hashes of each row: it needs no order and no memory. `qualified` is SQL, quoted where it must be. */
export async function digestOfTable(client: Pick<PoolClient, 'query'>, qualified: string): Promise<TableDigest> {
  const query = {
    text: `select count(*)::int as rows, concat_ws(' ', sum(hashtextextended(t::text, 0)), sum(hashtextextended(t::text, 1))) as digest
           from ${qualified} t`,
    query_timeout: DIGEST_MS_MAX,
  };
  const { rows } = await client.query<{ rows: number; digest: string }>(query);
  return { rows: rows[0]?.rows ?? 0, digest: rows[0]?.digest ?? '' };
}

async function compareTables(
  client: PoolClient,
  table: string,
  live: string,
  folded: string,
): Promise<TableComparison> {
  const ofLive = await digestOfTable(client, live);
  const ofFold = await digestOfTable(client, folded);
  const equal = ofLive.digest === ofFold.digest && ofLive.rows === ofFold.rows;
  return {
    table,
    equal,
    liveRows: ofLive.rows,
    foldedRows: ofFold.rows,
    differing: equal ? [] : await differingRows(client, live, folded),
  };
}

/** Only the primary keys are told, for a row may hold what is personal. */
async function differingRows(client: PoolClient, live: string, folded: string): Promise<string[]> {
  const { rows: columns } = await client.query<{ name: string }>(
    `select quote_ident(a.attname) as name from pg_index i
     join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
     where i.indrelid = $1::regclass and i.indisprimary order by a.attnum`,
    [live],
  );
  if (columns.length === 0) return [];
  const key = `concat_ws('/', ${columns.map(({ name }) => `t.${name}`).join(', ')}) as key`;
  const side = (a: string, b: string): string =>
    `(select ${key}, t::text as row from ${a} t except all select ${key}, t::text from ${b} t)`;
  const query = {
    text: `select distinct key from (${side(live, folded)} union all ${side(folded, live)}) d order by key limit ${NAMED_ROWS_MAX}`,
    query_timeout: DIGEST_MS_MAX,
  };
  const { rows } = await client.query<{ key: string }>(query);
  return rows.map((row) => row.key);
}

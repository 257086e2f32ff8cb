import { escapeIdentifier, type PoolClient } from 'pg';
import type { Position, Projection } from '#libs/eventsourcing';
import type { Database } from '../transaction.js';
import { inTransaction, sqlStateOf } from '../transaction.js';

/** A generation of a projection's tables and how far it has come. */
export interface Checkpoint {
  readonly generation: number;
  readonly version: number;
  readonly status: 'building' | 'live' | 'retired';
  readonly position: Position;
  readonly epoch: number;
  readonly parkingRevision: number;
  readonly parkedKeys: ReadonlySet<string>;
  readonly schema: string;
  readonly tables: readonly string[];
}

interface CheckpointRow {
  readonly generation: number;
  readonly version: number;
  readonly status: Checkpoint['status'];
  readonly position: string;
  readonly epoch: string;
  readonly parking_revision: number;
  readonly parked_keys: string[];
  readonly schema_name: string;
  readonly tables: string[];
}

type Queryable = Pick<PoolClient, 'query'>;

export const bareName = (table: string, version: number, generation: number): string =>
  `${table}_v${version}_g${generation}`;

const qualifiedName = (schema: string, name: string): string => `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`;

/** The physical tables that `apply` writes to, by the names that queries use. */
export function physicalTables(projection: Projection, generation: number): Readonly<Record<string, string>> {
  return Object.fromEntries(
    projection.tables.map(({ name }) => [
      name,
      qualifiedName(projection.schema, bareName(name, projection.version, generation)),
    ]),
  );
}

/** One statement, so that the parked keys and the revision of the parking lot belong together. */
async function readCheckpoint(
  database: Queryable,
  condition: string,
  values: readonly unknown[],
): Promise<Checkpoint | undefined> {
  const { rows } = await database.query<CheckpointRow>(
    `select c.generation, c.version, c.status, c.position, c.epoch, c.parking_revision, c.schema_name, c.tables,
       array(select distinct p.key from projections.parked_events p
             where p.projection = c.projection and p.generation = c.generation) as parked_keys
     from projections.checkpoints c where ${condition}`,
    [...values],
  );
  const [row] = rows;
  return (
    row && {
      generation: row.generation,
      version: row.version,
      status: row.status,
      position: row.position,
      epoch: Number(row.epoch),
      parkingRevision: row.parking_revision,
      parkedKeys: new Set(row.parked_keys),
      schema: row.schema_name,
      tables: row.tables,
    }
  );
}

export const liveCheckpoint = (database: Queryable, projection: string): Promise<Checkpoint | undefined> =>
  readCheckpoint(database, `c.projection = $1 and c.status = 'live'`, [projection]);

/** Takes the generation over for an epoch; undefined if a newer holder has it or it is not in that status any more. */
export async function adoptCheckpoint(
  database: Queryable,
  projection: string,
  status: 'building' | 'live',
  epoch: number,
): Promise<Checkpoint | undefined> {
  await database.query(
    'update projections.checkpoints set epoch = $3 where projection = $1 and status = $2 and epoch < $3',
    [projection, status, epoch],
  );
  return readCheckpoint(database, 'c.projection = $1 and c.status = $2 and c.epoch = $3', [projection, status, epoch]);
}

/** Moves a checkpoint if nobody else touched it; false means that the transaction must be rolled back. */
export async function moveCheckpoint(
  client: Queryable,
  projection: string,
  from: Checkpoint,
  position: Position,
): Promise<boolean> {
  const { rowCount } = await client.query(
    `update projections.checkpoints set position = $6, updated_at = clock_timestamp()
     where projection = $1 and generation = $2 and status = $3 and position = $4 and epoch = $5
       and parking_revision = $7`,
    [projection, from.generation, from.status, from.position, from.epoch, position, from.parkingRevision],
  );
  return rowCount === 1;
}

/** Locks the live row: its runner cannot commit until the transaction ends. */
export async function lockLive(client: Queryable, projection: string): Promise<Checkpoint | undefined> {
  await client.query(`select 1 from projections.checkpoints where projection = $1 and status = 'live' for update`, [
    projection,
  ]);
  return liveCheckpoint(client, projection);
}

async function createTables(client: Queryable, projection: Projection, generation: number): Promise<void> {
  const { rows } = await client.query('select 1 from pg_namespace where nspname = $1', [projection.schema]);
  if (rows.length === 0) await client.query(`create schema ${escapeIdentifier(projection.schema)}`);
  const physical = physicalTables(projection, generation);
  for (const table of projection.tables)
    await client.query(table.ddl(physical[table.name] as string, bareName(table.name, projection.version, generation)));
}

/** Points the views at a generation. Columns that differ need a new view, which waiting queries find by name. */
async function pointViews(client: Queryable, projection: Projection, generation: number): Promise<void> {
  for (const [name, physical] of Object.entries(physicalTables(projection, generation))) {
    const view = qualifiedName(projection.schema, name);
    await client.query('savepoint view');
    try {
      await client.query(`create or replace view ${view} as select * from ${physical}`);
    } catch (error) {
      if (sqlStateOf(error) !== '42P16') throw error;
      await client.query('rollback to savepoint view');
      await client.query(`drop view ${view}`);
      await client.query(`create view ${view} as select * from ${physical}`);
    }
    await client.query('release savepoint view');
  }
}

async function insertCheckpoint(
  client: Queryable,
  projection: Projection,
  generation: number,
  status: 'building' | 'live',
  origin: Position,
  epoch: number,
): Promise<void> {
  await client.query(
    `insert into projections.checkpoints
       (projection, generation, version, schema_name, tables, status, position, epoch)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      projection.name,
      generation,
      projection.version,
      projection.schema,
      projection.tables.map(({ name }) => name),
      status,
      origin,
      epoch,
    ],
  );
}

/** The live generation; the first one is made here, by whichever process comes first. */
export async function ensureLive(database: Database, projection: Projection, origin: Position): Promise<Checkpoint> {
  const standing = await inTransaction(database, async (client) => {
    await client.query(`select pg_advisory_xact_lock(hashtextextended('projection ' || $1, 0))`, [projection.schema]);
    const live = await liveCheckpoint(client, projection.name);
    if (live !== undefined) return live;
    await createTables(client, projection, 1);
    await pointViews(client, projection, 1);
    await insertCheckpoint(client, projection, 1, 'live', origin, 0);
    return liveCheckpoint(client, projection.name);
  });
  if (standing === undefined) throw new Error(`The projection ${projection.name} has no live generation.`);
  return standing;
}

/** A new generation at the origin, beside the live one; what an interrupted rebuild left goes. */
export async function beginGeneration(
  database: Database,
  projection: Projection,
  origin: Position,
  epoch: number,
): Promise<Checkpoint> {
  const begun = await inTransaction(database, async (client) => {
    await dropGenerations(client, projection.name, `status = 'building'`);
    const { rows } = await client.query<{ next: number }>(
      'select coalesce(max(generation), 0) + 1 as next from projections.checkpoints where projection = $1',
      [projection.name],
    );
    const generation = rows[0]?.next ?? 1;
    await createTables(client, projection, generation);
    await insertCheckpoint(client, projection, generation, 'building', origin, epoch);
    return adoptCheckpoint(client, projection.name, 'building', epoch);
  });
  if (begun === undefined) throw new Error(`The rebuild of ${projection.name} was taken over.`);
  return begun;
}

/** Within the switching transaction, after the live row was locked and the built generation has passed it. */
export async function switchGenerations(
  client: Queryable,
  projection: Projection,
  live: Checkpoint,
  built: Checkpoint,
): Promise<void> {
  await client.query(
    `update projections.checkpoints set status = 'retired', retired_at = clock_timestamp()
     where projection = $1 and generation = $2`,
    [projection.name, live.generation],
  );
  await client.query(`update projections.checkpoints set status = 'live' where projection = $1 and generation = $2`, [
    projection.name,
    built.generation,
  ]);
  await pointViews(client, projection, built.generation);
  const kept = new Set(projection.tables.map(({ name }) => qualifiedName(projection.schema, name)));
  for (const table of live.tables) {
    const view = qualifiedName(live.schema, table);
    if (!kept.has(view)) await client.query(`drop view if exists ${view}`);
  }
}

/**
 * Drops the tables of generations that were retired at least `graceMs` ago. A query that still reads one is never
 * disturbed: the drop gives up after a second and a later call does it.
 */
export async function dropRetired(database: Database, projection: string, graceMs: number): Promise<void> {
  try {
    await inTransaction(database, async (client) => {
      await client.query(`set local lock_timeout = '1s'`);
      await dropGenerations(
        client,
        projection,
        `status = 'retired' and retired_at <= clock_timestamp() - ${Math.trunc(graceMs)} * interval '1 ms'`,
      );
      return true;
    });
  } catch (error) {
    if (sqlStateOf(error) !== '55P03') throw error;
  }
}

export const dropBuilding = async (database: Database, projection: string, generation: number): Promise<void> => {
  await inTransaction(database, async (client) => {
    await dropGenerations(client, projection, `status = 'building' and generation = ${Math.trunc(generation)}`);
    return true;
  });
};

async function dropGenerations(client: Queryable, projection: string, condition: string): Promise<void> {
  const { rows } = await client.query<CheckpointRow>(
    `delete from projections.checkpoints where projection = $1 and ${condition}
     returning generation, version, schema_name, tables`,
    [projection],
  );
  for (const row of rows)
    for (const table of row.tables)
      await client.query(
        `drop table if exists ${qualifiedName(row.schema_name, bareName(table, row.version, row.generation))}`,
      );
}

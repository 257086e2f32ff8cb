import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import pg from 'pg';

const REASONS = {
  'file-changed': (name: string) => `The migration ${name} was changed after it had been applied to this database.`,
  'store-is-newer': (name: string) =>
    `This database has the migration ${name}, which this program does not know: it was made by a newer one.`,
  'store-is-older': (name: string) =>
    `This database has not the migration ${name} yet: run \`steward admin bootstrap\` of this release, then start the services.`,
} as const;

/**
 * A migration that a store has was changed afterwards, the store was made by a newer program, or, for one that is not to
 * migrate, it was not brought to this one's form.
 */
export class MigrationRefused extends Error {
  constructor(
    readonly reason: keyof typeof REASONS,
    readonly migration: string,
  ) {
    super(REASONS[reason](migration));
    this.name = 'MigrationRefused';
  }
}

export interface MigrateOptions {
  /** The role that the program runs as; null when the owner's role does both. It must exist. */
  readonly programRole: string | null;
}

interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly sha256: string;
  /** Run at every start, for the program's role may change. */
  readonly grants: string | undefined;
}

const FOLDER = new URL('./migrations/', import.meta.url);
/** Any constant of our own: two programs that start at once migrate one after the other. */
const ADVISORY_LOCK = 5_381_120_264;
const LOCK_TIMEOUT_MS = 60_000;

async function loadMigrations(): Promise<Migration[]> {
  const files = (await readdir(FOLDER)).filter((file) => /^\d{4}-[a-z0-9-]+(\.grants)?\.sql$/.test(file)).sort();
  const read = (file: string): Promise<string> => readFile(new URL(file, FOLDER), 'utf8');
  return Promise.all(
    files
      .filter((file) => !file.endsWith('.grants.sql'))
      .map(async (file) => {
        const name = file.slice(0, -'.sql'.length);
        const sql = await read(file);
        const grantsFile = `${name}.grants.sql`;
        return {
          name,
          sql,
          sha256: createHash('sha256').update(sql).digest('hex'),
          grants: files.includes(grantsFile) ? await read(grantsFile) : undefined,
        };
      }),
  );
}

/** The names of those that stand in the database; throws MigrationRefused where one is not as this program has it. */
async function appliedTo(client: pg.ClientBase, migrations: readonly Migration[]): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ name: string; sha256: string }>(
    'select name, sha256 from ledger.migrations order by name',
  );
  for (const { name, sha256 } of rows) {
    const known = migrations.find((migration) => migration.name === name);
    if (known === undefined) throw new MigrationRefused('store-is-newer', name);
    if (known.sha256 !== sha256) throw new MigrationRefused('file-changed', name);
  }
  return new Set(rows.map(({ name }) => name));
}

async function migrateWith(client: pg.ClientBase, programRole: string | null): Promise<void> {
  const migrations = await loadMigrations();
  const role = programRole === null ? 'current_user' : pg.escapeIdentifier(programRole);
  const forRole = (sql: string): string => sql.replaceAll(':program_role', role);
  await client.query('begin');
  try {
    await client.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}; set local statement_timeout = 0`);
    await client.query('select pg_advisory_xact_lock($1)', [ADVISORY_LOCK]);
    await client.query(`
      create schema if not exists ledger;
      create table if not exists ledger.migrations (
        name text collate "C" primary key,
        sha256 text not null,
        applied_at timestamptz not null default clock_timestamp()
      )`);
    const applied = await appliedTo(client, migrations);
    for (const { name, sql, sha256, grants } of migrations) {
      if (!applied.has(name)) {
        await client.query(forRole(sql));
        await client.query('insert into ledger.migrations (name, sha256) values ($1, $2)', [name, sha256]);
      }
      if (grants !== undefined) await client.query(forRole(grants));
    }
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/**
 * Brings the database to this program's form: every file of migrations/ once, in order, all in one transaction, and the
 * grants of the program's role. In both `:program_role` stands for that role. Run as the owner of the database.
 * Throws MigrationRefused.
 */
export async function migrate(owner: pg.ClientConfig | pg.Pool, options: MigrateOptions): Promise<void> {
  if (owner instanceof pg.Pool) {
    const client = await owner.connect();
    try {
      await migrateWith(client, options.programRole);
    } finally {
      client.release();
    }
    return;
  }
  const client = new pg.Client({ connectionTimeoutMillis: 5_000, ...owner });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await migrateWith(client, options.programRole);
  } finally {
    await client.end();
  }
}

/** For a program that leaves migrations to another, with its own role. Throws MigrationRefused where one is missing. */
export async function assertMigrated(program: pg.ClientBase): Promise<void> {
  const migrations = await loadMigrations();
  const { rows } = await program.query<{ exists: boolean }>(
    `select to_regclass('ledger.migrations') is not null as exists`,
  );
  const applied = rows[0]?.exists === true ? await appliedTo(program, migrations) : new Set<string>();
  const missing = migrations.find(({ name }) => !applied.has(name));
  if (missing !== undefined) throw new MigrationRefused('store-is-older', missing.name);
}

/** True if the role that the connection runs as can only add to the events: neither change, delete nor own them. */
export async function isAppendOnlyByGrant(database: pg.ClientBase | pg.Pool): Promise<boolean> {
  const answer = await database.query<{ append_only: boolean }>(`
    select not (has_table_privilege('ledger.events', 'update') or has_any_column_privilege('ledger.events', 'update')
      or has_table_privilege('ledger.events', 'delete') or has_table_privilege('ledger.events', 'truncate')
      or pg_has_role((select relowner from pg_class where oid = 'ledger.events'::regclass), 'member')) as append_only`);
  return answer.rows[0]?.append_only === true;
}

import { Client, escapeIdentifier } from 'pg';
import { superuserConfig } from './postmaster.js';

export const OWNER = 'steward_owner';
export const PROGRAM = 'steward_program';
export const DATABASE = 'steward';

/**
 * Two roles and a database, made where they are absent: the owner migrates, the program runs. Neither is a superuser;
 * the owner may act for the program, so that a migration can make a schema that the program owns.
 */
export async function ensureRoles(socketDir: string): Promise<void> {
  const client = new Client({ ...superuserConfig(socketDir, 'postgres'), query_timeout: 30_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows: roles } = await client.query<{ rolname: string }>('select rolname from pg_roles');
    const present = new Set(roles.map(({ rolname }) => rolname));
    for (const role of [OWNER, PROGRAM])
      if (!present.has(role))
        await client.query(
          `create role ${escapeIdentifier(role)} login nosuperuser nocreatedb nocreaterole noreplication`,
        );
    await client.query(`grant ${PROGRAM} to ${OWNER}`);
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`create database ${DATABASE} owner ${OWNER}`);
    await client.query(`revoke all on database ${DATABASE} from public`);
    await client.query(`grant connect on database ${DATABASE} to ${PROGRAM}`);
  } finally {
    await client.end();
  }
}

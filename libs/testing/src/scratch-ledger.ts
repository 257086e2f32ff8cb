import { randomBytes } from 'node:crypto';
import { migrate } from '#libs/postgres';
import pg from 'pg';

/** A migrated database of its own on a server, with the two roles of the server tier. */
export interface ScratchLedger {
  readonly owner: pg.ClientConfig;
  readonly program: pg.ClientConfig;
  drop(): Promise<void>;
}

async function asAdmin(url: string, statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** `serverUrl` is of a role that may create roles and databases. */
export async function createScratchLedger(serverUrl: string): Promise<ScratchLedger> {
  const name = `steward_${randomBytes(6).toString('hex')}`;
  const program = `${name}_program`;
  const password = randomBytes(12).toString('hex');
  await asAdmin(serverUrl, [
    `create role ${name} login password '${password}'`,
    `create role ${program} login password '${password}'`,
    `create database ${name} owner ${name} template template0 encoding 'UTF8'`,
  ]);
  const server = new URL(serverUrl);
  const connection = (user: string): pg.ClientConfig => ({
    host: server.hostname,
    port: Number(server.port === '' ? 5432 : server.port),
    database: name,
    user,
    password,
  });
  await migrate(connection(name), { programRole: program });
  return {
    owner: connection(name),
    program: connection(program),
    drop: () => asAdmin(serverUrl, [`drop database ${name} with (force)`, `drop role ${program}`, `drop role ${name}`]),
  };
}

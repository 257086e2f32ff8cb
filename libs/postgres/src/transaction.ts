import type { Pool, PoolClient } from 'pg';
import { StoreUnavailable } from '#libs/eventsourcing';

export type Database = Pick<Pool, 'connect' | 'query'>;

/** A paused process must not hold its row locks for ever: the server ends its transaction after this. */
const IDLE_IN_TRANSACTION_MS = 10_000;

/** Commits what `work` did, or rolls it back when it throws or answers undefined. */
export async function inTransaction<T>(
  database: Database,
  work: (client: PoolClient) => Promise<T | undefined>,
): Promise<T | undefined> {
  const client = await database.connect();
  let broken: Error | undefined;
  const onError = (error: Error): void => {
    broken = error;
  };
  client.on('error', onError);
  try {
    await client.query(`begin; set local idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS}`);
    const result = await work(client);
    await client.query(result === undefined ? 'rollback' : 'commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((failure: unknown) => {
      broken = asError(failure);
    });
    // The first error of a broken connection may look like the event's own fault.
    throw broken === undefined ? error : new ConnectionLost({ cause: error });
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

export class ConnectionLost extends Error {
  constructor(options?: ErrorOptions) {
    super('The connection to the database was lost within a transaction.', options);
    this.name = 'ConnectionLost';
  }
}

// Connection, rollback, object in use, resources, operator, system, internal.
const TRANSIENT_CLASSES = new Set(['08', '40', '55', '53', '57', '58', 'XX']);
// Read-only, idle too long; a table that is gone or forbidden is no event's own fault either.
const TRANSIENT_STATES = new Set(['25006', '25P03', '25P04', '42P01', '3F000', '42501']);
const NETWORK_CODE = /^E(?!RR_)[A-Z_]+$/;
const DRIVER_MESSAGE =
  /^(Connection terminated|timeout exceeded when trying|Client (has|was) |Cannot use a pool|Query read timeout$)/;

/** True if the same work may succeed later without any change to it: never a reason to park an event. */
export function isTransient(error: unknown): boolean {
  if (error instanceof ConnectionLost || error instanceof StoreUnavailable) return true;
  if (!(error instanceof Error)) return false;
  const state = sqlStateOf(error);
  if (state !== undefined) return TRANSIENT_CLASSES.has(state.slice(0, 2)) || TRANSIENT_STATES.has(state);
  const code = 'code' in error ? error.code : undefined;
  return (typeof code === 'string' && NETWORK_CODE.test(code)) || DRIVER_MESSAGE.test(error.message);
}

export function sqlStateOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'severity' in error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** What went wrong, without values of rows: PostgreSQL's messages of class 22 repeat them. */
export function reasonOf(error: unknown): string {
  const state = sqlStateOf(error);
  const { name, message } = asError(error);
  if (state === undefined) return `${name}: ${message}`.slice(0, 500);
  return state.startsWith('22') ? `SQLSTATE ${state}` : `SQLSTATE ${state}: ${message}`.slice(0, 500);
}

export const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

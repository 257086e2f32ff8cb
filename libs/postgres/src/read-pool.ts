import pg from 'pg';
import { failureOfRead } from './postgres-errors.js';

/**
 * Connections for reads, and for writes that may be repeated. `query`, which answers promises only, throws
 * StoreUnavailable where the database is away or too slow, and the error as it is where the statement is at fault.
 */
export class ReadPool extends pg.Pool {
  override query = (async (text: string | pg.QueryConfig, values?: unknown[]): Promise<pg.QueryResult> => {
    try {
      return await super.query(text, values);
    } catch (error) {
      throw failureOfRead(error);
    }
  }) as pg.Pool['query'];
}

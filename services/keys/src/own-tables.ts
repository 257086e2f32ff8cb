import type { Pool } from 'pg';
import { untilAvailable } from '#libs/platform';

const DDL_ATTEMPTS = 5;

/**
 * Makes a table that is none of a projection, because the ledger does not hold what stands in it: it survives every
 * rebuild. The statements must do nothing where the table is there.
 */
export async function createOwnTable(pool: Pick<Pool, 'query'>, ddl: string): Promise<void> {
  // Two processes that start at once may both find the schema absent; the second try finds it there.
  for (let attempt = 1; ; attempt += 1) {
    try {
      await untilAvailable(() => pool.query(`create schema if not exists keys; ${ddl}`));
      return;
    } catch (error) {
      if (attempt === DDL_ATTEMPTS) throw error;
    }
  }
}

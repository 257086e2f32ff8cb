import type pg from 'pg';

/**
 * The sessions of the store. Every query of it is meant to walk an index in its order; a planner that has no figures yet
 * of a log that grows fast would rather collect and sort all that comes after, anew for every page. The penalties that
 * keep it from that would also call the JIT compiler for each query.
 */
export function storeSession(connection: pg.ClientConfig): pg.ClientConfig {
  const settings = '-c enable_bitmapscan=off -c enable_sort=off -c jit=off';
  return { keepAlive: true, ...connection, options: `${connection.options ?? ''} ${settings}`.trim() };
}

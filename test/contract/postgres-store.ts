import { PostgresEventStore } from '#libs/postgres';
import { TcpProxy } from '#libs/testing';
import pg from 'pg';
import type { StoreUnderTest } from '../../libs/eventsourcing/src/testing/contract-item.js';

export interface MigratedDatabase {
  readonly owner: pg.ClientConfig;
  readonly program: pg.ClientConfig;
  /** Ends the server as a crash would and comes back when it answers again; sessions alone are cut without it. */
  readonly restart?: (() => Promise<void>) | undefined;
  readonly drop: () => Promise<void>;
}

/** A store on a migrated database, behind a network that can fail. */
export async function postgresStoreUnderTest(database: MigratedDatabase): Promise<StoreUnderTest> {
  const { host = '127.0.0.1', port = 5432 } = database.program;
  const proxy = await TcpProxy.start(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port });
  const stores: PostgresEventStore[] = [];
  const open = (): PostgresEventStore => {
    const store = new PostgresEventStore({
      connection: { ...database.program, host: '127.0.0.1', port: proxy.port },
      readConnectionsMax: 4,
    });
    stores.push(store);
    return store;
  };
  return {
    store: open(),
    another: () => Promise.resolve(open()),
    loseReplies: () => {
      proxy.set('loseReplies');
      return Promise.resolve(() => {
        proxy.set('pass');
        return Promise.resolve();
      });
    },
    restartServer: async () => {
      proxy.set('refuse');
      proxy.cut();
      await database.restart?.();
      proxy.set('pass');
    },
    followSessions: async () => {
      const asker = new pg.Client(database.owner);
      await asker.connect();
      try {
        const { rows } = await asker.query<{ sessions: number }>(
          `select count(*)::int as sessions from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and application_name = 'steward-listener'`,
        );
        return rows[0]?.sessions ?? 0;
      } finally {
        await asker.end();
      }
    },
    close: async () => {
      await Promise.all(stores.map((store) => store.close()));
      await proxy.close();
      await database.drop();
    },
  };
}

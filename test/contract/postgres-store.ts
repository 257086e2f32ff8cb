import type { StoreUnderTest } from '../../libs/eventsourcing/src/testing/contract-item.js';
import { PostgresEventStore } from '#libs/postgres';
import { createScratchLedger, TcpProxy } from '#libs/testing';
import pg from 'pg';

interface Server {
  readonly url: string;
  restart?(): Promise<void>;
}

/** A store on a database of its own, behind a network that can fail. */
export async function postgresStoreUnderTest(server: Server): Promise<StoreUnderTest> {
  const ledger = await createScratchLedger(server.url);
  const { host = '127.0.0.1', port = 5432 } = ledger.program;
  const proxy = await TcpProxy.start({ host, port });
  const stores: PostgresEventStore[] = [];
  const open = (): PostgresEventStore => {
    const store = new PostgresEventStore({
      connection: { ...ledger.program, host: '127.0.0.1', port: proxy.port },
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
      await server.restart?.();
      proxy.set('pass');
    },
    followSessions: async () => {
      const admin = new pg.Client(ledger.owner);
      await admin.connect();
      try {
        const { rows } = await admin.query<{ sessions: number }>(
          `select count(*)::int as sessions from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and query in ('listen ledger', 'select')`,
        );
        return rows[0]?.sessions ?? 0;
      } finally {
        await admin.end();
      }
    },
    close: async () => {
      await Promise.all(stores.map((store) => store.close()));
      await proxy.close();
      await ledger.drop();
    },
  };
}

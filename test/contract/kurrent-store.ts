import { KurrentEventStore, STORE_TIMERS, type StoreTimers } from '#libs/kurrentdb';
import { TcpProxy } from '#libs/testing';
import type { StoreUnderTest } from '../../libs/eventsourcing/src/testing/contract-item.js';

export interface KurrentServer {
  readonly host: string;
  readonly port: number;
  /** Comes back when it answers again; sessions alone are cut without it. */
  readonly restart?: () => Promise<void>;
  readonly followSessions?: () => number;
  readonly stop: () => Promise<void>;
}

/** A lost answer is waited for once; all else may take what a busy machine needs. */
export const patientTimers: StoreTimers = {
  ...STORE_TIMERS,
  appendMs: 3_000,
  waitMs: 15_000,
  shortReadMs: 5_000,
  longReadMs: 10_000,
};

/** A store without TLS, behind a network that can fail. */
export async function kurrentStoreUnderTest(server: KurrentServer): Promise<StoreUnderTest> {
  const proxy = await TcpProxy.start({ host: server.host, port: server.port });
  const stores: KurrentEventStore[] = [];
  const open = (): KurrentEventStore => {
    const store = new KurrentEventStore({ url: `esdb://127.0.0.1:${proxy.port}?tls=false`, timers: patientTimers });
    stores.push(store);
    return store;
  };
  const { followSessions } = server;
  return {
    store: open(),
    another: () => Promise.resolve(open()),
    loseReplies: () => {
      proxy.set('swallowReplies');
      return Promise.resolve(() => {
        proxy.set('pass');
        // Of a connection that lost a part of what it should have said, nothing can be read any more.
        proxy.cut();
        return Promise.resolve();
      });
    },
    restartServer: async () => {
      proxy.set('refuse');
      proxy.cut();
      await server.restart?.();
      proxy.set('pass');
    },
    ...(followSessions === undefined ? {} : { followSessions: () => Promise.resolve(followSessions()) }),
    close: async () => {
      await Promise.all(stores.map((store) => store.close()));
      await proxy.close();
      await server.stop();
    },
  };
}

import { describeEventStore } from '../../libs/eventsourcing/src/testing/event-store.contract.js';
import { FakeEventStore } from '../../libs/kurrentdb/src/testing/fake-event-store.js';
import { kurrentStoreUnderTest } from './kurrent-store.js';

describeEventStore(
  'KurrentDB (a fake server, over the wire)',
  async () => {
    const fake = await FakeEventStore.start();
    return kurrentStoreUnderTest({
      host: '127.0.0.1',
      port: fake.port,
      restart: async () => {
        await fake.kill();
        await fake.restart();
      },
      followSessions: () => fake.streams.subscriptions,
      stop: () => fake.stop(),
    });
  },
  ['loseReplies', 'restartServer', 'followSessions', 'emptyStore', 'fullAppends'],
);

import { Clock, MemoryEventStore } from '#libs/eventsourcing';
import { ownLog } from '../../libs/eventsourcing/src/testing/contract-item.js';
import { describeEventStore } from '../../libs/eventsourcing/src/testing/event-store.contract.js';

class SystemClock extends Clock {
  nowMs(): number {
    return Date.now();
  }
}

describeEventStore(
  'memory',
  () => {
    const store = new MemoryEventStore(new SystemClock());
    return Promise.resolve({ store, another: () => Promise.resolve(store), close: () => Promise.resolve() });
  },
  ownLog,
);

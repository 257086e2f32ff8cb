import type { EventStore } from './event-store.js';

/** True if the log holds nothing of ours; a server of its own may have written for itself. */
export async function isEmptyLog(store: Pick<EventStore, 'origin' | 'readAll'>): Promise<boolean> {
  let after = store.origin;
  for (;;) {
    const page = await store.readAll({ after, limit: 1 });
    if (page.events.length > 0) return false;
    if (page.caughtUp) return true;
    after = page.position;
  }
}

import { type FollowOptions, type FollowPage, type ReadAllOptions, StoreUnavailable } from './event-store.js';

export const FOLLOW_PAGE = 1_000;
/** A wake-up may be lost with the session that it should have come through; the log itself never is. */
const SAFETY_POLL_MS = 1_000;
const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 1_000;

/** What following needs of a store: pages, and a call at every append until the returned function is called. */
export interface FollowSource {
  readAll(options: ReadAllOptions): Promise<FollowPage>;
  listen(wake: () => void): () => void;
}

/** Rung while nobody waits, it answers the next wait at once: no append falls between a read and the wait after it. */
class Bell {
  private rung = false;
  private answer: (() => void) | undefined;

  ring(): void {
    this.rung = true;
    this.answer?.();
  }

  still(): void {
    this.rung = false;
  }

  wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.rung || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.answer = undefined;
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      signal.addEventListener('abort', done);
      this.answer = done;
    });
  }
}

/**
 * Pages from after a position to the end of time. It reads on only when the last page was taken, outlives a store that
 * is away for a while, and yields the first page even if it is empty, so that a follower of an empty store gets ready.
 */
export async function* followPages(
  source: FollowSource,
  options: FollowOptions,
): AsyncGenerator<FollowPage, void, undefined> {
  const { signal, filter, pageSize = FOLLOW_PAGE } = options;
  const bell = new Bell();
  let position = options.after;
  let caughtUp: boolean | undefined;
  let backoffMs = BACKOFF_MIN_MS;
  const aborted = (): boolean => signal.aborted;
  const hush = source.listen(() => {
    bell.ring();
  });
  // A follower that was aborted while its reader holds a page, and never asks for the next, lets go all the same.
  signal.addEventListener('abort', hush);
  try {
    while (!aborted()) {
      bell.still();
      let page: FollowPage;
      try {
        page = await source.readAll({ after: position, limit: pageSize, ...(filter === undefined ? {} : { filter }) });
        backoffMs = BACKOFF_MIN_MS;
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        await new Bell().wait(backoffMs, signal);
        backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS);
        continue;
      }
      if (aborted()) return;
      const news = page.events.length > 0 || page.position !== position || page.caughtUp !== caughtUp;
      ({ position, caughtUp } = page);
      if (news) yield page;
      if (page.caughtUp) await bell.wait(SAFETY_POLL_MS, signal);
    }
  } finally {
    signal.removeEventListener('abort', hush);
    hush();
  }
}

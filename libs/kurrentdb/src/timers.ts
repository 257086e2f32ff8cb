import { DeadlinePassed } from '#libs/eventsourcing';

/** How long each answer of the server is waited for, in ms; infinite waits for ever, as the client itself would. */
export interface StoreTimers {
  /** One append, from the moment it is sent. */
  readonly appendMs: number;
  /** An append behind others of its stream, or behind too many others. */
  readonly waitMs: number;
  /** Between two answers of a read that a caller waits for: a page of one stream, the head, the time. */
  readonly shortReadMs: number;
  /** Between two answers of a page of the log. */
  readonly longReadMs: number;
  /** How long a live subscription may be unconfirmed, or behind what a read has seen. */
  readonly liveMs: number;
}

export const STORE_TIMERS: StoreTimers = {
  appendMs: 5_000,
  waitMs: 1_000,
  shortReadMs: 1_000,
  longReadMs: 5_000,
  liveMs: 2_000,
};

/** Calls back after `ms` unless the returned function comes first. Never, where `ms` is infinite. */
export function after(ms: number, callback: () => void): () => void {
  if (!Number.isFinite(ms)) return () => undefined;
  const timer = setTimeout(callback, ms);
  return () => {
    clearTimeout(timer);
  };
}

/** Rejects with DeadlinePassed once `ms` have gone by since the last sign of progress. */
export async function whileItMoves<T>(ms: number, work: (moved: () => void) => Promise<T>): Promise<T> {
  if (!Number.isFinite(ms)) return work(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DeadlinePassed(ms));
    }, ms);
  });
  try {
    return await Promise.race([work(() => timer?.refresh()), stalled]);
  } finally {
    clearTimeout(timer);
  }
}

/** Rejects with DeadlinePassed after `ms`; what the promise answers later is dropped. */
export function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = after(ms, () => {
      reject(new DeadlinePassed(ms));
    });
    promise.finally(cancel).then(resolve, reject);
  });
}

import { setTimeout as sleep } from 'node:timers/promises';
import { UnknownEvent } from '#libs/eventsourcing';
import { asError } from '../transaction.js';

const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 5_000;

export interface LeadershipTerms {
  readonly signal: AbortSignal;
  /** True for what only says that another process is at it: nobody needs to be told. */
  readonly isExpected: (error: Error) => boolean;
  /** Told of what passes by itself: the database or the store out of reach. */
  readonly onRetry: ((error: Error) => void) | undefined;
}

/**
 * Calls `lead` anew whenever it ends, after a pause of up to 5 s where it failed, until the signal aborts. Answers the
 * error of an event that this release cannot read: that one passes by no repetition.
 */
export async function leadUntilStopped(
  lead: () => Promise<void>,
  { signal, isExpected, onRetry }: LeadershipTerms,
): Promise<UnknownEvent | undefined> {
  const isStopped = (): boolean => signal.aborted;
  let pauseMs = PAUSE_MS_MIN;
  while (!isStopped()) {
    const sinceMs = performance.now();
    try {
      await lead();
      pauseMs = PAUSE_MS_MIN;
    } catch (thrown) {
      if (thrown instanceof UnknownEvent) return thrown;
      const error = asError(thrown);
      if (!isStopped() && !isExpected(error)) onRetry?.(error);
      if (performance.now() - sinceMs > PAUSE_MS_MAX) pauseMs = PAUSE_MS_MIN;
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX);
    }
  }
  return undefined;
}

import { setTimeout as sleep } from 'node:timers/promises';
import { StoreUnavailable } from '#libs/eventsourcing';

const AVAILABLE_MS_MAX = 30_000;
const PAUSE_MS = 250;

export interface AvailableOptions {
  readonly onRetry?: (error: StoreUnavailable) => void;
  /** How long it is tried again, ms; 30 s unless told. */
  readonly msMax?: number;
}

/**
 * Does the work of a start again while the database is away or too slow for it: a machine that boots everything at once
 * is busy, and a start has nobody to answer meanwhile. Throws what the work throws last.
 */
export async function untilAvailable<T>(
  work: () => Promise<T>,
  { onRetry, msMax = AVAILABLE_MS_MAX }: AvailableOptions = {},
): Promise<T> {
  const deadlineMs = performance.now() + msMax;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || performance.now() + PAUSE_MS > deadlineMs) throw error;
      onRetry?.(error);
      await sleep(PAUSE_MS);
    }
  }
}

import type { KeyUsageBatch } from '#libs/contracts';

/** The batch itself is at fault: it would be refused for ever. */
export class UsageBatchRefused extends Error {
  constructor(options?: ErrorOptions) {
    super('A batch of key usage can never be taken.', options);
    this.name = 'UsageBatchRefused';
  }
}

/** Where a recorder's batches go; which one, the composition says (KeyUsageModule). */
export abstract class KeyUsageSink {
  /**
   * Resolves when the batch will not be lost any more. Rejects where that is not certain: the same batch is then given again
   * before any other, and counts once all the same. Throws UsageBatchRefused where that would be in vain.
   */
  abstract take(batch: KeyUsageBatch, signal: AbortSignal): Promise<void>;

  /** After the last batch. */
  abstract close(): Promise<void>;
}

import type { KeyUsageBatch } from '#libs/contracts';
import { EventPublisher, orAborted } from '#libs/kafka';
import { KeyUsageSink } from './key-usage-sink.js';
import { messageOfUsage } from './usage-message.js';

export interface KafkaSinkOptions {
  readonly publisher: Pick<EventPublisher, 'publish' | 'close'>;
  /** Awaited until it succeeds once: makes the topic. */
  readonly prepare: () => Promise<void>;
}

/** On the topic `steward.keys.usage`, for the projector to fold; a batch is taken when all in-sync replicas have it. */
export class KafkaSink extends KeyUsageSink {
  private isPrepared = false;

  constructor(private readonly options: KafkaSinkOptions) {
    super();
  }

  async take(batch: KeyUsageBatch, signal: AbortSignal): Promise<void> {
    const { prepare, publisher } = this.options;
    if (!this.isPrepared) await orAborted(prepare(), signal);
    this.isPrepared = true;
    await publisher.publish([messageOfUsage(batch)], signal);
  }

  override async close(): Promise<void> {
    await this.options.publisher.close();
  }
}

import type { Kafka } from 'kafkajs';
import type { Pool } from 'pg';
import { KEY_USAGE_TOPIC } from '#libs/contracts';
import { clusterIdOf, type ConsumerState, EventConsumer, EventPublisher, type IncomingMessage } from '#libs/kafka';
import { inTransaction, isTransient } from '#libs/postgres';
import { readUsageMessage } from './usage-message.js';
import { forgetOffset, moveOffset, readOffsets } from './usage-offsets.js';
import { UsagePruner } from './usage-pruner.js';
import { createUsageTables, foldUsage } from './usage-tables.js';

export const USAGE_GROUP = 'steward-key-usage';
/** How long a projector may be silent before another takes its partitions over. */
const SESSION_MS_MAX = 10_000;

export interface UsageFoldOptions {
  readonly kafka: Kafka;
  readonly pool: Pool;
  /** Makes the topics. */
  readonly prepare: () => Promise<void>;
  /** Told of what passes by itself: Kafka or the database out of reach. */
  readonly onRetry: (error: unknown) => void;
  readonly onDeadLetter: (message: IncomingMessage, error: unknown) => void;
  /** Told of messages that the topic had no more when they were to be folded. */
  readonly onGap: (partition: number, messages: bigint) => void;
}

/** Adds a message to the tables with its offset, in one transaction. Throws UsageMessageInvalid. */
export async function foldMessage(pool: Pool, message: IncomingMessage): Promise<'folded' | 'repeated'> {
  const batch = readUsageMessage(message.value);
  const folded = await inTransaction(pool, async (client) => {
    if (!(await moveOffset(client, message))) return undefined;
    return { isNew: await foldUsage(client, batch) };
  });
  return folded?.isNew === true ? 'folded' : 'repeated';
}

/**
 * Adds what verifiers publish to the tables, each batch exactly once: the offset moves in the transaction of the effect, and
 * the next process begins where the tables say. A batch that stands twice on the topic, because its sender did not hear that
 * it arrived, is told by its source and sequence.
 */
export class UsageFold {
  foldedCount = 0;
  repeatedCount = 0;
  deadCount = 0;
  private readonly deadLetters: EventPublisher;
  private readonly consumer: EventConsumer;
  private readonly pruner: UsagePruner;
  private clusterId = '';

  constructor(options: UsageFoldOptions) {
    const { kafka, pool, onRetry, onDeadLetter, onGap } = options;
    this.deadLetters = new EventPublisher(kafka);
    this.pruner = new UsagePruner(pool, onRetry);
    this.consumer = new EventConsumer({
      kafka,
      groupId: USAGE_GROUP,
      topics: [KEY_USAGE_TOPIC],
      prepare: async () => {
        await createUsageTables(pool);
        await options.prepare();
        this.clusterId = await clusterIdOf(kafka);
      },
      offsets: {
        read: (topic, partitions) => readOffsets(pool, this.placeOf(topic), partitions),
        forget: (topic, partition) => forgetOffset(pool, this.placeOf(topic), partition),
        onGap: (_topic, partition, messages) => {
          onGap(partition, messages);
        },
      },
      handle: async (message) => {
        const { topic } = message;
        if ((await foldMessage(pool, { ...message, topic: this.placeOf(topic) })) === 'folded') this.foldedCount += 1;
        else this.repeatedCount += 1;
      },
      isTransient,
      deadLetters: this.deadLetters,
      onDeadLetter: (message, error) => {
        this.deadCount += 1;
        onDeadLetter(message, error);
      },
      onRetry,
      onCrash: onRetry,
      sessionTimeoutMs: SESSION_MS_MAX,
    });
  }

  get state(): ConsumerState {
    return this.consumer.state;
  }

  start(): void {
    this.consumer.start();
    this.pruner.start();
  }

  /** Resolves when the message in hand is folded and the group is left. */
  async stop(): Promise<void> {
    await Promise.all([this.consumer.stop(), this.pruner.stop()]);
    await this.deadLetters.close();
  }

  /** The offsets of one Kafka say nothing of another's topic, though it has the same name. */
  private placeOf(topic: string): string {
    return `${this.clusterId}/${topic}`;
  }
}

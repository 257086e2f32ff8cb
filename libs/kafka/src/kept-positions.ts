import { setTimeout as sleep } from 'node:timers/promises';
import type { Batch, Consumer, KafkaMessage } from 'kafkajs';

/** Offsets that stand with the effects of the messages, and not with the group. */
export interface KeptOffsets {
  /** Of each partition the offset of the next message to be handled; one that is absent begins with its first. */
  read(topic: string, partitions: readonly number[]): Promise<ReadonlyMap<number, bigint>>;
  /** The partition has been made anew, and its offsets begin anew too. */
  forget(topic: string, partition: number): Promise<void>;
  /** Told of messages that nobody will see any more, because the topic kept them for too short a time. */
  readonly onGap?: (topic: string, partition: number, messages: bigint) => void;
}

const RETRY_MS = 500;
const nameOf = (topic: string, partition: number): string => `${topic}/${partition}`;

/** What of a fetched batch is looked at. */
type Fetched = Pick<Batch, 'topic' | 'partition' | 'highWatermark'> & {
  readonly messages: readonly Pick<KafkaMessage, 'offset'>[];
};

/**
 * Holds one client to the offsets that are kept elsewhere. The client begins where its group committed, which may be before
 * or behind them: from each join on a batch is let through only if it begins where it must, or if a fetch from there brings
 * nothing better.
 */
export class KeptPositions {
  private readonly next = new Map<string, bigint>();
  private readonly sought = new Map<string, bigint>();
  private joined: Promise<void> = Promise.resolve();

  constructor(
    private readonly consumer: Pick<Consumer, 'seek'>,
    private readonly offsets: KeptOffsets,
    private readonly signal: AbortSignal,
    private readonly onRetry: (error: unknown) => void,
  ) {}

  /** The group was joined; what is fetched from now on waits until the offsets are read. */
  join(assignment: Readonly<Record<string, readonly number[]>>): void {
    this.joined = this.begin(assignment);
    // Whoever waits for it is told.
    this.joined.catch(() => undefined);
  }

  /** Whether the batch's messages are to be handled; the client fetches anew where not. */
  async letsThrough({ topic, partition, highWatermark, messages }: Fetched): Promise<boolean> {
    await this.joined;
    const [firstMessage] = messages;
    if (this.signal.aborted || firstMessage === undefined) return false;
    const name = nameOf(topic, partition);
    const expected = this.next.get(name) ?? 0n;
    const first = BigInt(firstMessage.offset);
    if (first === expected) return true;
    if (this.sought.get(name) !== expected) {
      this.sought.set(name, expected);
      this.consumer.seek({ topic, partition, offset: String(expected) });
      return false;
    }
    if (first > expected) {
      if (expected > 0n) this.offsets.onGap?.(topic, partition, first - expected);
    } else if (BigInt(highWatermark) < expected) {
      await this.offsets.forget(topic, partition);
    }
    return true;
  }

  /** The message, and so every one before it, is handled. */
  passed(topic: string, partition: number, offset: bigint): void {
    this.next.set(nameOf(topic, partition), offset + 1n);
  }

  private async begin(assignment: Readonly<Record<string, readonly number[]>>): Promise<void> {
    for (const [topic, partitions] of Object.entries(assignment)) {
      const offsets = await this.read(topic, partitions);
      if (offsets === undefined) return;
      for (const partition of partitions) {
        const offset = offsets.get(partition) ?? 0n;
        this.next.set(nameOf(topic, partition), offset);
        this.sought.delete(nameOf(topic, partition));
        this.consumer.seek({ topic, partition, offset: String(offset) });
      }
    }
  }

  /** Undefined once the consumer stops. */
  private async read(topic: string, partitions: readonly number[]): Promise<ReadonlyMap<number, bigint> | undefined> {
    while (!this.signal.aborted) {
      try {
        return await this.offsets.read(topic, partitions);
      } catch (error) {
        this.onRetry(error);
        await sleep(RETRY_MS, undefined, { signal: this.signal }).catch(() => undefined);
      }
    }
    return undefined;
  }
}

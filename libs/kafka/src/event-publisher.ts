import type { Kafka, Producer, RecordMetadata } from 'kafkajs';
import { withDeadline } from '#libs/eventsourcing';
import { orAborted } from './abortable.js';
import type { OutgoingMessage } from './event-message.js';
import { partitionOf } from './partition.js';

export interface PublisherTimes {
  /** For a producer to connect and be given its id. */
  readonly connectMs: number;
  /** For all replicas of a partition to acknowledge; a leader that dies takes some seconds of it. */
  readonly sendMs: number;
}

export const PUBLISHER_TIMES: PublisherTimes = { connectMs: 30_000, sendMs: 30_000 };

/** Well below the megabyte that a broker takes at once. */
const SEND_BYTES_MAX = 512 * 1024;

/** Any part of what was to be published may stand in Kafka or not: all of it is to be published again. */
export class PublishFailed extends Error {
  constructor(options?: ErrorOptions) {
    super('Kafka did not acknowledge all messages.', options);
    this.name = 'PublishFailed';
  }
}

/** The client resolved a send without the answer of its partition, which means that nothing was written there. */
export class UnacknowledgedPartition extends Error {
  constructor(topic: string, partition: number) {
    super(`A send to ${topic}/${partition} was answered without its acknowledgement.`);
    this.name = 'UnacknowledgedPartition';
  }
}

/** Ends the retries of a producer that was given up; the client heeds the field. */
class ProducerGivenUp extends Error {
  readonly retriable = false;
  constructor() {
    super('The producer was given up.');
    this.name = 'ProducerGivenUp';
  }
}

interface LiveProducer {
  readonly producer: Producer;
  readonly partitionCounts: Map<string, number>;
  givenUp: boolean;
}

interface Send {
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly OutgoingMessage[];
}

/**
 * Publishes messages at least once, those of one key in order. A send of the client that spans partitions loses
 * acknowledged messages when a leader changes, so each send here has one partition, and its answer is checked for it. After
 * any failure the producer is given up: the sequence numbers of the next one begin anew, so that a broker never takes a new
 * message for a repeated one.
 */
export class EventPublisher {
  private current: Promise<LiveProducer> | undefined;
  private last: Promise<void> = Promise.resolve();

  constructor(
    private readonly kafka: Kafka,
    private readonly times: PublisherTimes = PUBLISHER_TIMES,
  ) {}

  /** Resolves when all in-sync replicas have every message. Throws PublishFailed, at once where the signal aborts. */
  publish(messages: readonly OutgoingMessage[], signal?: AbortSignal): Promise<void> {
    // One call after the other: two sends to one partition at once could change places when the first is tried again.
    const turn = this.last.then(() => this.publishNow(messages, signal));
    this.last = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    const pending = this.current;
    this.current = undefined;
    const live = await pending?.catch(() => undefined);
    if (live === undefined) return;
    live.givenUp = true;
    await withDeadline(live.producer.disconnect(), this.times.connectMs).catch(() => undefined);
  }

  private async publishNow(messages: readonly OutgoingMessage[], signal: AbortSignal | undefined): Promise<void> {
    if (messages.length === 0) return;
    if (signal?.aborted === true) throw new PublishFailed({ cause: signal.reason });
    const pending = (this.current ??= this.connect());
    try {
      await orAborted(this.sendAll(pending, messages), signal);
    } catch (error) {
      this.giveUp(pending);
      throw new PublishFailed({ cause: error });
    }
  }

  private async connect(): Promise<LiveProducer> {
    const live: LiveProducer = {
      producer: this.kafka.producer({
        idempotent: true,
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        // The client's own bound ends sooner than the election of a leader may take; ours is the deadline of the send.
        retry: { retries: Number.MAX_SAFE_INTEGER },
        // It is asked before every attempt, also of a send that nobody waits for any more.
        createPartitioner:
          () =>
          ({ message }) => {
            if (live.givenUp) throw new ProducerGivenUp();
            return message.partition as number;
          },
      }),
      partitionCounts: new Map(),
      givenUp: false,
    };
    try {
      await withDeadline(live.producer.connect(), this.times.connectMs);
      return live;
    } catch (error) {
      live.givenUp = true;
      live.producer.disconnect().catch(() => undefined);
      throw error;
    }
  }

  private giveUp(pending: Promise<LiveProducer>): void {
    if (this.current === pending) this.current = undefined;
    pending.then(
      (live) => {
        if (live.givenUp) return;
        live.givenUp = true;
        live.producer.disconnect().catch(() => undefined);
      },
      () => undefined,
    );
  }

  private async sendAll(pending: Promise<LiveProducer>, messages: readonly OutgoingMessage[]): Promise<void> {
    const live = await pending;
    const byPartition = await this.byPartition(live, messages);
    const settled = await Promise.allSettled(byPartition.map((sends) => this.sendInOrder(live, sends)));
    const failed = settled.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  private async byPartition(live: LiveProducer, messages: readonly OutgoingMessage[]): Promise<Send[][]> {
    const topics = [...new Set(messages.map(({ topic }) => topic))];
    await this.learnPartitions(
      live,
      topics.filter((topic) => !live.partitionCounts.has(topic)),
    );
    const groups = new Map<string, { topic: string; partition: number; messages: OutgoingMessage[] }>();
    for (const message of messages) {
      const { topic, key } = message;
      const partition = partitionOf(key, live.partitionCounts.get(topic) as number);
      const name = `${topic}/${partition}`;
      const group = groups.get(name) ?? { topic, partition, messages: [] };
      group.messages.push(message);
      groups.set(name, group);
    }
    return [...groups.values()].map((group) => chunks(group.messages).map((chunk) => ({ ...group, messages: chunk })));
  }

  /** The cluster's word counts: an operator may have made the topic otherwise. */
  private async learnPartitions(live: LiveProducer, topics: readonly string[]): Promise<void> {
    if (topics.length === 0) return;
    const admin = this.kafka.admin();
    try {
      await withDeadline(admin.connect(), this.times.connectMs);
      const described = await withDeadline(admin.fetchTopicMetadata({ topics: [...topics] }), this.times.connectMs);
      for (const { name, partitions } of described.topics) live.partitionCounts.set(name, partitions.length);
    } finally {
      admin.disconnect().catch(() => undefined);
    }
  }

  private async sendInOrder(live: LiveProducer, sends: readonly Send[]): Promise<void> {
    for (const { topic, partition, messages } of sends) {
      if (live.givenUp) throw new ProducerGivenUp();
      const outgoing = messages.map(({ key, value, headers }) => ({ key, value, headers, partition }));
      const answers = await withDeadline(
        live.producer.send({ topic, acks: -1, messages: outgoing }),
        this.times.sendMs,
      );
      if (!acknowledges(answers, topic, partition)) throw new UnacknowledgedPartition(topic, partition);
    }
  }
}

/** True if the answers are of this partition alone, and without an error. */
export function acknowledges(answers: readonly RecordMetadata[], topic: string, partition: number): boolean {
  const [answer] = answers;
  return (
    answers.length === 1 && answer?.topicName === topic && answer.partition === partition && answer.errorCode === 0
  );
}

/** In order; each within the bytes that a broker takes at once. */
function chunks(messages: readonly OutgoingMessage[]): OutgoingMessage[][] {
  const made: OutgoingMessage[][] = [];
  let sizeBytes = Number.POSITIVE_INFINITY;
  for (const message of messages) {
    sizeBytes += message.value.length;
    if (sizeBytes > SEND_BYTES_MAX) {
      made.push([]);
      sizeBytes = message.value.length;
    }
    made.at(-1)?.push(message);
  }
  return made;
}

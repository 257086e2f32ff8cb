import { randomUUID } from 'node:crypto';
import { type KafkaMessage, type Kafka } from 'kafkajs';
import type { EventStore } from '#libs/eventsourcing';
import { eventTopics, partitionOf } from '#libs/kafka';

const READ_MS_MAX = 120_000;

export interface Consumed {
  readonly topic: string;
  readonly partition: number;
  readonly message: KafkaMessage;
}

/** Everything that stands in the topics now, in the order of each partition. */
export async function consumeAll(kafka: Kafka, topics: readonly string[] = eventTopics): Promise<Consumed[]> {
  const admin = kafka.admin();
  await admin.connect();
  const wanted = new Map<string, number>();
  for (const topic of topics)
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic))
      if (Number(high) > Number(low)) wanted.set(`${topic}/${partition}`, Number(high));
  await admin.disconnect();
  const consumed: Consumed[] = [];
  if (wanted.size === 0) return consumed;
  const consumer = kafka.consumer({ groupId: `test-${randomUUID()}`, maxWaitTimeInMs: 200 });
  await consumer.connect();
  await consumer.subscribe({ topics: [...topics], fromBeginning: true });
  let late: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      late = setTimeout(() => {
        reject(new Error(`Not all messages came: of ${wanted.size} partitions some have no end.`));
      }, READ_MS_MAX);
      consumer
        .run({
          eachBatch: ({ batch: { topic, partition, messages } }) => {
            const end = wanted.get(`${topic}/${partition}`);
            if (end === undefined) return Promise.resolve();
            for (const message of messages)
              if (Number(message.offset) < end) consumed.push({ topic, partition, message });
            if (Number(messages.at(-1)?.offset ?? -1) >= end - 1) wanted.delete(`${topic}/${partition}`);
            if (wanted.size === 0) resolve();
            return Promise.resolve();
          },
        })
        .catch(reject);
    });
  } finally {
    clearTimeout(late);
    await consumer.disconnect();
  }
  return consumed;
}

export interface Verdict {
  /** In the store. */
  readonly events: number;
  /** In Kafka, repeated ones too. */
  readonly messages: number;
  /** In the store, and not with a consumer who follows the dedupe rule. */
  readonly lost: number;
  readonly duplicates: number;
  /** Events that such a consumer had to take before the one that comes before them in their stream. */
  readonly outOfOrder: number;
  readonly differentBytes: number;
  readonly inWrongPartition: number;
}

/** What a consumer has who drops every message whose sequence is not above the highest of its stream, held against the store. */
export async function judge(
  store: EventStore,
  consumed: readonly Consumed[],
  partitionCount: number,
): Promise<Verdict> {
  const taken = new Map<string, Buffer[]>();
  const highest = new Map<string, number>();
  let [duplicates, outOfOrder, inWrongPartition] = [0, 0, 0];
  for (const { partition, message } of consumed) {
    const stream = String(message.key);
    const sequence = Number(message.headers?.['ce_sequence']);
    const last = highest.get(stream) ?? 0;
    if (partition !== partitionOf(stream, partitionCount)) inWrongPartition += 1;
    if (sequence <= last) {
      duplicates += 1;
      continue;
    }
    if (sequence !== last + 1) outOfOrder += 1;
    highest.set(stream, sequence);
    const values = taken.get(stream) ?? [];
    values[sequence] = message.value ?? Buffer.alloc(0);
    taken.set(stream, values);
  }
  let [events, lost, differentBytes] = [0, 0, 0];
  const head = await store.head();
  for (let after = store.origin; after < head;) {
    const page = await store.readAll({ after, limit: 1_000 });
    for (const { stream, revision, envelope } of page.events) {
      events += 1;
      const value = taken.get(stream)?.[revision];
      if (value === undefined) lost += 1;
      else if (!value.equals(Buffer.from(envelope, 'utf8'))) differentBytes += 1;
    }
    after = page.position;
  }
  return { events, messages: consumed.length, lost, duplicates, outOfOrder, differentBytes, inWrongPartition };
}

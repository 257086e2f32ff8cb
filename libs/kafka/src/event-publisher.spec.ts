import type { Kafka, ProducerRecord, RecordMetadata } from 'kafkajs';
import type { OutgoingMessage } from './event-message.js';
import { acknowledges, EventPublisher, PublishFailed, UnacknowledgedPartition } from './event-publisher.js';
import { partitionOf } from './partition.js';

const PARTITIONS = 3;

/** The client as the publisher asks it, with a broker that answers what the test says. */
class AnsweringClient {
  readonly sends: ProducerRecord[] = [];
  producers = 0;
  answer = ({ topic, messages }: ProducerRecord): RecordMetadata[] => [
    { topicName: topic, partition: messages[0]?.partition ?? -1, errorCode: 0 },
  ];
  readonly kafka = {
    producer: () => {
      this.producers += 1;
      return {
        connect: () => Promise.resolve(),
        disconnect: () => Promise.resolve(),
        send: (record: ProducerRecord) => {
          this.sends.push(record);
          return Promise.resolve(this.answer(record));
        },
      };
    },
    admin: () => ({
      connect: () => Promise.resolve(),
      disconnect: () => Promise.resolve(),
      fetchTopicMetadata: ({ topics }: { topics: string[] }) =>
        Promise.resolve({ topics: topics.map((name) => ({ name, partitions: Array.from({ length: PARTITIONS }) })) }),
    }),
  } as unknown as Kafka;
}

const aMessage = (n: number, sizeBytes = 10): OutgoingMessage => ({
  topic: n % 2 === 0 ? 'even' : 'odd',
  key: `key-${n % 10}`,
  value: Buffer.alloc(sizeBytes, n),
  headers: { ce_sequence: String(n) },
});
const messages = (count: number, sizeBytes?: number): OutgoingMessage[] =>
  Array.from({ length: count }, (_, n) => aMessage(n, sizeBytes));

describe('the publisher', () => {
  it('sends to one partition at a time, the one of the key, every message once and in its order', async () => {
    const client = new AnsweringClient();
    await new EventPublisher(client.kafka).publish(messages(100));
    const sequences = new Map<string, number>();
    for (const { topic, acks, messages: sent } of client.sends) {
      expect(acks).toBe(-1);
      expect(new Set(sent.map(({ partition }) => partition)).size).toBe(1);
      for (const { key, partition, headers } of sent) {
        expect(partition).toBe(partitionOf(String(key), PARTITIONS));
        const name = `${topic} ${String(key)}`;
        expect(Number(headers?.['ce_sequence'])).toBeGreaterThan(sequences.get(name) ?? -1);
        sequences.set(name, Number(headers?.['ce_sequence']));
      }
    }
    expect(client.sends.flatMap(({ messages: sent }) => sent)).toHaveLength(100);
  });

  it('sends no more at once than a broker takes', async () => {
    const client = new AnsweringClient();
    await new EventPublisher(client.kafka).publish(messages(100, 60_000));
    const sizes = client.sends.map(({ messages: sent }) =>
      sent.reduce((sum, { value }) => sum + (value?.length ?? 0), 0),
    );
    expect(Math.max(...sizes)).toBeLessThanOrEqual(512 * 1024);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(6_000_000);
  });

  it('believes no answer that lacks the partition, and goes on with a producer of its own', async () => {
    const client = new AnsweringClient();
    const publisher = new EventPublisher(client.kafka);
    const { answer } = client;
    client.answer = () => [];
    const failure: unknown = await publisher.publish(messages(1)).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(PublishFailed);
    expect((failure as PublishFailed).cause).toBeInstanceOf(UnacknowledgedPartition);
    client.answer = answer;
    await publisher.publish(messages(1));
    expect(client.producers).toBe(2);
  });
});

describe('an answer to a send', () => {
  const ok = { topicName: 't', partition: 3, errorCode: 0 };

  it('counts if it names the partition without an error', () => {
    expect(acknowledges([ok], 't', 3)).toBe(true);
  });

  it.each([
    ['is empty, as the client answers when it never sent', []],
    ['names another partition', [{ ...ok, partition: 2 }]],
    ['names another topic', [{ ...ok, topicName: 'u' }]],
    ['bears an error', [{ ...ok, errorCode: 6 }]],
    ['names more than was sent', [ok, { ...ok, partition: 2 }]],
  ])('does not count if it %s', (_, answers) => {
    expect(acknowledges(answers, 't', 3)).toBe(false);
  });
});

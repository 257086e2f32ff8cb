import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import { describeOnKafka } from '#libs/testing';
import { loopbackCertificate } from '../../kurrentdb/src/testing/loopback-certificate.js';
import { KafkaCluster } from './embedded/kafka-cluster.js';
import { deadLetterTopic, EventConsumer, type EventConsumerOptions, type IncomingMessage } from './event-consumer.js';
import type { OutgoingMessage } from './event-message.js';
import { EventPublisher, PublishFailed } from './event-publisher.js';
import { type KafkaSettings, openKafka } from './kafka-client.js';
import { ensureTopics } from './topics.js';

const WAIT_MS_MAX = 60_000;
const silent = { debug: (): void => undefined, warn: (): void => undefined };

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`It did not come true that ${what}.`);
    await sleep(20);
  }
}

describeOnKafka('publisher and consumer on a real Kafka', () => {
  const user = { username: 'steward', password: 'hunter2' };
  let cluster: KafkaCluster;
  let folder: string;
  let kafka: Kafka;
  let publisher: EventPublisher;
  const consumers: EventConsumer[] = [];

  beforeAll(async () => {
    cluster = await KafkaCluster.start(1, { secured: { ...loopbackCertificate, ...user } });
    kafka = openKafka({ brokers: cluster.brokers }, silent);
    publisher = new EventPublisher(kafka);
    folder = await mkdtemp(join(tmpdir(), 'steward-kafka-client-'));
  });
  afterEach(async () => {
    await Promise.all(consumers.splice(0).map((consumer) => consumer.stop()));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
    await publisher.close();
    await cluster.stop();
  });

  const aTopic = async (): Promise<string> => {
    const topic = `test.${randomUUID()}`;
    const settings = { partitionCount: 1, replicationFactor: 1, retentionMs: undefined };
    await ensureTopics(kafka, [topic, deadLetterTopic(topic)], settings);
    return topic;
  };
  const messagesTo = (topic: string, count: number): OutgoingMessage[] =>
    Array.from({ length: count }, (_, n) => ({
      topic,
      key: 'key-1',
      value: Buffer.from(String(n)),
      headers: { ce_sequence: String(n + 1) },
    }));
  const aConsumer = (topic: string, options: Partial<EventConsumerOptions>): EventConsumer => {
    const consumer = new EventConsumer({
      kafka,
      groupId: `group.${topic}`,
      topics: [topic],
      handle: () => Promise.resolve(),
      isTransient: () => false,
      deadLetters: publisher,
      attemptsMax: 2,
      ...options,
    });
    consumers.push(consumer);
    consumer.start();
    return consumer;
  };

  it('poison goes to a topic of its own after some attempts, and those behind it are handled', async () => {
    const topic = await aTopic();
    await publisher.publish(messagesTo(topic, 5));
    const handled: string[] = [];
    const dead: string[] = [];
    aConsumer(topic, {
      handle: ({ value }) => {
        if (String(value) === '2') throw new RangeError('secret text');
        handled.push(String(value));
        return Promise.resolve();
      },
      onDeadLetter: ({ value }) => void dead.push(String(value)),
    });
    await until('all but the poison is handled', () => handled.length === 4);
    expect([handled, dead]).toEqual([['0', '1', '3', '4'], ['2']]);
    const letters: IncomingMessage[] = [];
    aConsumer(deadLetterTopic(topic), {
      handle: (letter) => {
        letters.push(letter);
        return Promise.resolve();
      },
    });
    await until('the dead letter is read', () => letters.length === 1);
    expect(letters[0]).toMatchObject({
      key: 'key-1',
      value: Buffer.from('2'),
      headers: { ce_sequence: '3', steward_dead_offset: '2', steward_dead_reason: 'RangeError' },
    });
  });

  it('what passes by itself is tried until it does, and nothing overtakes it', async () => {
    const topic = await aTopic();
    await publisher.publish(messagesTo(topic, 3));
    const handled: string[] = [];
    let failures = 0;
    aConsumer(topic, {
      isTransient: () => true,
      handle: ({ value }) => {
        if (String(value) === '1' && failures < 4) {
          failures += 1;
          throw new Error('The database is out of reach.');
        }
        handled.push(String(value));
        return Promise.resolve();
      },
    });
    await until('all is handled', () => handled.length === 3);
    expect([handled, failures]).toEqual([['0', '1', '2'], 4]);
  });

  it('work that takes longer than the session keeps its partition, and comes but once', async () => {
    const topic = await aTopic();
    await publisher.publish(messagesTo(topic, 2));
    const handled: string[] = [];
    aConsumer(topic, {
      sessionTimeoutMs: 6_000,
      handle: async ({ value }) => {
        handled.push(String(value));
        if (String(value) === '0') await sleep(8_000);
      },
    });
    await until('both are handled', () => handled.length >= 2);
    expect(handled).toEqual(['0', '1']);
  });

  it('goes on where the last one stopped', async () => {
    const topic = await aTopic();
    const handled: string[] = [];
    const handle = ({ value }: IncomingMessage): Promise<void> => {
      handled.push(String(value));
      return Promise.resolve();
    };
    await publisher.publish(messagesTo(topic, 2));
    const first = aConsumer(topic, { handle });
    await until('two are handled', () => handled.length === 2);
    await first.stop();
    await publisher.publish(messagesTo(topic, 1));
    aConsumer(topic, { handle });
    await until('the third is handled', () => handled.length >= 3);
    expect(handled).toEqual(['0', '1', '0']);
  });

  it.each(['plain', 'scram-sha-512'] as const)('publishes through TLS as a user, by %s', async (mechanism) => {
    const topic = await aTopic();
    const caFile = join(folder, 'ca.pem');
    await writeFile(caFile, loopbackCertificate.cert);
    const brokers = cluster.securedBrokers;
    const publish = async (settings: Partial<KafkaSettings>): Promise<void> => {
      const secured = openKafka({ brokers, tls: { caFile }, sasl: { mechanism, ...user }, ...settings }, silent);
      const safe = new EventPublisher(secured);
      await safe.publish(messagesTo(topic, 1)).finally(() => safe.close());
    };
    await publish({});
    await Promise.all([
      expect(publish({ sasl: { mechanism, ...user, password: 'wrong' } })).rejects.toThrow(PublishFailed),
      expect(publish({ tls: {} })).rejects.toThrow(PublishFailed),
    ]);
  });

  it('without a broker a send fails by its own timer and the consumer is not well; both go on with a new one', async () => {
    const topic = await aTopic();
    const impatient = new EventPublisher(kafka, { connectMs: 3_000, sendMs: 3_000 });
    const handled: string[] = [];
    const consumer = aConsumer(topic, {
      // The group waits this long for the member that its broker lost.
      sessionTimeoutMs: 6_000,
      handle: ({ value }) => {
        handled.push(String(value));
        return Promise.resolve();
      },
    });
    await impatient.publish(messagesTo(topic, 1));
    await until('it runs', () => consumer.state === 'running' && handled.length === 1);
    await cluster.kill(1);
    await expect(impatient.publish(messagesTo(topic, 1))).rejects.toThrow(PublishFailed);
    await until('the crash is told', () => consumer.state === 'crashed');
    await cluster.restart(1);
    await until('it runs again', () => consumer.state === 'running');
    await publisher.publish(messagesTo(topic, 2));
    await until('the news are handled', () => handled.length >= 3);
    await impatient.close();
  });
});

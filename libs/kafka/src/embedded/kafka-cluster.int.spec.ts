import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeOnKafka } from '#libs/testing';
import { openKafka } from '../kafka-client.js';
import { ensureTopics } from '../topics.js';
import { KafkaCluster } from './kafka-cluster.js';

const TOPIC = 'kept';
const TRIES_MAX = 100;
const silent = { debug: (): void => undefined, warn: (): void => undefined };

describeOnKafka('brokers whose data stay', () => {
  let folder: string;
  const started: number[] = [];
  const ended: number[] = [];
  const start = (): Promise<KafkaCluster> =>
    KafkaCluster.start(1, {
      folder,
      onBrokerStart: (nodeId) => started.push(nodeId),
      onBrokerEnd: (nodeId) => ended.push(nodeId),
    });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'steward-kept-kafka-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  /** The leader of a partition is known a moment after its broker. */
  async function messageCount({ brokers }: KafkaCluster): Promise<number> {
    const admin = openKafka({ brokers }, silent).admin();
    await admin.connect();
    try {
      for (let tries = 1; ; tries += 1) {
        const offsets = await admin.fetchTopicOffsets(TOPIC).catch((error: unknown) => {
          if (tries === TRIES_MAX) throw error;
        });
        if (offsets !== undefined) return Number(offsets[0]?.high);
        await sleep(100);
      }
    } finally {
      await admin.disconnect();
    }
  }

  it('have them after a kill and after an orderly stop, and tell of each end', async () => {
    const first = await start();
    try {
      expect(first.isNew).toBe(true);
      const kafka = openKafka({ brokers: first.brokers }, silent);
      await ensureTopics(kafka, [TOPIC], { partitionCount: 1, replicationFactor: 1, retentionMs: undefined });
      const producer = kafka.producer();
      await producer.connect();
      await producer.send({ topic: TOPIC, messages: [{ value: 'stays' }] });
      await producer.disconnect();
      await first.kill(1);
      expect(ended).toEqual([1]);
      await first.restart(1);
      expect(started).toEqual([1, 1]);
      expect(await messageCount(first)).toBe(1);
    } finally {
      await first.stop();
    }
    expect(ended).toEqual([1, 1]);

    const second = await start();
    try {
      expect(second.isNew).toBe(false);
      expect(await messageCount(second)).toBe(1);
    } finally {
      await second.stop();
    }
  });
});

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { KEY_USAGE_TOPIC, type KeyUsageBatch } from '#libs/contracts';
import { EventPublisher, KafkaCluster, openKafka } from '#libs/kafka';
import { describeOnKafka } from '#libs/testing';
import pg from 'pg';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../../../libs/postgres/src/testing/embedded-ledger.js';
import { UsageFold } from './usage-fold.js';
import { messageOfUsage } from './usage-message.js';
import { createUsageTables } from './usage-tables.js';
import { ensureUsageTopics } from './usage-topic.js';

const BATCHES = 10;
const WAIT_MS_MAX = 60_000;
const topics = { partitionCount: 1, replicationFactor: 1, retentionMs: undefined };

describeOnKafka('the offsets of the fold', () => {
  let cluster: KafkaCluster;
  let ledger: EmbeddedLedger;
  let pool: pg.Pool;
  beforeAll(async () => {
    [cluster, ledger] = await Promise.all([KafkaCluster.start(1), startEmbeddedLedger()]);
    pool = new pg.Pool({ ...ledger.program, max: 4 });
    pool.on('error', () => undefined);
    await createUsageTables(pool);
  });
  afterAll(async () => {
    await pool.end();
    await Promise.all([cluster.stop(), ledger.stop()]);
  });

  it('of another Kafka skip nothing of this one', async () => {
    await pool.query('insert into keys.usage_offsets values ($1, 0, 5), ($2, 0, 5)', [
      KEY_USAGE_TOPIC,
      `another/${KEY_USAGE_TOPIC}`,
    ]);
    const kafka = openKafka({ brokers: cluster.brokers }, { debug: () => undefined, warn: () => undefined });
    const source = randomUUID();
    const batches = Array.from({ length: BATCHES }, (_, n): KeyUsageBatch => {
      const lastUses = [{ keyId: `key_${String(n).padStart(16, '0')}`, version: 1, at: '2026-01-01T00:00:00.000Z' }];
      return { v: 1, source, sequence: n + 1, counts: [], lastUses };
    });
    const publisher = new EventPublisher(kafka);
    const gaps: bigint[] = [];
    const fold = new UsageFold({
      kafka,
      pool,
      prepare: () => ensureUsageTopics(kafka, topics),
      onRetry: () => undefined,
      onDeadLetter: () => undefined,
      onGap: (_partition, messages) => void gaps.push(messages),
    });
    const reached = async (): Promise<number> =>
      Number(
        (await pool.query<{ last: string }>('select max(next_offset) as last from keys.usage_offsets')).rows[0]?.last,
      );
    try {
      await ensureUsageTopics(kafka, topics);
      await publisher.publish(batches.map(messageOfUsage));
      fold.start();
      const deadline = performance.now() + WAIT_MS_MAX;
      while ((await reached()) < BATCHES) {
        if (performance.now() > deadline) throw new Error(`${await reached()} of ${BATCHES} were folded.`);
        await sleep(50);
      }
      expect([(await pool.query('select from keys.key_usage')).rowCount, gaps]).toEqual([BATCHES, []]);
    } finally {
      await fold.stop();
      await publisher.close();
    }
  });
});

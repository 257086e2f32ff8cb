import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { KEY_USAGE_TOPIC, type KeyUsageBatch } from '#libs/contracts';
import { EventPublisher, type IncomingMessage, KafkaCluster, openKafka } from '#libs/kafka';
import { inTransaction } from '#libs/postgres';
import { describeOnKafka, seededRandom } from '#libs/testing';
import type { Kafka } from 'kafkajs';
import pg from 'pg';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../../../libs/postgres/src/testing/embedded-ledger.js';
import { foldMessage, UsageFold } from './usage-fold.js';
import { messageOfUsage, readUsageMessage, UsageMessageInvalid } from './usage-message.js';
import { moveOffset, readOffsets } from './usage-offsets.js';
import { createUsageTables, foldUsage } from './usage-tables.js';
import { ensureUsageTopics } from './usage-topic.js';

const { seed, random } = seededRandom();
const below = (n: number): number => Math.floor(random() * n);
const WAIT_MS_MAX = 60_000;
/** What is older than a week is deleted by the fold itself. */
const MINUTE = new Date(Math.floor(Date.now() / 60_000) * 60_000).toISOString();

const aBatch = (source: string, sequence: number, count = 1 + below(9)): KeyUsageBatch => {
  const counted = { minute: MINUTE, tenantId: 'acme', projectId: 'P1', service: 'gateway' };
  return { v: 1, source, sequence, counts: [{ ...counted, keyId: null, code: 'VALID', count }], lastUses: [] };
};
const sumOf = (batches: readonly KeyUsageBatch[]): number =>
  batches.flatMap(({ counts }) => counts).reduce((sum, { count }) => sum + count, 0);

let ledger: EmbeddedLedger;
let pool: pg.Pool;
beforeAll(async () => {
  ledger = await startEmbeddedLedger();
  pool = new pg.Pool({ ...ledger.program, max: 8 });
  pool.on('error', () => undefined);
  await createUsageTables(pool);
});
afterAll(async () => {
  await pool.end();
  await ledger.stop();
});
beforeEach(async () => {
  for (const table of ['usage_sources', 'usage_offsets', 'verification_minutes', 'verification_hours'])
    await pool.query(`truncate keys.${table}`);
});
const folded = async (): Promise<number> => {
  const { rows } = await pool.query<{ sum: string | null }>('select sum(verifications) from keys.verification_minutes');
  return Number(rows[0]?.sum ?? 0);
};

describe('the fold of key usage', () => {
  const POISON = 'poison';

  /** A partition as Kafka has it: every source in order, batches twice where their sender did not hear of the first. */
  function aPartition(partition: number): { messages: IncomingMessage[]; batches: KeyUsageBatch[] } {
    const sources = Array.from({ length: 3 }, () => ({ source: randomUUID(), batches: [] as KeyUsageBatch[] }));
    const values: Buffer[] = [];
    for (let n = 0; n < 40; n += 1) {
      const { source, batches } = sources[below(sources.length)] as (typeof sources)[number];
      const again = below(5) === 0 ? batches[below(batches.length)] : undefined;
      const batch = again ?? aBatch(source, batches.length + 1);
      if (again === undefined) batches.push(batch);
      values.push(below(10) === 0 ? Buffer.from(POISON) : messageOfUsage(batch).value);
      // What was lost as poison was published, so its sender sends the next one and nothing else.
    }
    const messages = values.map((value, n) => {
      const offset = BigInt(n);
      return { topic: KEY_USAGE_TOPIC, partition, offset, key: '', value, headers: {} };
    });
    const readable = new Map<string, KeyUsageBatch>();
    const highest = new Map<string, number>();
    for (const value of values) {
      if (value.toString() === POISON) continue;
      const batch = readUsageMessage(value);
      if (batch.sequence <= (highest.get(batch.source) ?? 0)) continue;
      highest.set(batch.source, batch.sequence);
      readable.set(`${batch.source} ${batch.sequence}`, batch);
    }
    return { messages, batches: [...readable.values()] };
  }

  it(`counts once what the old and the new holder of a partition both handle, through crashes (SEED=${seed})`, async () => {
    const partitions = [0, 1].map(aPartition);
    const members: { partition: number; next: number }[] = [];
    const join = async (partition: number): Promise<void> => {
      const stored = (await readOffsets(pool, KEY_USAGE_TOPIC, [partition])).get(partition) ?? 0n;
      members.push({ partition, next: Number(stored) });
    };
    const step = async (member: { partition: number; next: number }): Promise<void> => {
      const message = partitions[member.partition]?.messages[member.next];
      if (message === undefined) return;
      if (below(6) === 0 && message.value.toString() !== POISON) {
        // It dies before it commits; whoever comes next begins where the tables say.
        await inTransaction(pool, async (client) => {
          if (await moveOffset(client, message)) await foldUsage(client, readUsageMessage(message.value));
          return undefined;
        });
        members.splice(members.indexOf(member), 1);
        return;
      }
      await foldMessage(pool, message).catch((error: unknown) => {
        if (!(error instanceof UsageMessageInvalid)) throw error;
      });
      member.next += 1;
    };
    for (let n = 0; n < 300; n += 1) {
      if (below(10) === 0 || members.length < 2) await join(below(2));
      // Two at once, of one partition too, and one that was put out of its group long ago among them.
      const [one, other] = [members[below(members.length)], members[below(members.length)]];
      const both = [...new Set([one, other])].filter((member) => member !== undefined);
      await Promise.all(both.map(step));
    }
    for (const partition of [0, 1]) {
      await join(partition);
      const last = members.at(-1) as { partition: number; next: number };
      for (const message of partitions[partition]?.messages.slice(last.next) ?? [])
        await foldMessage(pool, message).catch(() => undefined);
    }
    expect(await folded()).toBe(sumOf(partitions.flatMap(({ batches }) => batches)));
  });

  it.each<[string, unknown]>([
    ['no JSON', '{"v":1'],
    ['null', 'null'],
    ['another version', { ...aBatch(randomUUID(), 1), v: 2 }],
    ['a source that is none', { ...aBatch(randomUUID(), 1), source: 'me' }],
    ['a sequence of 0', aBatch(randomUUID(), 0)],
    ['a count below 1', aBatch(randomUUID(), 1, -5)],
    ['a count of a half', aBatch(randomUUID(), 1, 0.5)],
    [
      'a time that is none',
      { ...aBatch(randomUUID(), 1), lastUses: [{ keyId: `key_${'0'.repeat(16)}`, version: 1, at: '1' }] },
    ],
    ['NUL in an id', { ...aBatch(randomUUID(), 1), counts: [{ ...aBatch('', 1).counts[0], service: 'a\u0000' }] }],
    ['no list', { ...aBatch(randomUUID(), 1), counts: {} }],
  ])('refuses a message with %s, and repeats nothing of it', (_what, value) => {
    const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
    expect(() => readUsageMessage(bytes)).toThrow(UsageMessageInvalid);
    expect(() => readUsageMessage(bytes)).toThrow(/^A message of key usage is wrong in [\w ]+\.$/);
  });

  it('reads what a newer release added', () => {
    const batch = { ...aBatch(randomUUID(), 1), region: 'eu' };
    expect(readUsageMessage(Buffer.from(JSON.stringify(batch)))).toEqual(batch);
  });
});

describeOnKafka('the fold of key usage on a real Kafka', () => {
  const topics = { partitionCount: 2, replicationFactor: 1, retentionMs: undefined };
  let cluster: KafkaCluster;
  let kafka: Kafka;
  let publisher: EventPublisher;
  let fold: UsageFold | undefined;
  let dead: bigint[];

  beforeAll(async () => {
    cluster = await KafkaCluster.start(1);
    kafka = openKafka({ brokers: cluster.brokers }, { debug: () => undefined, warn: () => undefined });
    publisher = new EventPublisher(kafka);
  });
  afterEach(() => fold?.stop());
  afterAll(async () => {
    await publisher.close();
    await cluster.stop();
  });

  const start = (): void => {
    dead = [];
    fold = new UsageFold({
      kafka,
      pool,
      prepare: () => ensureUsageTopics(kafka, topics),
      onRetry: () => undefined,
      onDeadLetter: ({ offset }) => void dead.push(offset),
      onGap: () => undefined,
    });
    fold.start();
  };
  const publish = async (batches: readonly KeyUsageBatch[]): Promise<void> => {
    await ensureUsageTopics(kafka, topics);
    await publisher.publish(batches.map(messageOfUsage));
  };
  const untilFolded = async (sum: number): Promise<void> => {
    const deadline = performance.now() + WAIT_MS_MAX;
    while ((await folded()) < sum) {
      if (performance.now() > deadline) throw new Error(`${await folded()} of ${sum} were folded.`);
      await sleep(50);
    }
  };
  const batchesOf = (source: string, from: number, count: number): KeyUsageBatch[] =>
    Array.from({ length: count }, (_, n) => aBatch(source, from + n));
  const source = randomUUID();
  const batches = batchesOf(source, 1, 30);

  it('counts what is published, also twice, and sets aside what it cannot read', async () => {
    await publish([...batches.slice(0, 10), ...batches.slice(3, 8)]);
    await publisher.publish([{ ...messageOfUsage(batches[0] as KeyUsageBatch), value: Buffer.from('{}') }]);
    await publish(batches.slice(10, 20));
    start();
    await untilFolded(sumOf(batches.slice(0, 20)));
    expect([await folded(), dead.length, fold?.repeatedCount]).toEqual([sumOf(batches.slice(0, 20)), 1, 5]);
  });

  it('begins where the tables say, whatever the group committed, as after a restored backup', async () => {
    await publish(batches.slice(20));
    start();
    // The tables are empty again, and the group is past the first twenty.
    await untilFolded(sumOf(batches));
    expect(await folded()).toBe(sumOf(batches));
  });

  it('begins anew with a topic that was made anew', async () => {
    start();
    await untilFolded(sumOf(batches));
    await fold?.stop();
    const admin = kafka.admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [KEY_USAGE_TOPIC] });
    await admin.disconnect();
    const others = batchesOf(randomUUID(), 1, 5);
    await publisher.close();
    publisher = new EventPublisher(kafka);
    await publish(others);
    start();
    await untilFolded(sumOf([...batches, ...others]));
    expect(await folded()).toBe(sumOf([...batches, ...others]));
  });
});

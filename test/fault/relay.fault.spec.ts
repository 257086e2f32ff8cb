import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ensureTopics, eventTopics, KafkaCluster, openKafka, type TopicSettings } from '#libs/kafka';
import { PostgresEventStore } from '#libs/postgres';
import { describeOnKafka } from '#libs/testing';
import type { Kafka } from 'kafkajs';
import pg from 'pg';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../libs/postgres/src/testing/embedded-ledger.js';
import { consumeAll, judge, type Verdict } from '../../services/projector/src/testing/consumed-events.js';
import { PRIVATE_COMMENT, writeManyEvents } from '../../services/projector/src/testing/many-events.js';

/**
 * Two relaying processes and three brokers with three copies of everything. The broker that leads is killed again and
 * again; the process that leads is paused past its lease and goes on later. STEWARD_FAULT_SIZE=full relays the 100,000
 * events of the release check through six kills.
 */
const full = process.env['STEWARD_FAULT_SIZE'] === 'full';
const EVENTS = full ? 100_000 : 4_500;
const KILLS = full ? 6 : 2;
const STREAMS = 75;
const TIME_MAX_MS = full ? 1_800_000 : 240_000;
const STEP_MS_MAX = 120_000;
const topics: TopicSettings = { partitionCount: 4, replicationFactor: 3, retentionMs: undefined };
/** The brokers that are left answer what waited for the lost one within this time. */
const ANSWERS_MS = 1_000;
const LIVE_PAGES = { pageEventsMax: 100 };
/** So many that every page has events for every broker. */
const MIXED_PAGES = { pageEventsMax: 300, mixedPauseMs: 100 };
const mixedTopics = eventTopics.map((topic) => `mixed.${topic}`);
const program = fileURLToPath(new URL('./relay-process.mjs', import.meta.url));

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + STEP_MS_MAX;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`It did not come true that ${what}.`);
    await sleep(50);
  }
}

/** A process of its own that relays, or waits until it may. */
class RelayProcess {
  private constructor(private readonly child: ChildProcess) {}

  static start(settings: object): RelayProcess {
    const child = spawn(process.execPath, [program], {
      env: { PATH: process.env['PATH'], RELAY_SETTINGS: JSON.stringify(settings) },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return new RelayProcess(child);
  }

  /** Pauses it where it has read a page and published nothing of it. */
  async pause(): Promise<void> {
    this.child.kill('SIGUSR2');
    await until('the relay is paused', () => / \(node\) T /.test(readFileSync(`/proc/${this.child.pid}/stat`, 'utf8')));
  }

  goOn(): void {
    this.child.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}

describeOnKafka('the relay through the loss of brokers', () => {
  let cluster: KafkaCluster;
  let ledger: EmbeddedLedger;
  let database: pg.Pool;
  let store: PostgresEventStore;
  const relays: RelayProcess[] = [];
  /** What was started, the last one first, so that a start that fails leaves nothing behind. */
  const ends: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    ledger = await startEmbeddedLedger();
    ends.unshift(() => ledger.stop());
    cluster = await KafkaCluster.start(3);
    ends.unshift(() => cluster.stop());
    database = new pg.Pool({ ...ledger.program, max: 4 });
    database.on('error', () => undefined);
    ends.unshift(() => database.end());
    store = new PostgresEventStore({ connection: ledger.program });
    ends.unshift(() => store.close());
  }, TIME_MAX_MS);
  afterAll(async () => {
    await Promise.all(relays.map((relay) => relay.kill()));
    for (const end of ends) await end();
  });

  const aRelay = (pages: object): RelayProcess => {
    const relay = RelayProcess.start({
      connection: ledger.program,
      brokers: cluster.brokers,
      topics,
      leaseTimes: { ttlMs: 4_000, renewMs: 1_000 },
      ...pages,
    });
    relays.push(relay);
    return relay;
  };

  const quietKafka = (): Kafka =>
    openKafka({ brokers: cluster.brokers }, { debug: () => undefined, warn: () => undefined });

  const relayed = async (): Promise<{ epoch: number; position: string }> => {
    const { rows } = await database.query<{ epoch: string; position: string }>(
      'select epoch, position from projections.relays',
    );
    return { epoch: Number(rows[0]?.epoch ?? 0), position: rows[0]?.position ?? store.origin };
  };

  /** The broker hangs while requests wait for it, until another one leads; then it dies. The others go on meanwhile. */
  const killInTheMidst = async (topic: string, partition: number): Promise<number> => {
    const leader = await cluster.leaderOf(topic, partition);
    cluster.hang(leader);
    await cluster.leaderOf(topic, partition, leader);
    await sleep(ANSWERS_MS);
    await cluster.kill(leader);
    return leader;
  };

  /** Writes half of the events, kills the broker that leads, writes the rest, and brings it back once that is relayed. */
  const throughOneKill = async (events: number, n: number): Promise<void> => {
    await writeManyEvents(store, events / 2, STREAMS);
    const [topic, partition] = [eventTopics[n % eventTopics.length] as string, n % topics.partitionCount];
    let leader = await cluster.leaderOf(topic, partition);
    const writing = writeManyEvents(store, events / 2, STREAMS);
    if (n % 2 === 0) await cluster.kill(leader);
    else leader = await killInTheMidst(topic, partition);
    await writing;
    const head = await store.head();
    await until('everything is relayed without the broker', async () => (await relayed()).position >= head);
    await cluster.restart(leader);
    await cluster.untilInSync(eventTopics);
  };

  const verdictOn = async (names: readonly string[]): Promise<Verdict> => {
    const consumed = await consumeAll(quietKafka(), names);
    const isPrivate = consumed.filter(({ message }) => String(message.value).includes(PRIVATE_COMMENT)).length;
    const verdict = await judge(store, consumed, topics.partitionCount);
    process.stdout.write(`relay to ${names[0] ?? ''} ...: ${JSON.stringify({ ...verdict, isPrivate })}\n`);
    expect(isPrivate).toBe(0);
    return verdict;
  };

  it(
    'loses nothing, keeps the order of every stream, and what a paused leader sends late is told as a duplicate',
    async () => {
      const first = aRelay(LIVE_PAGES);
      await until('the first process relays', async () => (await relayed()).epoch > 0);
      const second = aRelay(LIVE_PAGES);
      await cluster.untilInSync(eventTopics);
      const share = EVENTS / (KILLS + 1);
      for (let n = 0; n < KILLS; n += 1) await throughOneKill(share, n);

      const paused = first.pause();
      await writeManyEvents(store, share / 2, STREAMS);
      await paused;
      const { epoch } = await relayed();
      await writeManyEvents(store, share / 2, STREAMS);
      const head = await store.head();
      await until('the second process has taken over and relayed all', async () => {
        const now = await relayed();
        return now.epoch > epoch && now.position >= head;
      });
      first.goOn();
      // What it sends late shows at its end: the topics hold more than the store does.
      const kafka = quietKafka();
      const written = Number(head);
      await until('the paused process has sent its page', async () => (await messagesIn(kafka)) > written);
      await Promise.all([first.kill(), second.kill()]);

      const verdict = await verdictOn(eventTopics);
      expect(verdict).toMatchObject({ lost: 0, outOfOrder: 0, differentBytes: 0, inWrongPartition: 0 });
      expect(verdict.events).toBeGreaterThanOrEqual(EVENTS);
      expect(verdict.duplicates).toBeGreaterThanOrEqual(1);
    },
    TIME_MAX_MS,
  );

  it(
    'the same relay with one send for all partitions is caught losing events',
    async () => {
      await Promise.all(relays.map((relay) => relay.kill()));
      await database.query('delete from projections.relays');
      await ensureTopics(quietKafka(), mixedTopics, topics);
      await cluster.untilInSync(mixedTopics);
      aRelay(MIXED_PAGES);
      const head = await store.head();
      await until('the relay is in the midst of it', async () => (await relayed()).position > store.origin);
      await killInTheMidst(mixedTopics[0] as string, 0);
      expect((await relayed()).position < head).toBe(true);
      await until('everything is relayed', async () => (await relayed()).position >= head);
      expect((await verdictOn(mixedTopics)).lost).toBeGreaterThan(0);
    },
    TIME_MAX_MS,
  );
});

/** How many messages stand in the events' topics. */
async function messagesIn(kafka: Kafka): Promise<number> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const offsets = await Promise.all(eventTopics.map((topic) => admin.fetchTopicOffsets(topic)));
    return offsets.flat().reduce((sum, { high }) => sum + Number(high), 0);
  } finally {
    await admin.disconnect();
  }
}

import pg from 'pg';
import type { Kafka } from 'kafkajs';
import { ensureTopics, EventPublisher, eventTopics, KafkaCluster, openKafka, type OutgoingMessage } from '#libs/kafka';
import { PostgresEventStore } from '#libs/postgres';
import { freePorts, describeOnKafka } from '#libs/testing';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../../libs/postgres/src/testing/embedded-ledger.js';
import { EventRelay } from './event-relay.js';
import { consumeAll, judge } from './testing/consumed-events.js';
import { PRIVATE_COMMENT, writeManyEvents } from './testing/many-events.js';

const REACH_MS_MAX = 60_000;
const PARTITIONS = 4;
const silent = { debug: (): void => undefined, warn: (): void => undefined };

describeOnKafka('the relay to Kafka', () => {
  let cluster: KafkaCluster;
  let ledger: EmbeddedLedger;
  let database: pg.Pool;
  let store: PostgresEventStore;
  let kafka: Kafka;

  beforeAll(async () => {
    [cluster, ledger] = await Promise.all([KafkaCluster.start(1), startEmbeddedLedger()]);
    database = new pg.Pool({ ...ledger.program, max: 6 });
    database.on('error', () => undefined);
    store = new PostgresEventStore({ connection: ledger.program });
    kafka = openKafka({ brokers: cluster.brokers }, silent);
  });
  afterAll(async () => {
    await store.close();
    await database.end();
    await Promise.all([cluster.stop(), ledger.stop()]);
  });

  const settings = { partitionCount: PARTITIONS, replicationFactor: 1, retentionMs: undefined };
  const aRelay = (publisher: Pick<EventPublisher, 'publish' | 'close'> = new EventPublisher(kafka)): EventRelay =>
    new EventRelay({
      database,
      store,
      publisher,
      prepare: () => ensureTopics(kafka, eventTopics, settings),
      leaseTimes: { ttlMs: 5_000, renewMs: 1_000 },
      pageEventsMax: 100,
    });

  const relayAll = async (relay: EventRelay): Promise<void> => {
    relay.start();
    expect(await relay.reach(await store.head(), REACH_MS_MAX)).toBe(true);
    await relay.stop();
  };

  it('publishes every event once, in order per stream, byte-equal to the store, and nothing private', async () => {
    await writeManyEvents(store, 1_000, 30);
    await relayAll(aRelay());
    const consumed = await consumeAll(kafka);
    expect(await judge(store, consumed, PARTITIONS)).toEqual({
      events: 1_200,
      messages: 1_200,
      lost: 0,
      duplicates: 0,
      outOfOrder: 0,
      differentBytes: 0,
      inWrongPartition: 0,
    });
    const [{ message }] = consumed as [(typeof consumed)[number]];
    expect(String(message.headers?.['ce_specversion'])).toBe('1.0');
    expect(consumed.some((one) => String(one.message.value).includes(PRIVATE_COMMENT))).toBe(false);
  });

  it('goes on from its checkpoint after a restart, without a message twice', async () => {
    await writeManyEvents(store, 200, 10);
    const relay = aRelay();
    await relayAll(relay);
    expect(relay.publishedCount).toBe(200);
    expect(await judge(store, await consumeAll(kafka), PARTITIONS)).toMatchObject({ lost: 0, duplicates: 0 });
  });

  it('publishes again what it had published and not recorded, and a consumer tells it by the sequence', async () => {
    await writeManyEvents(store, 100, 5);
    const publisher = new EventPublisher(kafka);
    let crashed: () => void;
    const crash = new Promise<void>((resolve) => (crashed = resolve));
    const dying = aRelay({
      publish: async (messages: readonly OutgoingMessage[]) => {
        await publisher.publish(messages);
        crashed();
        throw new Error('The process ended before it recorded this.');
      },
      close: () => publisher.close(),
    });
    dying.start();
    await crash;
    await dying.stop();
    await relayAll(aRelay());
    const verdict = await judge(store, await consumeAll(kafka), PARTITIONS);
    expect(verdict).toMatchObject({ lost: 0, outOfOrder: 0, differentBytes: 0 });
    expect(verdict.duplicates).toBeGreaterThanOrEqual(100);
  });

  it('of two relays one publishes, and the other takes over when it stops', async () => {
    const [first, second] = [aRelay(), aRelay()];
    first.start();
    expect(await first.reach(await store.head(), REACH_MS_MAX)).toBe(true);
    second.start();
    await writeManyEvents(store, 100, 5);
    expect(await first.reach(await store.head(), REACH_MS_MAX)).toBe(true);
    expect([first.state, second.state, second.publishedCount]).toEqual(['leading', 'standby', 0]);
    await first.stop();
    await writeManyEvents(store, 100, 5);
    expect(await second.reach(await store.head(), REACH_MS_MAX)).toBe(true);
    await second.stop();
    expect(second.publishedCount).toBe(100);
  });

  it('survives a broker that is killed and comes back', async () => {
    const relay = aRelay();
    relay.start();
    expect(await relay.reach(await store.head(), REACH_MS_MAX)).toBe(true);
    await cluster.kill(1);
    await writeManyEvents(store, 200, 10);
    await cluster.restart(1);
    expect(await relay.reach(await store.head(), REACH_MS_MAX)).toBe(true);
    await relay.stop();
    expect(await judge(store, await consumeAll(kafka), PARTITIONS)).toMatchObject({ lost: 0, outOfOrder: 0 });
  });

  it('stops at once while no broker answers', async () => {
    const [port] = await freePorts(1);
    const nowhere = openKafka({ brokers: [`127.0.0.1:${port ?? 0}`] }, silent);
    let asked: () => void;
    const asking = new Promise<void>((resolve) => (asked = resolve));
    const options = { database, store, publisher: new EventPublisher(nowhere) };
    const unprepared = new EventRelay({
      ...options,
      prepare: () => {
        asked();
        return ensureTopics(nowhere, eventTopics, settings);
      },
    });
    unprepared.start();
    await asking;
    const startedMs = performance.now();
    await unprepared.stop();
    await writeManyEvents(store, 20, 1);
    const unpublished = new EventRelay({ ...options, prepare: () => Promise.resolve() });
    unpublished.start();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await unpublished.stop();
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });

  it('topics that ask for more copies than there are brokers are refused by name', async () => {
    await expect(ensureTopics(kafka, ['too.many'], { ...settings, replicationFactor: 3 })).rejects.toThrow(
      /Kafka would not make what was asked for\. too\.many: /,
    );
  });
});

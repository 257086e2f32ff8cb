// P16: the relay from a real store to a real Kafka, beside kafkajs' own sendBatch of the same bytes.
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import pg from 'pg';
import { eventTypes } from '../../dist/libs/contracts/src/index.js';
import { Codec, MemoryDataKeys } from '../../dist/libs/eventsourcing/src/index.js';
import {
  ensureTopics,
  EventPublisher,
  eventTopics,
  KafkaCluster,
  messageOf,
  openKafka,
  whyNoKafka,
} from '../../dist/libs/kafka/src/index.js';
import { migrate, PostgresEventStore, startEmbeddedPostgres } from '../../dist/libs/postgres/src/index.js';
import { EventRelay } from '../../dist/services/projector/src/event-relay.js';
import { medianOf, rounds } from './rounds.mjs';
import { cpuNs, spentNs, treeCpuNs } from './server-cpu.mjs';
import { aDataDir } from './steward-program.mjs';

const EVENTS = 20_000;
const STREAMS = 500;
const EVENTS_AN_APPEND = 4;
/** A page of the relay. */
const PAGE_EVENTS = 2_000;
const RELAY_MS_MAX = 120_000;
/** As Steward makes them unless told otherwise; a single broker holds one copy. */
const topics = { partitionCount: 12, replicationFactor: 1, retentionMs: undefined };
const peerTopicOf = (topic) => `peer.${topic}`;

const kinds = [
  { category: 'key', event: { type: 'KeyDisabled', data: {} } },
  { category: 'tenant', event: { type: 'TenantSuspended', data: {} } },
  { category: 'projectQuota', event: { type: 'ProjectQuotaUnfrozen', data: {} } },
];

/** Streams of all three contexts that grow side by side. */
async function writeEvents(store) {
  const codec = new Codec(eventTypes, new MemoryDataKeys());
  const tails = Array.from({ length: STREAMS }, (_, n) => ({ ...kinds[n % kinds.length], id: randomUUID() }));
  for (let round = 0; round < EVENTS / STREAMS / EVENTS_AN_APPEND; round += 1)
    await Promise.all(
      tails.map(async (tail) => {
        const stream = `${tail.category}-${tail.id}`;
        const lastRevision = tail.last?.revision ?? 0;
        const commandId = randomUUID();
        const events = await codec.encode({
          stream,
          tenantId: 'acme',
          projectId: null,
          lastRevision,
          lastChainHash: tail.last?.chainHash ?? null,
          recordedAt: '2026-01-01T00:00:00.000Z',
          context: {
            commandId,
            correlationId: commandId,
            causationId: null,
            requestHash: null,
            actor: { type: 'user', id: 'alice', via: 'key:key_0000000000000002' },
            actorPart: null,
          },
          events: Array.from({ length: EVENTS_AN_APPEND }, () => tail.event),
        });
        tail.last = (await store.append({ stream, expectedRevision: lastRevision, events })).events.at(-1);
      }),
    );
}

/** The whole log, from taking the lease to the last checkpoint. */
async function relayed({ database, store, kafka, head }) {
  await database.query('delete from projections.relays');
  const relay = new EventRelay({
    database,
    store,
    publisher: new EventPublisher(kafka),
    prepare: () => Promise.resolve(),
    onRetry: ({ message, cause }) => console.error(`The relay tries again: ${cause?.message ?? message}`),
  });
  relay.start();
  try {
    if (!(await relay.reach(head, RELAY_MS_MAX))) throw new Error('The relay did not reach the head of the log.');
  } finally {
    await relay.stop();
  }
}

/** The pages of the log as the client's own examples send them, and as Steward never may: see docs/guides/kafka.md. */
async function sentInBatches({ kafka, pages }) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false });
  await producer.connect();
  try {
    for (const topicMessages of pages) await producer.sendBatch({ acks: -1, topicMessages });
  } finally {
    await producer.disconnect();
  }
}

/** What sendBatch is given: the messages of each page by topic. */
async function pagesOf(store) {
  const pages = [];
  for (let after = store.origin; ;) {
    const { events, position, caughtUp } = await store.readAll({ after, limit: PAGE_EVENTS });
    const messages = events.map(messageOf);
    pages.push(
      eventTopics
        .map((topic) => ({
          topic: peerTopicOf(topic),
          messages: messages
            .filter((message) => message.topic === topic)
            .map(({ key, value, headers }) => ({ key, value, headers })),
        }))
        .filter(({ messages: some }) => some.length > 0),
    );
    if (caughtUp) return pages;
    after = position;
  }
}

async function measured(run) {
  const before = { own: cpuNs(process.pid), tree: treeCpuNs(process.pid) };
  const sinceMs = performance.now();
  await run();
  const perSecond = EVENTS / ((performance.now() - sinceMs) / 1_000);
  if (before.tree === undefined) return { perSecond };
  const ownNs = cpuNs(process.pid) - before.own;
  const othersNs = spentNs(before.tree, treeCpuNs(process.pid)) - ownNs;
  return { perSecond, ownUs: ownNs / EVENTS / 1_000, othersUs: othersNs / EVENTS / 1_000 };
}

/** Rows of the table of figures. */
export async function relay({ log }) {
  const reason = whyNoKafka();
  if (reason !== undefined) {
    log(`P16 is left out, for ${reason}.`);
    return [];
  }
  const dataDir = aDataDir();
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const ends = [() => rmSync(dataDir, { recursive: true, force: true })];
  try {
    const server = await startEmbeddedPostgres({ dataDir, log: silent });
    ends.unshift(() => server.stop());
    await migrate(server.ownerConfig, { programRole: server.programConfig.user });
    const store = new PostgresEventStore({ connection: server.programConfig });
    ends.unshift(() => store.close());
    const database = new pg.Pool({ ...server.programConfig, max: 4 });
    ends.unshift(() => database.end());
    const cluster = await KafkaCluster.start(1);
    ends.unshift(() => cluster.stop());
    const kafka = openKafka({ brokers: cluster.brokers }, silent);
    await ensureTopics(kafka, [...eventTopics, ...eventTopics.map(peerTopicOf)], topics);
    await writeEvents(store);
    const given = { database, store, kafka, head: await store.head(), pages: await pagesOf(store) };
    log(`${EVENTS.toLocaleString('en')} events of ${STREAMS} streams, a round each.`);
    const figures = await rounds({
      sendBatch: () => measured(() => sentInBatches(given)),
      relay: () => measured(() => relayed(given)),
    });
    return [rowOf(figures)];
  } finally {
    for (const end of ends) await end();
  }
}

function rowOf(figures) {
  const median = (name, figure) => medianOf(figures[name].map((one) => one[figure]));
  const told = (name) => {
    const rate = `${Math.round(median(name, 'perSecond'))} events/s`;
    if (figures[name][0].ownUs === undefined) return rate;
    const [own, others] = ['ownUs', 'othersUs'].map((figure) => Math.round(median(name, figure)));
    return `${rate}, CPU ${own} us node + ${others} us PostgreSQL and Kafka`;
  };
  const ratio = median('relay', 'perSecond') / median('sendBatch', 'perSecond');
  return {
    id: 'P16',
    what: 'relay from the store to Kafka, one partition a send, every answer checked',
    figure: told('relay'),
    reference: `kafkajs sendBatch of the same bytes ${told('sendBatch')}`,
    ratio,
    target: '>= 0.70',
    met: ratio >= 0.7,
  };
}

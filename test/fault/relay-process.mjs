// One of the relaying processes of relay.fault.spec.ts; settings are JSON in RELAY_SETTINGS.
// On SIGUSR2 it stops itself (SIGSTOP) where it hurts most: with a page read and not published yet.
import { setTimeout as sleep } from 'node:timers/promises';
import { Partitioners } from 'kafkajs';
import pg from 'pg';
import { ensureTopics, EventPublisher, eventTopics, openKafka } from '#libs/kafka';
import { PostgresEventStore } from '#libs/postgres';
import { EventRelay } from '../../dist/services/projector/src/event-relay.js';

const { connection, brokers, topics, leaseTimes, pageEventsMax, mixedPauseMs } = JSON.parse(process.env.RELAY_SETTINGS);
const say = (fields, message) =>
  process.stderr.write(`${message} ${fields.err?.cause?.message ?? fields.error ?? ''}\n`);
const kafka = openKafka({ brokers }, { debug: () => undefined, warn: say });

let stopsNext = false;
process.on('SIGUSR2', () => {
  stopsNext = true;
});

const mixed = mixedPauseMs !== undefined;

/**
 * What the relay must never use: one send for all that is to be published, as the client's own examples have it. It pauses
 * between two pages, so that there is time to kill a broker.
 */
class MixedPublisher {
  producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    retry: { retries: Number.MAX_SAFE_INTEGER },
  });
  connected = this.producer.connect();

  async publish(messages) {
    await this.connected;
    await sleep(mixedPauseMs);
    const topicMessages = eventTopics.map((topic) => ({
      topic: `mixed.${topic}`,
      messages: messages.filter((message) => message.topic === topic),
    }));
    await this.producer.sendBatch({ acks: -1, topicMessages: topicMessages.filter((one) => one.messages.length > 0) });
  }

  async close() {
    await this.producer.disconnect();
  }
}

const publisher = mixed ? new MixedPublisher() : new EventPublisher(kafka);
const database = new pg.Pool({ ...connection, max: 4 });
database.on('error', () => undefined);
const relay = new EventRelay({
  database,
  store: new PostgresEventStore({ connection }),
  publisher: {
    publish: async (messages, signal) => {
      if (stopsNext) {
        stopsNext = false;
        process.kill(process.pid, 'SIGSTOP');
      }
      await publisher.publish(messages, signal);
    },
    close: () => publisher.close(),
  },
  prepare: () => ensureTopics(kafka, mixed ? eventTopics.map((topic) => `mixed.${topic}`) : eventTopics, topics),
  leaseTimes,
  pageEventsMax,
  onRetry: (err) => say({ err }, `retry: ${err.message}`),
  onFailure: (err) => say({ err }, `failed: ${err.message}`),
});
relay.start();

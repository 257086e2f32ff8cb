// Follows Steward's events on Kafka and keeps a small table of API keys per project in your PostgreSQL.
//
//   KAFKA_BROKERS=127.0.0.1:9092 DATABASE_URL=postgres://user@host/db node examples/kafka-dashboard.mjs
//
// The rule that every consumer follows: a message may come again, and late. So the highest sequence of each stream is kept
// in the same transaction as the effect, and what is not above it changes nothing.
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';

const database = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 2 });
const kafka = new Kafka({
  clientId: 'key-dashboard',
  brokers: (process.env.KAFKA_BROKERS ?? '127.0.0.1:9092').split(','),
  logLevel: logLevel.NOTHING,
});

await database.query(`
  create schema if not exists dashboard;
  create table if not exists dashboard.streams (stream text primary key, sequence bigint not null);
  create table if not exists dashboard.keys (
    key_id text primary key, project_id text, state text not null, expires_at timestamptz);
  create or replace view dashboard.keys_by_project as
    select project_id, state, count(*)::int as keys from dashboard.keys group by project_id, state`);

const STATES = {
  KeyDisabled: 'disabled',
  KeyEnabled: 'active',
  KeyRevoked: 'revoked',
  KeyExpired: 'expired',
};

/** What one event does to the table; types that say nothing about it do nothing. */
async function apply(client, { type, stream, projectId, data }) {
  const keyId = `key_${stream.slice('key-'.length)}`;
  if (type === 'KeyCreated' || type === 'KeyImported')
    await client.query('insert into dashboard.keys values ($1, $2, $3, $4)', [
      keyId,
      projectId,
      'active',
      data.expiresAt,
    ]);
  else if (type === 'KeyDeleted') await client.query('delete from dashboard.keys where key_id = $1', [keyId]);
  else if (type === 'KeyExtended')
    await client.query(`update dashboard.keys set expires_at = $2, state = 'active' where key_id = $1`, [
      keyId,
      data.to,
    ]);
  else if (type in STATES)
    await client.query('update dashboard.keys set state = $2 where key_id = $1', [keyId, STATES[type]]);
}

async function take(message) {
  const client = await database.connect();
  try {
    await client.query('begin');
    const { rowCount } = await client.query(
      `insert into dashboard.streams as s values ($1, $2)
       on conflict (stream) do update set sequence = excluded.sequence where s.sequence < excluded.sequence`,
      [message.key.toString(), message.headers.ce_sequence.toString()],
    );
    if (rowCount === 1) await apply(client, JSON.parse(message.value.toString()));
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  } finally {
    client.release();
  }
}

const consumer = kafka.consumer({ groupId: 'key-dashboard', sessionTimeout: 10_000, maxWaitTimeInMs: 500 });
// The client stops without a word after some errors; whoever watches this process starts it anew.
consumer.on(consumer.events.CRASH, ({ payload }) => {
  console.error(`The consumer crashed: ${payload.error.message}`);
  if (!payload.restart) process.exit(1);
});
await consumer.connect();
await consumer.subscribe({ topics: ['steward.keys.events'], fromBeginning: true });
await consumer.run({ eachMessage: ({ message }) => take(message) });

for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, async () => {
    await consumer.disconnect();
    await database.end();
    process.exit(0);
  });

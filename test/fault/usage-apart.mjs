// The consumer that key-usage.fault.spec.ts must catch; settings are JSON in USAGE_SETTINGS. It commits its offset to Kafka
// and its sums to PostgreSQL, one after the other, and dies between the two at the message that it is told.
import pg from 'pg';
import { EventConsumer, openKafka } from '#libs/kafka';

const { brokers, database, handledMax } = JSON.parse(process.env.USAGE_SETTINGS);
const pool = new pg.Pool({ connectionString: database, max: 1 });
let handled = 0;

new EventConsumer({
  kafka: openKafka({ brokers }, { debug: () => undefined, warn: () => undefined }),
  groupId: 'planted',
  topics: ['steward.keys.usage'],
  sessionTimeoutMs: 6_000,
  handle: async ({ partition, offset, value }) => {
    const { counts } = JSON.parse(value.toString());
    const sum = counts.reduce((all, { count }) => all + count, 0);
    await pool.query('insert into planted values ($1, $2, $3)', [partition, String(offset), sum]);
    handled += 1;
    if (handled === handledMax) process.kill(process.pid, 'SIGKILL');
  },
  isTransient: () => true,
  deadLetters: { publish: () => Promise.resolve() },
}).start();

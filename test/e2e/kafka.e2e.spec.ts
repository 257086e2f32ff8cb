import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { KafkaCluster, openKafka } from '#libs/kafka';
import {
  aKey,
  aProject,
  type ExternalPostgres,
  startExternalPostgres,
  StewardProcess,
  describeOnKafka,
} from '#libs/testing';
import pg from 'pg';
import { type Consumed, consumeAll } from '../../services/projector/src/testing/consumed-events.js';

import { aCaller, SpanCollector, spanNamed } from './span-collector.js';

const WAIT_MS_MAX = 60_000;
const example = fileURLToPath(new URL('../../examples/kafka-dashboard.mjs', import.meta.url));

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`It did not come true that ${what}.`);
    await sleep(100);
  }
}

describeOnKafka('Steward with Kafka', () => {
  let collector: SpanCollector;
  let cluster: KafkaCluster;
  let postgres: ExternalPostgres;
  let steward: StewardProcess;
  let dashboard: ChildProcess;
  let database: pg.Pool;
  let secret: string;
  let keyId: string;

  beforeAll(async () => {
    [cluster, postgres] = await Promise.all([KafkaCluster.start(1), startExternalPostgres()]);
    collector = await SpanCollector.start();
    steward = await StewardProcess.start({
      env: {
        ...collector.envOf('steward'),
        STEWARD_KAFKA_BROKERS: cluster.brokers.join(),
        STEWARD_KAFKA_REPLICATION: '1',
      },
    });
    database = new pg.Pool({ connectionString: postgres.url, max: 2 });
    database.on('error', () => undefined);
    await aProject(steward);
    const made = await aKey(steward, { name: 'night batch', ttlDays: 30 });
    [secret, keyId] = [made.secret, made.key.id];
  });
  afterAll(async () => {
    dashboard.kill('SIGKILL');
    await steward.stop();
    await collector.stop();
    await database.end();
    await Promise.all([cluster.stop(), postgres.stop()]);
  });

  const isRelayed = async (): Promise<boolean> => {
    const { body } = await steward.call<{ checks: { relay: { state: string; lagMs: number | null } } }>(
      'GET',
      '/readyz',
    );
    return body.checks.relay.state === 'leading' && body.checks.relay.lagMs === 0;
  };
  const consumed = (): Promise<Consumed[]> =>
    consumeAll(openKafka({ brokers: cluster.brokers }, { debug: () => undefined, warn: () => undefined }));
  const startDashboard = (): void => {
    dashboard = spawn(process.execPath, [example], {
      env: { PATH: process.env['PATH'], KAFKA_BROKERS: cluster.brokers.join(), DATABASE_URL: postgres.url },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  };
  const stateOf = async (): Promise<string | undefined> => {
    const answer = await database
      .query<{ state: string }>('select state from dashboard.keys where key_id = $1', [keyId])
      .catch(() => undefined);
    return answer?.rows[0]?.state;
  };

  it('publishes what the API did, and no secret with it', async () => {
    await until('the relay has caught up', isRelayed);
    const all = await consumed();
    const types = all.map(({ message }) => String(message.headers?.['ce_type']));
    expect(types).toEqual(expect.arrayContaining(['steward.tenancy.ProjectCreated.v1', 'steward.keys.KeyCreated.v1']));
    const text = all.map(({ message }) => JSON.stringify(message.headers) + String(message.value)).join('\n');
    expect(text).not.toContain(secret);
    expect(text).not.toMatch(/ciphertext|"hmac"|userAgent/);
    expect(text).not.toContain(steward.adminToken);
  });

  it('a message bears the trace of the request that it came of', async () => {
    const caller = aCaller();
    const body = { id: 'GOV2', name: 'Tides' };
    const made = await steward.call('POST', '/v1/tenants/acme/projects', { body, headers: caller.headers });
    expect(made.status).toBe(201);
    const spans = await collector.trace(['command CreateProject', 'append'], caller.traceId);
    let message: Consumed['message'] | undefined;
    await until('the project is published', async () => {
      message = (await consumed()).find((one) => String(one.message.key) === 'project-GOV2')?.message;
      return message !== undefined;
    });
    const { spanId } = spanNamed(spans, 'command CreateProject');
    expect(String(message?.headers?.['traceparent'])).toBe(`00-${caller.traceId}-${spanId}-01`);
  });

  it('the example keeps its table by the dedupe rule, through a kill of its own', async () => {
    startDashboard();
    await until('the key is on the dashboard', async () => (await stateOf()) === 'active');
    dashboard.kill('SIGKILL');
    await once(dashboard, 'exit');
    expect((await steward.call('POST', `/v1/keys/${keyId}/disable`, { body: {} })).status).toBeLessThan(300);
    startDashboard();
    await until('the key is disabled there', async () => (await stateOf()) === 'disabled');
    const { rows } = await database.query<{ keys: number }>(
      `select keys from dashboard.keys_by_project where state = 'disabled'`,
    );
    expect(rows).toEqual([{ keys: 1 }]);
  });
});

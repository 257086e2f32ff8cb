import { setTimeout as sleep } from 'node:timers/promises';
import { eventTopics, openKafka } from '#libs/kafka';
import { connectionOfRunning, PostgresEventStore } from '#libs/postgres';
import { describeOnKafka, seededRandom } from '#libs/testing';
import pg from 'pg';
import { consumeAll, judge } from '../../services/projector/src/testing/consumed-events.js';
import { runCli } from '../e2e/run-cli.js';
import { CommandLoad } from './command-load.js';
import { RunningCluster } from './running-cluster.js';

/**
 * The whole of `npm run cluster`, on this machine. STEWARD_FAULT_SIZE=full kills every kind of process in turn under 100
 * commands a second.
 */
const full = process.env['STEWARD_FAULT_SIZE'] === 'full';
const KINDS = full
  ? ['keys', 'quotas', 'tenancy', 'audit', 'projector', 'front', 'kafka-1', 'postgres']
  : ['keys', 'front', 'postgres'];
const PER_SECOND = full ? 100 : 40;
const BETWEEN_MS = full ? 5_000 : 1_500;
const DELETIONS = full ? 200 : 40;
const REFUSED_MS_MAX = 10_000;
const CATCH_UP_MS_MAX = 120_000;
const PARTITIONS = 12;
/** As many as it takes for none to have too many open reservations. */
const PROJECTS = Array.from({ length: full ? 16 : 4 }, (_, n) => `P${n + 1}`);
const { random, seed } = seededRandom();
const silent = { debug: (): void => undefined, warn: (): void => undefined };

interface Created {
  readonly key: { readonly id: string };
  readonly secret: string;
}

interface Stored {
  /** Key ids with the number of their events of a type. */
  readonly created: ReadonlyMap<string, number>;
  readonly extended: ReadonlyMap<string, number>;
  readonly reserved: ReadonlyMap<string, number>;
}

describeOnKafka(`npm run cluster, seed ${seed}`, () => {
  let cluster: RunningCluster;

  beforeAll(async () => {
    cluster = await RunningCluster.start();
    await cluster.made('POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
    for (const project of [...PROJECTS, 'P99']) {
      await cluster.made('POST', '/v1/tenants/acme/projects', { id: project, name: project });
      await cluster.made('PUT', `/v1/projects/${project}/members/ada`, { role: 'tenant_user' });
      await cluster.made('PUT', `/v1/projects/${project}/members/ada/services/container-compute`, {});
      const gpu = 'quotas/container-compute/gpu';
      await cluster.made('PUT', `/v1/projects/${project}/${gpu}`, { limit: 1_000_000 });
      await cluster.made('PUT', `/v1/projects/${project}/members/ada/${gpu}`, { limit: 1_000_000 });
    }
  }, 300_000);
  afterAll(async () => {
    await cluster.stop();
  }, 120_000);

  async function aPool(): Promise<{ pool: pg.Pool; connection: pg.ClientConfig }> {
    const running = await connectionOfRunning(cluster.dataDir);
    if (running === undefined) throw new Error('The embedded PostgreSQL does not run.');
    return { pool: new pg.Pool({ ...running.programConfig, max: 2 }), connection: running.programConfig };
  }

  /** What stands in the log of the projects under load. */
  async function stored(pool: pg.Pool): Promise<Stored> {
    const counted = async (type: string, id: string): Promise<Map<string, number>> => {
      const { rows } = await pool.query<{ id: string; events: number }>(
        `select ${id} as id, count(*)::int as events from ledger.events
         where envelope::jsonb ->> 'type' = $1 and envelope::jsonb ->> 'projectId' = any($2) group by 1`,
        [type, PROJECTS],
      );
      return new Map(rows.map((row) => [row.id, row.events]));
    };
    const keyId = `replace(stream, 'key-', 'key_')`;
    return {
      created: await counted('KeyCreated', keyId),
      extended: await counted('KeyExtended', keyId),
      reserved: await counted('QuotaReserved', `envelope::jsonb -> 'data' ->> 'reservationId'`),
    };
  }

  async function killOne(kind: string, load: CommandLoad): Promise<void> {
    const name = cluster.members.has(kind) ? kind : `${kind}-${1 + Math.floor(random() * 2)}`;
    const kill = (): Promise<number> => cluster.killAndAwait(name);
    const before = new Map(load.passing);
    const tookMs = await (kind === 'front' ? load.whileFrontIsAway(kill) : kill());
    const said = [...load.passing]
      .map(([code, n]) => [code, n - (before.get(code) ?? 0)] as const)
      .filter(([, n]) => n > 0)
      .map(([code, n]) => `${n} ${code}`);
    console.log(`kill -9 ${name}: whole again after ${Math.round(tookMs)} ms; repeated meanwhile: ${said.join(', ')}`);
  }

  it('verifies at one replica what another has just made, and refuses what another has just deleted', async () => {
    const [one = '', other = ''] = [cluster.member('keys-1').http, cluster.member('keys-2').http];
    const codeAt = async (secret: string): Promise<string> => {
      const { body } = await cluster.call('POST', '/v1/keys/verify', { body: { token: secret } }, { at: other });
      return String((body as { code?: string }).code);
    };
    const refusedMs: number[] = [];
    for (let n = 0; n < DELETIONS; n += 1) {
      const made = await cluster.call<Created>(
        'POST',
        '/v1/projects/P99/keys',
        { body: { owner: { type: 'user', id: 'ada' } } },
        { at: one },
      );
      expect(made.status).toBe(201);
      expect(await codeAt(made.body.secret)).toBe('VALID');
      const deleted = await cluster.call('DELETE', `/v1/keys/${made.body.key.id}`, {}, { at: one });
      expect(deleted.status).toBeLessThan(300);
      const acknowledgedMs = performance.now();
      while ((await codeAt(made.body.secret)) === 'VALID')
        if (performance.now() - acknowledgedMs > REFUSED_MS_MAX) throw new Error('A deleted key is still valid.');
      refusedMs.push(performance.now() - acknowledgedMs);
    }
    refusedMs.sort((a, b) => a - b);
    const [p50, p99] = [0.5, 0.99].map((share) => refusedMs[Math.floor(share * refusedMs.length)]?.toFixed(1));
    console.log(`P12, two replicas: ${DELETIONS} deletions refused by the other after p50 ${p50} ms, p99 ${p99} ms`);
  }, 300_000);

  it('goes on when any process is killed: each command is done once, and what is read is what was written', async () => {
    const load = new CommandLoad(cluster, random, PROJECTS, PER_SECOND);
    const beganMs = performance.now();
    load.begin();
    try {
      for (const kind of KINDS) {
        await sleep(BETWEEN_MS);
        await killOne(kind, load);
      }
      await sleep(BETWEEN_MS);
    } finally {
      await load.end();
    }
    const seconds = (performance.now() - beganMs) / 1_000;
    console.log(
      `seed ${seed}: ${load.sent} commands in ${seconds.toFixed(0)} s, ${load.done} done, ${load.repeated} repetitions ` +
        `(${JSON.stringify(Object.fromEntries(load.passing))}), ${KINDS.length} kills; ` +
        `until done p50 ${load.percentileMs(0.5)} ms, p99 ${load.percentileMs(0.99)} ms`,
    );
    expect(load.offences).toEqual([]);
    expect(load.done).toBe(load.sent);

    const { pool, connection } = await aPool();
    const store = new PostgresEventStore({ connection });
    try {
      const { created, extended, reserved } = await stored(pool);
      expect(created).toEqual(new Map([...load.extensions.keys()].map((id) => [id, 1])));
      expect(extended).toEqual(new Map([...load.extensions].filter(([, times]) => times > 0)));
      expect(reserved).toEqual(new Map(load.reservations.map((id) => [id, 1])));

      const isRelayed = async (): Promise<boolean> => {
        const { rows } = await pool.query<{ position: string }>('select position from projections.relays');
        return rows[0]?.position === (await store.head());
      };
      await cluster.until('everything is relayed', isRelayed, CATCH_UP_MS_MAX);
      const kafka = openKafka({ brokers: cluster.kafka.split(',') }, silent);
      const verdict = await judge(store, await consumeAll(kafka, eventTopics), PARTITIONS);
      console.log(`Kafka: ${JSON.stringify(verdict)}`);
      expect(verdict).toMatchObject({ lost: 0, outOfOrder: 0, differentBytes: 0, inWrongPartition: 0 });
    } finally {
      await store.close();
      await pool.end();
    }
    const isCaughtUp = async (): Promise<boolean> => {
      const path = `/v1/projects/P1/keys?limit=1&minPosition=${load.lastPosition}`;
      return (await cluster.call('GET', path)).status === 200;
    };
    await cluster.until('the read models have caught up', isCaughtUp, CATCH_UP_MS_MAX);
    const checked = await runCli(['check'], { STEWARD_DATA_DIR: cluster.dataDir });
    expect(checked.stdout).toMatch(/No fault was found\.\n$/);
    expect(checked.stdout.match(/: equal to a fold of the log/g)?.length).toBeGreaterThanOrEqual(4);
  }, 900_000);

  it('ends with all its processes on Ctrl-C, with exit code 0', async () => {
    expect(cluster.members.size).toBeGreaterThanOrEqual(13);
    expect(await cluster.interrupt()).toBe(0);
    expect(cluster.leftovers()).toEqual([]);
  }, 60_000);
});

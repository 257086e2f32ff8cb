import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { KEY_USAGE_TOPIC } from '#libs/contracts';
import { KafkaCluster, openKafka } from '#libs/kafka';
import {
  aDataDir,
  aKey,
  aProject,
  describeOnKafka,
  type ExternalPostgres,
  seededRandom,
  startExternalPostgres,
  StewardProcess,
} from '#libs/testing';
import pg from 'pg';

/**
 * Two keys services that publish what they count, and two projectors that fold it, of which one after the other is killed
 * while it folds. STEWARD_FAULT_SIZE=full verifies the 1,000,000 times of the release check through five kills.
 */
const full = process.env['STEWARD_FAULT_SIZE'] === 'full';
const VERIFICATIONS = full ? 1_000_000 : 20_000;
const KILLS = full ? 5 : 2;
const BATCH = 100;
const REQUESTS_AT_ONCE = 4;
const PROJECTORS = 2;
const TIME_MAX_MS = full ? 1_800_000 : 240_000;
const STEP_MS_MAX = 120_000;
const { seed, random } = seededRandom();
const below = (n: number): number => Math.floor(random() * n);
const planted = fileURLToPath(new URL('./usage-apart.mjs', import.meta.url));

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + STEP_MS_MAX;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`It did not come true that ${what}.`);
    await sleep(20);
  }
}

/** How often by name, as what is held against what. */
class Sums {
  readonly byName: Record<string, number> = {};
  total = 0;

  add(name: string, count: number): void {
    this.byName[name] = (this.byName[name] ?? 0) + count;
    this.total += count;
  }
}

describeOnKafka('the usage of keys through the loss of projectors', () => {
  let postgres: ExternalPostgres;
  let cluster: KafkaCluster;
  let database: pg.Pool;
  let dataDir: string;
  let env: Record<string, string>;
  let gateway: string;
  const tokens: string[] = [];
  const verifiers: StewardProcess[] = [];
  const projectors: StewardProcess[] = [];
  /** What the callers were answered, by key and code. */
  const answered = new Sums();

  beforeAll(async () => {
    dataDir = aDataDir();
    [cluster, postgres] = await Promise.all([KafkaCluster.start(1), startExternalPostgres()]);
    database = new pg.Pool({ connectionString: postgres.url, max: 2 });
    database.on('error', () => undefined);
    await found();
    const internalKey = join(dataDir, 'internal.key');
    writeFileSync(internalKey, randomBytes(32), { mode: 0o600 });
    env = {
      STEWARD_DATABASE_URL: postgres.url,
      STEWARD_INTERNAL_KEY_FILE: internalKey,
      STEWARD_KAFKA_BROKERS: cluster.brokers.join(),
      STEWARD_KAFKA_REPLICATION: '1',
    };
    const start = (service: 'keys' | 'projector') => StewardProcess.start({ service, dataDir, env });
    const started = ['keys', 'keys', ...Array<'projector'>(PROJECTORS).fill('projector')] as const;
    const processes = await Promise.all(started.map(start));
    verifiers.push(...processes.slice(0, 2));
    projectors.push(...processes.slice(2));
  }, TIME_MAX_MS);
  afterAll(async () => {
    await Promise.all([...verifiers, ...projectors].map((steward) => steward.stop()));
    await database.end();
    await Promise.all([cluster.stop(), postgres.stop()]);
    rmSync(dataDir, { recursive: true, force: true });
  });

  /** Keys of all kinds, made by the whole program before its parts run. */
  const found = async (): Promise<void> => {
    const steward = await StewardProcess.start({ dataDir, env: { STEWARD_DATABASE_URL: postgres.url } });
    await aProject(steward);
    await steward.call('PUT', '/v1/principals/gateway', { body: { type: 'service', role: 'service' } });
    const made = await steward.call<{ secret: string }>('POST', '/v1/principals/gateway/keys', { body: {} });
    gateway = made.body.secret;
    for (let n = 0; n < 30; n += 1) {
      const { key, secret } = await aKey(steward, { ttlDays: 30 });
      tokens.push(secret);
      if (n % 10 === 0) await steward.call('POST', `/v1/keys/${key.id}/disable`, { body: {} });
    }
    tokens.push('stw_live_nonsense', 'a-token-of-another-system');
    await steward.stop();
  };

  const verifyBatch = async (n: number): Promise<void> => {
    const requests = Array.from({ length: BATCH }, () => ({ token: tokens[below(tokens.length)] }));
    const verifier = verifiers[n % verifiers.length] as StewardProcess;
    const { status, body } = await verifier.call<{ results: { keyId?: string; code: string }[] }>(
      'POST',
      '/v1/keys/verify-batch',
      { token: gateway, body: { requests } },
    );
    if (status !== 200) throw new Error(`verify-batch answered ${status}: ${JSON.stringify(body)}`);
    for (const { keyId, code } of body.results) answered.add(`${keyId ?? ''} ${code}`, 1);
  };

  let sent = 0;
  const verifyUpTo = async (share: number): Promise<void> => {
    const last = Math.round((VERIFICATIONS / BATCH) * share);
    const verifySome = async (): Promise<void> => {
      while (sent < last) await verifyBatch(sent++);
    };
    await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, verifySome));
  };

  const sumsOf = async (sql: string): Promise<Sums> => {
    const { rows } = await database.query<{ name: string; sum: string }>(sql);
    const sums = new Sums();
    for (const { name, sum } of rows) sums.add(name, Number(sum));
    return sums;
  };
  const foldedBatches = async (): Promise<number> =>
    (await sumsOf(`select 'all' as name, coalesce(sum(sequence), 0) as sum from keys.usage_sources`)).total;

  /** Kills a projector just when one of them has folded something, and starts another in its place. */
  const killAProjector = async (n: number, before: number): Promise<void> => {
    await until('a projector folds', async () => (await foldedBatches()) > before);
    const at = n % PROJECTORS;
    projectors[at]?.signal('SIGKILL');
    await projectors[at]?.exited();
    projectors[at] = await StewardProcess.start({ service: 'projector', dataDir, env });
  };

  const metric = async (steward: StewardProcess, name: string): Promise<Sums> => {
    const text = await (await fetch(`${steward.url}/metrics`)).text();
    const sums = new Sums();
    for (const [, label = '', value] of text.matchAll(new RegExp(`^${name}(?:\\{code="(\\w+)"\\})? (\\d+)$`, 'gm')))
      sums.add(label, Number(value));
    return sums;
  };

  const kafka = () => openKafka({ brokers: cluster.brokers }, { debug: () => undefined, warn: () => undefined });
  /** By partition, where the topic ends. */
  const published = async (): Promise<Map<number, string>> => {
    const admin = kafka().admin();
    await admin.connect();
    try {
      const offsets = await admin.fetchTopicOffsets(KEY_USAGE_TOPIC);
      return new Map(offsets.filter(({ high }) => high !== '0').map(({ partition, high }) => [partition, high]));
    } finally {
      await admin.disconnect();
    }
  };
  const allFolded = async (): Promise<boolean> => {
    const { rows } = await database.query<{ partition: number; next_offset: string }>(
      'select partition, next_offset from keys.usage_offsets',
    );
    const stored = new Map(rows.map(({ partition, next_offset }) => [partition, next_offset]));
    return [...(await published())].every(([partition, high]) => stored.get(partition) === high);
  };

  it(
    `counts every verification once (SEED=${seed})`,
    async () => {
      const startedMs = performance.now();
      for (let n = 0; n < KILLS; n += 1) {
        const before = await foldedBatches();
        await Promise.all([verifyUpTo((n + 1) / (KILLS + 1)), killAProjector(n, before)]);
      }
      await verifyUpTo(1);
      await until('the verifiers have published all', async () => {
        const waiting = await Promise.all(verifiers.map((one) => metric(one, 'steward_key_usage_waiting_rows')));
        return waiting.every(({ total }) => total === 0);
      });
      await until('the projectors have folded all', allFolded);

      const counted = await Promise.all(verifiers.map((one) => metric(one, 'steward_verifications_total')));
      const own = new Sums();
      for (const { byName } of counted) for (const [code, count] of Object.entries(byName)) own.add(code, count);
      const ofKeys = await sumsOf(
        `select key_id || ' ' || code as name, sum(verifications) from keys.usage_hours where service = 'gateway' group by 1`,
      );
      const byMinute = await sumsOf(
        'select code as name, sum(verifications) from keys.verification_minutes group by 1',
      );
      const byHour = await sumsOf('select code as name, sum(verifications) from keys.verification_hours group by 1');
      const figures = {
        verifications: answered.total,
        folded: byMinute.total,
        batches: await foldedBatches(),
        messages: [...(await published()).values()].reduce((sum, high) => sum + Number(high), 0),
        kills: KILLS,
        seconds: Math.round((performance.now() - startedMs) / 1_000),
        seed,
      };
      process.stdout.write(`usage of keys: ${JSON.stringify(figures)}\n`);
      expect(answered.total).toBe(VERIFICATIONS);
      expect(own.total).toBe(VERIFICATIONS);
      expect(byMinute.byName).toEqual(own.byName);
      expect(byHour.byName).toEqual(own.byName);
      const aboutKeys = Object.entries(answered.byName).filter(([name]) => name.startsWith('key_'));
      expect(ofKeys.byName).toEqual(Object.fromEntries(aboutKeys));
      for (const verifier of verifiers)
        expect((await metric(verifier, 'steward_key_usage_dropped_total')).total).toBe(0);
    },
    TIME_MAX_MS,
  );

  it(
    'a consumer that keeps its offset apart from the sums is caught counting twice',
    async () => {
      await database.query('create table planted (topic_partition text, key_offset bigint, verifications bigint)');
      const run = async (handledMax: number): Promise<number | null> => {
        const settings = { brokers: cluster.brokers, database: postgres.url, handledMax };
        const child = spawn(process.execPath, [planted], {
          env: { PATH: process.env['PATH'], USAGE_SETTINGS: JSON.stringify(settings) },
          stdio: ['ignore', 'ignore', 'inherit'],
        });
        const isDone = async (): Promise<boolean> => {
          const seen = new Map(
            (
              await database.query<{ topic_partition: string; last: string }>(
                'select topic_partition, max(key_offset) + 1 as last from planted group by 1',
              )
            ).rows.map(({ topic_partition, last }) => [Number(topic_partition), last]),
          );
          return [...(await published())].every(([partition, high]) => seen.get(partition) === high);
        };
        const exited = once(child, 'exit') as Promise<[number | null]>;
        if (handledMax === Number.MAX_SAFE_INTEGER) {
          await until('the planted consumer has read all', isDone);
          child.kill('SIGKILL');
        }
        return (await exited)[0];
      };
      await run(3);
      await run(Number.MAX_SAFE_INTEGER);
      const { total } = await sumsOf(`select 'all' as name, sum(verifications) from planted`);
      process.stdout.write(`offsets apart from the sums: ${total} of ${VERIFICATIONS}\n`);
      expect(total).toBeGreaterThan(VERIFICATIONS);
    },
    TIME_MAX_MS,
  );
});

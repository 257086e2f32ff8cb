import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import pg from 'pg';
import { eventTypes } from '#libs/contracts';
import { type Actor, Codec, type CommandContext, FixedClock, MemoryDataKeys, Refusal } from '#libs/eventsourcing';
import { PostgresEventStore } from '#libs/postgres';
import { seededRandom } from '#libs/testing';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../../../libs/postgres/src/testing/embedded-ledger.js';
import { defaultCatalogue } from '../domain/catalogue.js';
import type { QuotaCommand } from '../domain/commands.js';
import { snapshotOf } from '../domain/snapshot.js';
import {
  allocate,
  commit,
  cpu,
  extend,
  free,
  gpu,
  id,
  limit,
  of,
  ofProject,
  release,
  reserve,
  T0,
} from '../testing/given-quota.js';
import { ProjectWriter } from './project-writer.js';
import { QuotaSnapshots } from './quota-snapshots.js';
import { WRITER_LIMITS } from './writer-limits.js';

const { random, seed } = seededRandom();
const installationKey = randomBytes(32);
const SECRET = 'a comment that nobody may read';
const actor: Actor = { type: 'user', id: 'ada', via: 'internal' };

let server: EmbeddedLedger;
let pool: pg.Pool;
let store: PostgresEventStore;
let reads = 0;
let projects = 0;

beforeAll(async () => {
  server = await startEmbeddedLedger();
  pool = new pg.Pool(server.program);
  store = new PostgresEventStore({ connection: server.program });
  const readStream = store.readStream.bind(store);
  store.readStream = async (...args) => {
    const events = await readStream(...args);
    reads += events.length;
    return events;
  };
});
afterAll(async () => {
  await store.close();
  await pool.end();
  await server.stop();
});

function world() {
  const projectId = `P${(projects += 1)}`;
  const clock = new FixedClock(Date.parse(T0));
  const warnings: unknown[] = [];
  const snapshots = new QuotaSnapshots(pool, installationKey, { warn: (said: object) => warnings.push(said) });
  const keys = new MemoryDataKeys();
  const codec = new Codec(eventTypes, keys);
  const aWriter = (shelf: QuotaSnapshots | null = snapshots): ProjectWriter =>
    new ProjectWriter({
      ledger: { store, codec, clock, onAppended: () => Promise.resolve() },
      scope: { tenantId: 'acme', projectId },
      catalogue: () => defaultCatalogue,
      limits: { ...WRITER_LIMITS, snapshotEvents: 20 },
      ...(shelf === null ? {} : { snapshots: shelf }),
    });
  return { stream: `projectQuota-${projectId}`, clock, warnings, shelf: snapshots, aWriter };
}

const context = (): CommandContext => {
  const commandId = randomUUID();
  const actorPart = { ip: '192.0.2.1', userAgent: 'none', comment: SECRET };
  return { commandId, correlationId: commandId, causationId: null, requestHash: null, actor, actorPart };
};

function aCommand(): QuotaCommand {
  const n = Math.floor(random() * 60);
  const user = `user-${n % 5}`;
  const kinds: (() => QuotaCommand)[] = [
    () => reserve(n, user, [gpu(1 + (n % 3)), cpu(2)], { ttlSeconds: 60 + n, labels: { job: `job ${n}` } }),
    () => reserve(n, user, [gpu(1)], { resourceRef: `vm-${n}` }),
    () => commit(n),
    () => release(n),
    () => extend(n, 120),
    () => allocate(n, user, [cpu(1)]),
    () => free(n),
    () => limit(of(user), 5 + n, { force: true }),
  ];
  return (kinds[Math.floor(random() * kinds.length)] as () => QuotaCommand)();
}

async function told(writer: ProjectWriter, command: QuotaCommand): Promise<unknown> {
  try {
    return (await writer.run(command, context())).answer;
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
}

async function keptRevision(stream: string): Promise<number | undefined> {
  const { rows } = await pool.query<{ revision: string }>(
    'select revision from projections.quota_snapshots where stream = $1',
    [stream],
  );
  return rows[0] && Number(rows[0].revision);
}

/** Some history; answers the revision of the snapshot that was kept on the way. */
async function history(given: ReturnType<typeof world>): Promise<number> {
  const writer = given.aWriter();
  await told(writer, limit(ofProject, 40));
  for (let n = 0; n < 120; n += 1) {
    if (random() < 0.2) given.clock.advance(Math.floor(random() * 40_000));
    await told(writer, aCommand());
  }
  const deadline = performance.now() + 10_000;
  while ((await keptRevision(given.stream)) === undefined && performance.now() < deadline);
  await writer.close();
  const kept = await keptRevision(given.stream);
  if (kept === undefined) throw new Error('No snapshot was kept.');
  return kept;
}

const probes: QuotaCommand[] = [1, 7, 23].map((n) =>
  reserve(1_000 + n, `user-${n % 5}`, [gpu(n), cpu(n)], { mode: 'CHECK_ONLY' }),
);

/** All that a ledger knows and answers, in an order that does not depend on how it was loaded; and how many events were read for it. */
async function loaded(writer: ProjectWriter): Promise<{ picture: string; read: number }> {
  reads = 0;
  const picture = await writer.look((state) =>
    JSON.stringify([
      ...Object.entries(snapshotOf(state)).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.map((one) => JSON.stringify(one)).sort() : (value as unknown),
      ]),
      state.project.counters
        .map((counter) => counter && [counter.resource.resource, counter.used, counter.reserved])
        .sort(),
      state.nextExpiry(),
    ]),
  );
  const read = reads;
  const answers: unknown[] = [];
  for (const probe of probes) answers.push(await told(writer, probe));
  await writer.close();
  const said = createHash('sha256').update(picture).update(JSON.stringify(answers));
  return { picture: said.digest('hex'), read };
}

const change = (stream: string, sql: string): Promise<unknown> =>
  pool.query(`update projections.quota_snapshots set ${sql} where stream = $1`, [stream]);

describe(`a snapshot of a project’s ledger (seed ${seed})`, () => {
  it('changes what a load costs, never what it gives', async () => {
    const given = world();
    const kept = await history(given);
    const fromEvents = await loaded(given.aWriter(null));
    expect(fromEvents.read).toBeGreaterThan(kept);
    const fromSnapshot = await loaded(given.aWriter());
    expect(fromSnapshot.picture).toBe(fromEvents.picture);
    expect(fromSnapshot.read).toBe(fromEvents.read - kept + 1);
    expect(given.warnings).toEqual([]);
  });

  it.each([
    ['is of an older reducer', 'version = version - 1', 0],
    ['says it is of this reducer and is not', 'mac = sha256(mac)', 1],
    ['has one bit turned', 'content = set_bit(content, 77, 1 - get_bit(content, 77))', 1],
    ['is of another revision', 'revision = revision + 1', 1],
    ['is cut off', 'content = substring(content for length(content) - 9)', 1],
  ])('that %s is passed over', async (_what, sql, warnings) => {
    const given = world();
    await history(given);
    const fromEvents = await loaded(given.aWriter(null));
    await change(given.stream, sql);
    expect(await loaded(given.aWriter())).toEqual(fromEvents);
    expect(given.warnings).toHaveLength(warnings);
  });

  it('of a history that was since replaced is passed over', async () => {
    const given = world();
    await history(given);
    const fromEvents = await loaded(given.aWriter(null));
    const other = given.aWriter(null);
    const state = await other.look((seen) => seen);
    await given.shelf.keep(given.stream, { state, chainHash: randomBytes(32) }, new AbortController().signal);
    await other.close();
    expect((await loaded(given.aWriter())).picture).toBe(fromEvents.picture);
  });

  it('holds nothing of the private parts', async () => {
    const given = world();
    await history(given);
    const { rows } = await pool.query<{ content: Buffer }>(
      'select content from projections.quota_snapshots where stream = $1',
      [given.stream],
    );
    const text = gunzipSync(rows[0]?.content ?? Buffer.alloc(0)).toString();
    expect(text).toContain('user-1');
    for (const secret of [SECRET, '192.0.2.1']) expect(text).not.toContain(secret);
  });

  it('that cannot be read or written keeps nobody from anything', async () => {
    const given = world();
    const broken = { query: () => Promise.reject(new Error('out of reach')) } as unknown as pg.Pool;
    const shelf = new QuotaSnapshots(broken, installationKey, { warn: () => undefined });
    const writer = given.aWriter(shelf);
    for (let n = 0; n < 30; n += 1)
      expect(await told(writer, allocate(n, 'ada', [cpu(1)]))).toMatchObject({ id: id(n) });
    await writer.close();
  });
});

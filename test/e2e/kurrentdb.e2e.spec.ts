import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import {
  aDataDir,
  aKey,
  type Answer,
  aProject,
  createScratchLedger,
  type ExternalPostgres,
  type ScratchLedger,
  startExternalPostgres,
  StewardProcess,
  verify,
} from '#libs/testing';
import pg from 'pg';
import { FakeEventStore } from '../../libs/kurrentdb/src/testing/fake-event-store.js';
import { runCli } from './run-cli.js';

const urlOf = ({ user, password, host, port, database }: pg.ClientConfig): string =>
  `postgres://${user ?? ''}:${typeof password === 'string' ? password : ''}@${host ?? ''}:${port ?? ''}/${database ?? ''}`;

/** Repeats what is answered 503, as a client does; at most 20 s. */
async function untilTaken(call: () => Promise<Answer>): Promise<Answer> {
  const deadline = performance.now() + 20_000;
  let answer = await call();
  while (answer.status === 503 && performance.now() < deadline) answer = await call();
  return answer;
}

describe('Steward on KurrentDB (a fake server) and PostgreSQL', () => {
  let postgres: ExternalPostgres;
  let scratch: ScratchLedger;
  let fake: FakeEventStore;
  let env: Record<string, string>;
  let steward: StewardProcess;
  let dataDir: string;
  let kept: { keyId: string; secret: string };

  beforeAll(async () => {
    postgres = await startExternalPostgres();
    scratch = await createScratchLedger(postgres.url);
    fake = await FakeEventStore.start();
    fake.writeSystemEvent();
    env = {
      STEWARD_EVENTSTORE_URL: fake.url(),
      STEWARD_DATABASE_URL: urlOf(scratch.program),
      STEWARD_MIGRATION_DATABASE_URL: urlOf(scratch.owner),
    };
    // Of its own, so that it outlives a restart.
    dataDir = aDataDir();
    steward = await StewardProcess.start({ env, dataDir });
  });
  afterAll(async () => {
    await steward.stop();
    rmSync(dataDir, { recursive: true, force: true });
    await fake.stop();
    await scratch.drop();
    await postgres.stop();
  });

  it('starts on an empty log, keeps every event there and none in PostgreSQL', async () => {
    await aProject(steward);
    const { key, secret } = await aKey(steward, { name: 'night batch', ttlDays: 30 });
    kept = { keyId: key.id, secret };
    expect(await verify(steward, secret)).toMatchObject({ valid: true, code: 'VALID', keyId: key.id });
    const ready = await steward.call<{ tier: string; ready: boolean }>('GET', '/readyz');
    expect(ready.body).toMatchObject({ ready: true, tier: 'distributed' });
    const types = fake.log.records.map(({ type }) => type);
    expect(types).toEqual(expect.arrayContaining(['TenantCreated', 'ProjectCreated', 'KeyCreated']));
    const client = new pg.Client(scratch.program);
    await client.connect();
    try {
      expect((await client.query('select 1 from ledger.events')).rowCount).toBe(0);
      expect((await client.query('select 1 from ledger.data_keys')).rowCount).toBeGreaterThan(0);
    } finally {
      await client.end();
    }
  });

  it('answers a refusal and a read at a position though the last record is one of the server itself', async () => {
    fake.writeSystemEvent();
    const unknown = await untilTaken(() => steward.call('GET', '/v1/keys/key_0000000000000000'));
    expect(unknown.status).toBe(404);
    const extended = await steward.call('POST', `/v1/keys/${kept.keyId}/extend`, { body: { days: 1 } });
    const position = extended.headers.get('steward-position') ?? '';
    expect(position).toMatch(/^\d{20}-\d{20}$/);
    fake.writeSystemEvent();
    const read = await steward.call('GET', `/v1/keys/${kept.keyId}?minPosition=${position}`);
    expect(read.status).toBe(200);
  });

  it('answers 503 while the event store is down, and a repeated command is done once', async () => {
    const stream = (): string[] => fake.log.stream(`key-${kept.keyId.slice('key_'.length)}`).map(({ type }) => type);
    const before = stream();
    const headers = { 'idempotency-key': randomUUID() };
    const extend = (): Promise<Answer> =>
      steward.call('POST', `/v1/keys/${kept.keyId}/extend`, { body: { days: 1 }, headers });
    await fake.kill();
    const down = await extend();
    expect(down.status).toBe(503);
    expect(down.headers.get('retry-after')).not.toBeNull();
    await fake.restart();
    expect((await untilTaken(extend)).status).toBe(200);
    expect((await untilTaken(extend)).status).toBe(200);
    expect(stream()).toEqual([...before, 'KeyExtended']);
  });

  it('has everything after a restart, and the command line proves the whole ledger', async () => {
    steward.signal('SIGTERM');
    expect(await steward.exited()).toBe(0);
    steward = await StewardProcess.start({ env, dataDir });
    expect(await verify(steward, kept.secret)).toMatchObject({ code: 'VALID', keyId: kept.keyId });
    const { code, stdout } = await runCli(['check'], { ...env, STEWARD_DATA_DIR: dataDir });
    expect(stdout).toContain('No fault was found.');
    expect(stdout).toMatch(
      new RegExp(`Ledger: ${fake.log.records.filter(({ type }) => !type.startsWith('$')).length} events`),
    );
    expect(code).toBe(0);
  });

  it('refuses an event store without a database by name, and says nothing of its password', async () => {
    const url = 'esdb://admin:hunter2@127.0.0.1:2113?tls=maybe';
    const refused = StewardProcess.spawn({ env: { STEWARD_EVENTSTORE_URL: url }, dataDir });
    expect(await refused.exited()).toBe(1);
    const output = refused.output.join('');
    expect(output).toMatch(/^ConfigError: STEWARD_EVENTSTORE_URL: .*tls as true or false/m);
    expect(output).not.toContain('hunter2');
    const alone = StewardProcess.spawn({ env: { STEWARD_EVENTSTORE_URL: 'esdb://127.0.0.1:2113' }, dataDir });
    expect(await alone.exited()).toBe(1);
    expect(alone.output.join('')).toContain('STEWARD_EVENTSTORE_URL needs STEWARD_DATABASE_URL');
  });
});

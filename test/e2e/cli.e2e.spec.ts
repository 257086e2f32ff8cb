import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { connectionOfRunning } from '#libs/postgres';
import { aKey, aProject, StewardProcess, verify } from '#libs/testing';
import { type Ran, runCli } from './run-cli.js';

const TOKEN = /stw_live_[0-9A-Za-z]{16}_[0-9A-Za-z]{38}/;
const run = (dataDir: string, ...args: string[]): Promise<Ran> => runCli(args, { STEWARD_DATA_DIR: dataDir });

describe('the command line beside a running Steward', () => {
  let steward: StewardProcess;
  let token: string;
  let dataDir: string;
  const cli = (...args: string[]): Promise<Ran> => run(dataDir, ...args);

  async function asOwner(text: string): Promise<void> {
    const running = await connectionOfRunning(dataDir);
    const client = new pg.Client(running?.ownerConfig);
    await client.connect();
    try {
      await client.query(text);
    } finally {
      await client.end();
    }
  }

  beforeAll(async () => {
    // Of its own, so that it outlives a stop.
    dataDir = mkdtempSync(join(tmpdir(), 'steward-cli-'));
    steward = await StewardProcess.start({ dataDir });
    await aProject(steward);
    token = (await aKey(steward, { name: 'night batch', ttlDays: 30 })).secret;
  });

  afterAll(async () => {
    await steward.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('checks the store and finds nothing, in words and as JSON', async () => {
    const { code, stdout, stderr } = await cli('check');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/No fault was found\.\n$/);
    const json = JSON.parse((await cli('check', '--json')).stdout) as { ok: boolean; readModels: { state: string }[] };
    expect(json.ok).toBe(true);
    expect(json.readModels.map(({ state }) => state)).toEqual(['equal', 'equal', 'equal', 'equal']);
  });

  it('rebuilds every read model while the program serves from them', async () => {
    const { code, stdout } = await cli('rebuild', '--all');
    expect(code).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(4);
    const projections = JSON.parse((await cli('projections', '--json')).stdout) as {
      projections: { generation: number }[];
    };
    expect(projections.projections.map(({ generation }) => generation)).toEqual([2, 2, 2, 2]);
    const list = await steward.call<{ data: unknown[] }>('GET', '/v1/projects/GOV112345/keys');
    expect(list.body.data).toHaveLength(1);
    expect(await verify(steward, token)).toMatchObject({ code: 'VALID' });
  });

  it('makes a new administrator key, shows it once, keeps it in a file of mode 0600 and says so in the ledger', async () => {
    const before = steward.adminToken;
    const { code, stdout, stderr } = await cli('admin', 'recover');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const recovered = TOKEN.exec(stdout)?.[0] ?? '';
    expect(recovered).not.toBe(before);
    const file = join(dataDir, 'bootstrap-admin.key');
    expect(readFileSync(file, 'utf8').trim()).toBe(recovered);
    expect(statSync(file).mode & 0o777).toBe(0o600);

    const created = await steward.call('POST', '/v1/tenants', { token: recovered, body: { id: 'beta', name: 'Beta' } });
    expect(created.status).toBe(201);
    const running = await connectionOfRunning(dataDir);
    const client = new pg.Client(running?.programConfig);
    await client.connect();
    const { rows } = await client.query<{ envelope: string }>(
      `select envelope from ledger.events where envelope like '%"id":"recovery"%'`,
    );
    await client.end();
    expect(rows.map(({ envelope }) => (JSON.parse(envelope) as { type: string }).type)).toEqual(['KeyCreated']);
    expect(rows[0]?.envelope).not.toContain(recovered);
  });

  it('retires no version of a key file that is current, unknown or in use', async () => {
    for (const [kind, version, why] of [
      ['kek', '1', 'Version 1 of the kek is the current one'],
      ['pepper', '1', 'Version 1 of the pepper is the current one'],
      ['pepper', '7', 'There is no version 7 of the pepper'],
    ] as const) {
      const { code, stderr } = await cli('admin', 'retire-version', kind, version);
      expect(code).toBe(1);
      expect(stderr).toContain(why);
    }
    expect((await cli('admin', 'rewrap')).stdout).toBe('0 data keys were wrapped anew.\n');
  });

  it('names what somebody changed in the ledger, with exit code 1', async () => {
    const change = (from: string, to: string): Promise<void> =>
      asOwner(
        `alter table ledger.events disable trigger user;
         update ledger.events set envelope = replace(envelope, '${from}', '${to}') where stream = 'tenant-acme';
         alter table ledger.events enable trigger user`,
      );
    await change('Acme', 'Acne');
    const { code, stdout } = await cli('check', '--no-read-models');
    await change('Acne', 'Acme');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^FAULT leaf-hash tenant-acme\/1 at position \d{20}: /);
    expect(stdout).toMatch(/1 fault was found\.\n$/);
    expect((await cli('check')).code).toBe(0);
  });

  it('lists, retries and skips what a read model could not apply', async () => {
    expect((await cli('quarantine', 'list')).stdout).toBe('Nothing is parked.\n');
    // A row that is gone makes the next change of it a poison event.
    await asOwner(`delete from tenancy.tenants where tenant_id = 'beta'`);
    expect((await steward.call('POST', '/v1/tenants/beta/suspend', { body: {} })).status).toBe(200);
    const deadline = performance.now() + 10_000;
    let list = await cli('quarantine', 'list');
    while (!list.stdout.includes('tenant-beta/2') && performance.now() < deadline)
      list = await cli('quarantine', 'list');
    expect(list.stdout).toContain('TenantSuspended');
    expect((await cli('check')).stdout).toContain('FAULT parked');

    const failed = await cli('quarantine', 'retry', 'tenancy', 'tenant-beta');
    expect(failed.code).toBe(1);
    expect(failed.stdout).toContain('1 stay parked under tenant-beta');
    const skipped = await cli('quarantine', 'skip', 'tenancy', 'tenant-beta', '--reason', 'planted by a test');
    expect(skipped).toMatchObject({ code: 0 });
    expect((await cli('quarantine', 'list')).stdout).toBe('Nothing is parked.\n');
  });

  it('opens the store by itself where no Steward runs', async () => {
    expect(await steward.stop()).toBe(0);
    expect((await cli('check', '--no-read-models')).code).toBe(0);
    const { code, stdout } = await cli('admin', 'recover');
    expect(code).toBe(0);
    const recovered = TOKEN.exec(stdout)?.[0] ?? '';
    steward = await StewardProcess.start({ dataDir });
    expect((await steward.call('GET', '/v1/tenants', { token: recovered })).status).toBe(200);
  });
});

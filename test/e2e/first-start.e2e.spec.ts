import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { aKey, aProject, StewardProcess, verify } from '#libs/testing';

describe('a first start in an empty folder', () => {
  let steward: StewardProcess;
  beforeAll(async () => {
    steward = await StewardProcess.start();
  });
  afterAll(async () => {
    await steward.stop();
    rmSync(steward.dataDir, { recursive: true, force: true });
  });

  it('prints the bootstrap key once, outside the log, and keeps it in a file of mode 0600', () => {
    const output = steward.output.join('');
    expect(output.split(steward.adminToken)).toHaveLength(2);
    const logged = output.split('\n').filter((line) => line.startsWith('{'));
    expect(logged.filter((line) => line.includes(steward.adminToken))).toEqual([]);
    expect(statSync(join(steward.dataDir, 'bootstrap-admin.key')).mode & 0o777).toBe(0o600);
  });

  it('creates a tenant, a project, a member and a key whose token verifies, and moves its expiry by exactly 30 days', async () => {
    await aProject(steward);
    const { key, secret } = await aKey(steward, { name: 'night batch', ttlDays: 30 });
    expect(await verify(steward, secret)).toMatchObject({ valid: true, code: 'VALID', keyId: key.id });
    const extended = await steward.call<{ expiresAt: string }>('POST', `/v1/keys/${key.id}/extend`, {
      body: { days: 30 },
    });
    expect(extended.status).toBe(200);
    expect(Date.parse(extended.body.expiresAt) - Date.parse(key.expiresAt ?? '')).toBe(30 * 86_400_000);
  });

  it('refuses a second process on the same data directory by name', async () => {
    const second = StewardProcess.spawn({ dataDir: steward.dataDir });
    expect(await second.exited()).not.toBe(0);
    expect(second.output.join('')).toMatch(/DataDirectoryInUse/);
    expect((await steward.call('GET', '/readyz')).status).toBe(200);
  });

  it('names the port that another program holds, and no connection of its own in the log', async () => {
    const second = StewardProcess.spawn({ env: { STEWARD_PORT: new URL(steward.url).port } });
    expect(await second.exited()).toBe(1);
    const output = second.output.join('');
    expect(output).toMatch(/^PortInUse: .*STEWARD_PORT/m);
    expect(output).not.toMatch(/_events|"warn"/);
    rmSync(second.dataDir, { recursive: true, force: true });
  });

  it('ends with exit code 0 on Ctrl-C and has everything after a restart', async () => {
    const { key, secret } = await aKey(steward, { name: 'stays' });
    const { dataDir } = steward;
    steward.signal('SIGINT');
    steward.signal('SIGINT');
    expect(await steward.exited()).toBe(0);

    const again = await StewardProcess.start({ dataDir });
    try {
      expect(again.output.join('')).not.toContain(again.adminToken);
      expect(await verify(again, secret)).toMatchObject({ code: 'VALID', keyId: key.id });
      expect((await again.call('GET', `/v1/keys/${key.id}`)).body).toMatchObject({ id: key.id, name: 'stays' });
    } finally {
      expect(await again.stop()).toBe(0);
    }
    steward = await StewardProcess.start({ dataDir });
  });
});

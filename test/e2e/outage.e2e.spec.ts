import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { aDataDir, aKey, aProject, StewardProcess, verify } from '#libs/testing';
import { startExternalPostgres } from '../../libs/testing/src/external-postgres.js';
import { TcpProxy } from '../../libs/testing/src/tcp-proxy.js';

const OUTAGE_MS = 60_000;
const STALENESS_MAX_MS = 30_000;

const project = '/v1/projects/GOV112345';
/** What stands in read models or in the ledger, and so cannot be answered without the database. */
const readsOf = (keyId: string): string[] => [
  '/v1/keys',
  `${project}/keys`,
  `/v1/keys/${keyId}`,
  `/v1/keys/${keyId}/history`,
  '/v1/tenants',
  '/v1/tenants/acme',
  '/v1/projects',
  project,
  `${project}/members`,
  `${project}/members/alice`,
  '/v1/principals',
  `${project}/quotas`,
  `${project}/quota-policy`,
  `${project}/usage-history`,
  `${project}/reservations`,
  `${project}/quota-changes`,
  `${project}/allocations`,
  '/v1/audit/events',
];

async function statusesOf(steward: StewardProcess, paths: readonly string[]): Promise<Record<string, unknown>> {
  const statuses: Record<string, unknown> = {};
  for (const path of paths) {
    const { status, headers, body } = await steward.call('GET', path);
    const refused = `${String(body['code'])}, again after ${headers.get('retry-after') ?? 'no time'}`;
    statuses[path] = status === 200 ? 200 : refused;
  }
  return statuses;
}

const allAre = (paths: readonly string[], status: unknown): Record<string, unknown> =>
  Object.fromEntries(paths.map((path) => [path, status]));

describe('the database gone for a minute', () => {
  it('refuses mutations and reads with 503 at once, verifies from memory up to the bound, then answers STALE, and recovers by itself', async () => {
    const postgres = await startExternalPostgres();
    const dataDir = aDataDir();
    const direct = new URL(postgres.url);
    const proxy = await TcpProxy.start({ host: direct.hostname, port: Number(direct.port) });
    const throughProxy = new URL(postgres.url);
    throughProxy.host = `127.0.0.1:${proxy.port}`;
    const steward = await StewardProcess.start({ dataDir, env: { STEWARD_DATABASE_URL: throughProxy.href } });
    try {
      await aProject(steward);
      const { key, secret } = await aKey(steward, { ttlDays: 30 });
      expect((await verify(steward, secret)).code).toBe('VALID');
      const reads = readsOf(key.id);
      expect(await statusesOf(steward, reads)).toEqual(allAre(reads, 200));

      proxy.set('refuse');
      proxy.cut();
      expect(await statusesOf(steward, reads)).toEqual(allAre(reads, 'STORE_UNAVAILABLE, again after 1'));
      const goneSinceMs = performance.now();
      const answers: { afterMs: number; code: string }[] = [];
      let slowestMutationMs = 0;
      for (let n = 0; performance.now() - goneSinceMs < OUTAGE_MS; n += 1) {
        const sentMs = performance.now();
        const mutation = await steward.call('POST', `/v1/keys/${key.id}/extend`, {
          body: { days: 1 },
          headers: { 'idempotency-key': `during-the-outage-${n}` },
        });
        slowestMutationMs = Math.max(slowestMutationMs, performance.now() - sentMs);
        const read = await steward.call('GET', reads[n % reads.length] ?? '');
        expect([read.status, read.headers.get('retry-after')]).toEqual([503, '1']);
        expect(mutation.status).toBe(503);
        expect(Number(mutation.headers.get('retry-after'))).toBeGreaterThan(0);
        const sinceMs = performance.now() - goneSinceMs;
        answers.push({ afterMs: sinceMs, code: (await verify(steward, secret)).code });
        await sleep(500);
      }
      console.log(`the slowest mutation took ${Math.round(slowestMutationMs)} ms`);
      expect(slowestMutationMs).toBeLessThan(3_000);
      const within = answers.filter(({ afterMs }) => afterMs < STALENESS_MAX_MS - 3_000);
      const beyond = answers.filter(({ afterMs }) => afterMs > STALENESS_MAX_MS + 3_000);
      expect(within.length).toBeGreaterThan(10);
      expect(new Set(within.map(({ code }) => code))).toEqual(new Set(['VALID']));
      expect(new Set(beyond.map(({ code }) => code))).toEqual(new Set(['STALE']));

      proxy.set('pass');
      const deadline = performance.now() + 15_000;
      let extended = 0;
      while (extended !== 200 && performance.now() < deadline) {
        await sleep(100);
        extended = (await steward.call('POST', `/v1/keys/${key.id}/extend`, { body: { days: 1 } })).status;
      }
      expect(extended).toBe(200);
      expect((await verify(steward, secret)).code).toBe('VALID');
      // The read models try again at intervals that grew during the outage.
      let recovered = await statusesOf(steward, reads);
      while (Object.values(recovered).some((status) => status !== 200) && performance.now() < deadline)
        recovered = await statusesOf(steward, reads);
      expect(recovered).toEqual(allAre(reads, 200));
      const history = await steward.call<{ data: { type: string }[] }>('GET', `/v1/keys/${key.id}/history`);
      expect(history.body.data.map(({ type }) => type)).toEqual(['KeyCreated', 'KeyExtended']);
    } finally {
      await steward.stop();
      await proxy.close();
      await postgres.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  }, 180_000);
});

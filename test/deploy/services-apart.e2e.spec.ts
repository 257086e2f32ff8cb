import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import {
  describeOnReal,
  aDataDir,
  createScratchLedger,
  type ExternalPostgres,
  freePorts,
  type ScratchLedger,
  type ServiceName,
  startExternalPostgres,
  StewardProcess,
} from '#libs/testing';
import type pg from 'pg';
import { v7 as uuidV7 } from 'uuid';
import { runCli } from '../e2e/run-cli.js';
import { composition, environmentOf, makeSecrets, nodesOf, programOf, serviceOf } from './compose-files.js';
import { imageEnvironment } from './dockerfile.js';
import { RunningFront, whyNoNginx } from './running-front.js';

const composed = composition('server.yaml', 'services-apart.yaml');
const programs = nodesOf(composed, 'steward').filter(([name]) => name !== 'bootstrap');
/** The container of each, as an address of this machine. */
const addressOf = new Map(programs.map(([name], n) => [name, `127.0.8.${n + 1}`]));
const replicasOf = (service: string): string[] =>
  programs.filter(([, one]) => programOf(one) === service).map(([name]) => addressOf.get(name) ?? '');
const urlOf = ({ user, password, host, port, database }: pg.ClientConfig): string =>
  `postgres://${user ?? ''}:${typeof password === 'string' ? password : ''}@${host ?? ''}:${port ?? ''}/${database ?? ''}`;

const FOLLOWED_MS_MAX = 10_000;
/** So often in turn that each replica was asked. */
const REFUSED_IN_A_ROW = 12;

describeOnReal(
  'nginx',
  whyNoNginx(),
  'Services apart, started with what the compose file tells them, behind the front',
  () => {
    let postgres: ExternalPostgres;
    let scratch: ScratchLedger;
    let secretsFolder: string;
    let dataDir: string;
    let front: RunningFront;
    let adminToken: string;
    let project: string;
    const running: StewardProcess[] = [];
    let port: number;
    let grpcPort: number;

    /** What the container would be told, its names, ports and folders turned into this machine's. */
    const environmentFor = (name: string): Record<string, string> => {
      const told = { ...imageEnvironment(), ...environmentOf(serviceOf(composed, name)) };
      const here = Object.entries(told).map(([variable, value]): [string, string] => [
        variable,
        value
          .replace('/run/secrets', secretsFolder)
          .replace('/var/lib', dataDir)
          .replaceAll(/([a-z]+-\d):50051/g, (_, other: string) => `${addressOf.get(other) ?? ''}:${grpcPort}`)
          .replace(/^172\.30\.79\.2,/, '127.0.0.1,'),
      ]);
      return {
        ...Object.fromEntries(here),
        STEWARD_HOST: addressOf.get(name) ?? '',
        STEWARD_PORT: String(port),
        STEWARD_GRPC_PORT: String(grpcPort),
      };
    };
    const call = async (method: string, path: string, body?: unknown, token = adminToken) => {
      const answer = await fetch(front.url + path, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    const made = async (method: string, path: string, body?: unknown) => {
      const answer = await call(method, path, body);
      expect([`${method} ${path}`, Math.trunc(answer.status / 100), answer.body['detail']]).toEqual([
        `${method} ${path}`,
        2,
        undefined,
      ]);
      return answer.body;
    };

    beforeAll(async () => {
      postgres = await startExternalPostgres();
      scratch = await createScratchLedger(postgres.url);
      secretsFolder = makeSecrets();
      for (const role of ['program', 'owner'] as const) {
        const file = join(secretsFolder, `database-url-${role}`);
        chmodSync(file, 0o600);
        writeFileSync(file, urlOf(scratch[role]));
      }
      dataDir = aDataDir();
      for (const folder of ['steward', 'steward-keys', 'steward-pepper']) mkdirSync(join(dataDir, folder));
      [port = 0, grpcPort = 0] = await freePorts(2);
      const founded = await runCli(
        serviceOf(composed, 'bootstrap').command?.slice(1) ?? [],
        environmentFor('bootstrap'),
      );
      expect([founded.code, founded.stderr]).toEqual([0, '']);
      adminToken = readFileSync(join(dataDir, 'steward/bootstrap-admin.key'), 'utf8').trim();
      // One after the other, so that each has the machine to itself while it starts.
      for (const [name, service] of programs) {
        const env = environmentFor(name);
        running.push(await StewardProcess.start({ service: programOf(service) as ServiceName, dataDir, env }));
      }
      front = await RunningFront.start({ addressesOf: replicasOf, port, grpcPort });
      project = `P${Date.now() % 1_000_000}`;
    });
    afterAll(async () => {
      await front.stop();
      await Promise.all(running.map((one) => one.stop()));
      await scratch.drop();
      await postgres.stop();
      for (const folder of [dataDir, secretsFolder]) rmSync(folder, { recursive: true, force: true });
    });

    it('serve together what one process serves: tenancy, quotas, keys and the history', async () => {
      await made('POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
      await made('POST', '/v1/tenants/acme/projects', { id: project, name: 'Weather' });
      await made('PUT', `/v1/projects/${project}/members/ada`, { role: 'tenant_user' });
      await made('PUT', `/v1/projects/${project}/members/ada/services/container-compute`);
      await made('PUT', `/v1/projects/${project}/quotas/container-compute/gpu`, { limit: 1_000 });
      await made('POST', `/v1/projects/${project}/reservations`, {
        id: uuidV7(),
        userId: 'ada',
        items: [{ service: 'container-compute', resource: 'gpu', amount: 400 }],
        ttlSeconds: 600,
      });
      const { data } = (await made('GET', '/v1/audit/events?limit=100')) as { data: { type: string }[] };
      expect(data.map(({ type }) => type)).toEqual(expect.arrayContaining(['ProjectCreated', 'QuotaReserved']));
      const refused = await call('DELETE', `/v1/projects/${project}/members/ada?disposition=block`);
      expect([refused.status, refused.body['code']]).toEqual([409, 'MEMBER_HAS_USAGE']);
    });

    it('a key that is deleted is soon refused, whichever replica is asked', async () => {
      for (let n = 0; n < 5; n += 1) {
        const { key, secret } = (await made('POST', `/v1/projects/${project}/keys`, {
          owner: { type: 'user', id: 'ada' },
        })) as { key: { id: string }; secret: string };
        const verified = await made('POST', '/v1/keys/verify', { token: secret });
        expect(verified['code']).toBe('VALID');
        expect((await call('GET', `/v1/projects/${project}/quotas/me`, undefined, secret)).status).toBe(200);
        await fetch(`${front.url}/v1/keys/${key.id}`, {
          method: 'DELETE',
          headers: { authorization: `Bearer ${adminToken}` },
        });
        // The other replica follows the log by itself: within milliseconds on a quiet machine.
        const deadline = performance.now() + FOLLOWED_MS_MAX;
        for (let refused = 0; refused < REFUSED_IN_A_ROW;) {
          refused = (await made('POST', '/v1/keys/verify', { token: secret }))['valid'] === false ? refused + 1 : 0;
          if (performance.now() > deadline) throw new Error('A deleted key is still accepted.');
        }
        expect((await call('GET', `/v1/projects/${project}/quotas/me`, undefined, secret)).status).toBe(401);
      }
    });

    it('know the caller by the address that the front saw, and by none that the caller made up', async () => {
      const { secret } = (await made('POST', `/v1/projects/${project}/keys`, {
        owner: { type: 'user', id: 'ada' },
        ipAllow: ['127.0.9.1/32'],
      })) as { secret: string };
      const statusFrom = async (localAddress: string, path: string, headers = {}): Promise<number | undefined> => {
        const options = { localAddress, agent: false, headers: { authorization: `Bearer ${secret}`, ...headers } };
        const [answer] = (await once(get(front.url + path, options), 'response')) as [IncomingMessage];
        answer.resume();
        return answer.statusCode;
      };
      for (const path of ['/v1/whoami', `/v1/projects/${project}/quotas/me`]) {
        expect([path, await statusFrom('127.0.9.1', path)]).toEqual([path, 200]);
        expect([path, await statusFrom('127.0.9.2', path, { 'x-forwarded-for': '127.0.9.1' })]).toEqual([path, 403]);
      }
    });
  },
);

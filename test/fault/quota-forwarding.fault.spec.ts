import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { v7 as uuidV7 } from 'uuid';
import { FixedClock } from '#libs/eventsourcing';
import { InternalTokens, type Principal, PROTO_ROOT } from '#libs/platform';
import { ReflectedClient } from '../e2e/reflected-client.js';
import { codeOf, TwoStewards, writerFigures } from './two-stewards.js';

/** Two processes that share the projects between them: each belongs to one, which the other hands its commands to. */

const LEASE_MS_MAX = 10_000;
const key = randomBytes(32);

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function until(what: string, isSo: () => Promise<boolean>, ms: number): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`Not within ${ms} ms: ${what}.`);
    await sleep(50);
  }
}

describe('two processes that forward to the owner of a project', () => {
  let pair: TwoStewards;
  let folder: string;
  let addresses: [string, string];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'steward-peers-'));
    const keyFile = join(folder, 'internal.key');
    writeFileSync(keyFile, key);
    const ports = [await freePort(), await freePort()] as const;
    addresses = [`127.0.0.1:${ports[0]}`, `127.0.0.1:${ports[1]}`];
    const env = (own: 0 | 1): Record<string, string> => ({
      STEWARD_GRPC_PORT: String(ports[own]),
      STEWARD_QUOTAS_PEERS: [addresses[own], ...addresses].join(','),
      STEWARD_INTERNAL_KEY_FILE: keyFile,
    });
    pair = await TwoStewards.start([env(0), env(1)]);
    await pair.made('POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
    await pair.aProject('P1', ['ada', 'ben']);
    await pair.knowEachOther(addresses);
  });
  afterAll(async () => {
    await pair.stop();
    rmSync(folder, { recursive: true });
  });

  const wish = (userId = 'ada') => ({
    id: uuidV7(),
    userId,
    items: [{ service: 'container-compute', resource: 'gpu', amount: 1 }],
  });
  const path = '/v1/projects/P1/reservations';
  const batches = async (): Promise<number[]> =>
    (await Promise.all(pair.both.map(writerFigures))).map((figures) => figures.batches);

  async function ownerOfP1(): Promise<0 | 1> {
    const before = await batches();
    await pair.made('POST', path, wish());
    const after = await batches();
    return (after[0] as number) > (before[0] as number) ? 0 : 1;
  }

  /** As a peer would, with whatever token. */
  async function execute(owner: 0 | 1, token: string, payload: Buffer): Promise<Record<string, unknown>> {
    const service = loadSync('steward/internal/v1/quotas.proto', { includeDirs: [PROTO_ROOT] })[
      'steward.internal.v1.QuotaOwnerService'
    ] as ServiceDefinition;
    const { path: method, requestSerialize, responseDeserialize } = service['Execute'] as ServiceDefinition[string];
    const client = new Client(addresses[owner], credentials.createInsecure());
    try {
      return await new Promise((resolve, reject) => {
        const deadline = Date.now() + 10_000;
        client.makeUnaryRequest(
          method,
          requestSerialize,
          responseDeserialize,
          { token, payload },
          { deadline },
          (error, response) => {
            if (error !== null) reject(error);
            else resolve(JSON.parse((response as { answer: Buffer }).answer.toString()) as Record<string, unknown>);
          },
        );
      });
    } finally {
      client.close();
    }
  }

  const ada = (userId = 'ada'): Principal => ({
    type: 'user',
    id: userId,
    via: 'key:key_0000000000000000',
    tenantId: 'acme',
    grants: [{ role: 'tenant_user', tenantId: 'acme', projectId: 'P1' }],
    key: {
      keyId: 'key_0000000000000000',
      scopes: null,
      canManageKeys: false,
      expiresAt: null,
      ipAllow: [],
      ipDeny: [],
      audiences: [],
    },
  });

  function reserveOf(userId: string, claims: object = {}): Buffer {
    const { id, items } = wish();
    const commandId = randomUUID();
    return Buffer.from(
      JSON.stringify({
        projectId: 'P1',
        command: {
          type: 'Reserve',
          ...{ id, userId, items, ttlSeconds: 60, mode: 'ENFORCE', resourceRef: null, labels: {}, bodyHash: id },
          ...claims,
        },
        context: {
          commandId,
          correlationId: commandId,
          causationId: null,
          requestHash: null,
          actor: { type: 'user', id: userId, via: 'key:key_0000000000000000' },
          actorPart: null,
        },
      }),
    );
  }

  const signed = (owner: 0 | 1, principal: Principal | null, payload: Buffer, skewMs = 0, under = key) =>
    new InternalTokens(under, new FixedClock(Date.now() + skewMs)).sign(
      { to: addresses[owner], method: 'steward.internal.v1.QuotaOwnerService/Execute', payload },
      principal,
    );

  it('append at the owner alone, whichever is asked, and what was reserved by the one is known to the other', async () => {
    const before = await batches();
    await Promise.all(
      Array.from({ length: 60 }, async (_, n) => {
        const [asked, other] = n % 2 === 0 ? [pair.both[0], pair.both[1]] : [pair.both[1], pair.both[0]];
        const body = wish(n % 3 === 0 ? 'ben' : 'ada');
        expect((await asked.call('POST', path, { body })).status).toBe(201);
        expect((await other.call('POST', `${path}/${body.id}/commit`, { body: {} })).status).toBe(200);
        expect((await asked.call('GET', `${path}/${body.id}`)).body).toMatchObject({ status: 'committed' });
      }),
    );
    const after = await batches();
    const written = after.map((count, n) => count - (before[n] as number));
    expect(Math.min(...written)).toBe(0);
    expect(Math.max(...written)).toBeGreaterThan(0);
  });

  it('carry the caller: refusals, replays and the actor are as if it had come to the owner', async () => {
    const owner = await ownerOfP1();
    const other = pair.both[owner === 0 ? 1 : 0];
    const body = wish();
    expect((await other.call('POST', path, { body })).status).toBe(201);
    expect((await other.call('POST', path, { body })).status).toBe(200);
    const reused = await other.call('POST', path, { body: { ...body, userId: 'ben' } });
    expect([reused.status, reused.body]).toMatchObject([422, { code: 'IDEMPOTENCY_MISMATCH' }]);
    await pair.made('PUT', '/v1/projects/P1/quotas/virtual-compute/cpu', { limit: 1 });
    const limited = await other.call('PUT', '/v1/projects/P1/quotas/virtual-compute/cpu', {
      body: { limit: 2, reason: 'a private reason' },
    });
    expect(limited.status).toBe(200);
    const changes = (await pair.ledgerOf('P1')).filter(({ type }) => type === 'QuotaSet');
    expect(changes.map((event) => (event as unknown as { actor: { id: string } }).actor.id)).toEqual([
      'bootstrap-admin',
      'bootstrap-admin',
    ]);
  });

  it('ask again what the caller may: one who was removed meanwhile is refused', async () => {
    const owner = await ownerOfP1();
    await pair.made('PUT', '/v1/projects/P1/members/fay', { role: 'tenant_user' });
    await pair.made('PUT', '/v1/projects/P1/members/fay/services/container-compute', {});
    const ask = async (principal: Principal, payload: Buffer) =>
      execute(owner, await signed(owner, principal, payload), payload);
    const granted = async () => 'outcome' in (await ask(ada('fay'), reserveOf('fay')));
    await until('the owner knows of the member', granted, 5_000);
    expect(await ask(ada('fay'), reserveOf('ada'))).toMatchObject({ refusal: { code: 'FORBIDDEN' } });
    expect(await ask(ada('fay'), reserveOf('fay', { mode: 'FORCE' }))).toMatchObject({
      refusal: { code: 'FORBIDDEN' },
    });
    const left = await pair.both[0].call('DELETE', '/v1/projects/P1/members/fay?disposition=orphan');
    expect(left.status).toBe(204);
    const refused = async () => (await ask(ada('fay'), reserveOf('fay')))['refusal'] !== undefined;
    await until('the owner refuses the member that left', refused, 5_000);
  });

  it('answer no token that is forged, expired, or made for another process or payload', async () => {
    const owner = await ownerOfP1();
    const payload = reserveOf('ada');
    const tokens = [
      '',
      'nonsense',
      await signed(owner, ada(), payload, 0, randomBytes(32)),
      await signed(owner, ada(), payload, -60_000),
      await signed(owner, ada(), payload, 60_000),
      await signed(owner === 0 ? 1 : 0, ada(), payload),
      await signed(owner, ada(), reserveOf('ada')),
    ];
    const before = await pair.ledgerOf('P1');
    for (const token of tokens) await expect(execute(owner, token, payload)).rejects.toMatchObject({ code: 16 });
    expect(await pair.ledgerOf('P1')).toEqual(before);
  });

  it('tell nobody of the service between them', async () => {
    const client = await ReflectedClient.of(pair.both[0]);
    expect(client.services.filter((name) => name.includes('internal'))).toEqual([]);
    client.close();
  });

  it('take over within the lease time when the owner is killed: every command is answered or told to come again', async () => {
    const victim = await ownerOfP1();
    const survivor = pair.both[victim === 0 ? 1 : 0];
    const { adminToken } = survivor;
    const before = (await writerFigures(survivor)).batches;
    const granted = new Set<string>();
    const odd: unknown[] = [];
    let asking = true;
    const clients = Array.from({ length: 16 }, async () => {
      while (asking) {
        const body = wish();
        for (let answered = false; !answered;) {
          const answer = await codeOf(survivor, adminToken, path, body);
          answered = answer.status === 200 || answer.status === 201;
          if (answered) granted.add(body.id);
          else if (answer.status !== 503 || answer.retryAfter === null) odd.push(answer);
          if (!answered) await sleep(20);
        }
      }
    });
    await until('the owner works', () => Promise.resolve(granted.size > 100), 20_000);
    pair.kill(victim);
    const killedMs = performance.now();
    await until('the other writes', async () => (await writerFigures(survivor)).batches > before, LEASE_MS_MAX);
    const tookOverMs = Math.round(performance.now() - killedMs);
    await sleep(500);
    asking = false;
    await Promise.all(clients);
    console.log(`took over within ${tookOverMs} ms`);
    expect(odd).toEqual([]);
    const reserved = (await pair.ledgerOf('P1'))
      .filter(({ type }) => type === 'QuotaReserved')
      .map(({ data }) => data['reservationId']);
    expect(new Set(reserved).size).toBe(reserved.length);
    expect([...granted].filter((id) => !reserved.includes(id))).toEqual([]);
    await pair.restart(victim);
    await pair.knowEachOther(addresses);
    await until('the project goes back', async () => (await ownerOfP1()) === victim, LEASE_MS_MAX);
  });
});

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { v7 as uuidV7 } from 'uuid';
import { type Answer, StewardProcess } from '#libs/testing';

const script = fileURLToPath(new URL('../../examples/verify-history.mjs', import.meta.url));

const project = '/v1/projects/GOV112345';
const gpu = (amount: number) => [{ service: 'container-compute', resource: 'gpu', amount }];
const limit = '/quotas/container-compute/gpu';

interface Row {
  readonly resource: string;
  readonly [field: string]: unknown;
}

interface Told {
  readonly stream: string;
  readonly type: string;
  readonly actor: { readonly type: string; readonly id: string };
  readonly recordedAt: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly private: { readonly actor?: { readonly comment: string | null } };
  readonly position: string;
  readonly raw: string;
}

async function verifyHistory(history: string): Promise<{ code: number | null; told: string }> {
  const child = execFile(process.execPath, [script], { timeout: 30_000 });
  let told = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: string) => (told += text));
  // Whoever has found a fault reads no further.
  child.stdin?.on('error', () => undefined).end(history);
  await once(child, 'close');
  return { code: child.exitCode, told };
}

describe('quotas as a new user walks through them, everybody with a key of their own', () => {
  const tokens: Record<string, string> = {};
  let steward: StewardProcess;

  const as = <Body = Record<string, unknown>>(
    who: string,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<Body>> =>
    steward.call<Body>(method, path, {
      ...(who === 'root' ? {} : { token: tokens[who] ?? '' }),
      ...(body === undefined ? {} : { body }),
      headers,
    });
  const done = async (who: string, method: string, path: string, body?: unknown): Promise<Record<string, unknown>> => {
    const answer = await as(who, method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const keyOf = async (path: string, body: object): Promise<string> =>
    (await done('root', 'POST', path, body))['secret'] as string;
  const replay = async (): Promise<string> => {
    const response = await fetch(`${steward.url}/v1/audit/events?projectId=GOV112345&raw=true`, {
      headers: { authorization: `Bearer ${tokens['ada'] ?? ''}`, accept: 'application/x-ndjson' },
    });
    expect(response.status).toBe(200);
    return response.text();
  };

  beforeAll(async () => {
    steward = await StewardProcess.start();
    await done('root', 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
    await done('root', 'POST', '/v1/tenants', { id: 'other', name: 'Other' });
    await done('root', 'POST', '/v1/tenants/other/projects', { id: 'GOV999', name: 'Theirs' });
    for (const [id, role] of [
      ['olga', 'tenant_owner'],
      ['ada', 'auditor'],
    ] as const) {
      await done('root', 'PUT', `/v1/principals/${id}`, { type: 'user', role, tenantId: 'acme' });
      tokens[id] = await keyOf(`/v1/principals/${id}/keys`, {});
    }
    await done('olga', 'POST', '/v1/tenants/acme/projects', { id: 'GOV112345', name: 'Weather' });
    await done('olga', 'PUT', `${project}/members/alice`, { role: 'tenant_admin', displayName: 'Alice' });
    tokens['alice'] = await keyOf(`${project}/keys`, { owner: { type: 'user', id: 'alice' } });
    for (const id of ['bob', 'carol']) {
      await done('alice', 'PUT', `${project}/members/${id}`, { role: 'tenant_user' });
      tokens[id] = await keyOf(`${project}/keys`, { owner: { type: 'user', id } });
    }
  });
  afterAll(async () => {
    await steward.stop();
  });

  it('owner and admin set limits, the member reserves, commits a part, and is denied with the list of violations', async () => {
    const ofProject = await as('olga', 'PUT', project + limit, { limit: 10_000, reason: 'the new rack' });
    expect([ofProject.status, ofProject.body['limit']]).toEqual([200, 10_000]);
    const ofBob = await as('alice', 'PUT', `${project}/members/bob${limit}`, { limit: 4_000 });
    expect([ofBob.status, ofBob.body['effective']]).toEqual([200, 4_000]);
    expect(ofBob.headers.get('etag')).toMatch(/^"\d+"$/);

    const wish = { id: uuidV7(), userId: 'bob', items: gpu(3_000), ttlSeconds: 600 };
    expect((await as('bob', 'POST', `${project}/reservations`, wish)).body).toMatchObject({
      code: 'SERVICE_NOT_GRANTED',
    });
    await done('alice', 'PUT', `${project}/members/bob/services/container-compute`);
    const reserved = await as('bob', 'POST', `${project}/reservations`, wish);
    expect([reserved.status, reserved.body]).toMatchObject([201, { id: wish.id, status: 'open', items: gpu(3_000) }]);
    expect(reserved.headers.get('steward-position')).toMatch(/^\d{20}$/);

    const commit = `${project}/reservations/${wish.id}/commit`;
    const committed = await as('bob', 'POST', commit, { items: gpu(2_500), resourceRef: 'vm/42' });
    expect([committed.status, committed.body]).toMatchObject([
      200,
      { id: wish.id, status: 'live', items: gpu(2_500), returned: gpu(500), late: false },
    ]);

    const denied = await as('bob', 'POST', `${project}/reservations`, { ...wish, id: uuidV7(), items: gpu(2_000) });
    expect(denied.status).toBe(409);
    expect(denied.headers.get('content-type')).toMatch('application/problem+json');
    expect(denied.body).toMatchObject({
      code: 'QUOTA_EXCEEDED',
      violations: [
        {
          scope: { type: 'member', userId: 'bob' },
          ...{ service: 'container-compute', resource: 'gpu', limit: 4_000 },
          ...{ used: 2_500, reserved: 0, requested: 2_000, available: 1_500 },
        },
      ],
    });
    const own = (await done('bob', 'GET', `${project}/quotas/me?service=container-compute`)) as {
      services?: { resources: Row[] }[];
    };
    expect(own.services?.[0]?.resources.find(({ resource }) => resource === 'gpu')).toMatchObject({
      ...{ limit: 4_000, used: 2_500, reserved: 0, available: 1_500, source: 'set', over: false },
    });
  });

  it('shows others’ quota to nobody who has no part in it', async () => {
    const statuses: Record<string, number> = {};
    for (const path of [`${project}/quotas`, `${project}/members/bob${limit}`, '/v1/projects/GOV999/quotas'])
      statuses[path] = (await as('carol', 'GET', path)).status;
    expect(Object.values(statuses)).toEqual([403, 403, 404]);
    expect((await as('carol', 'PUT', `${project}/members/carol${limit}`, { limit: 9_000 })).status).toBe(403);
    expect((await as('alice', 'PUT', project + limit, { limit: 99_000 })).status).toBe(403);
    expect((await as('alice', 'GET', '/v1/projects/GOV999/quotas')).status).toBe(404);
    expect((await as('alice', 'GET', `${project}/quotas`)).status).toBe(200);
  });

  it('the auditor replays who set what and when, and proves it from the bytes', async () => {
    const history = await replay();
    const events = history
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Told);
    const ofQuota = events.filter(({ stream }) => stream === 'projectQuota-GOV112345');
    expect(ofQuota.map(({ type, actor }) => [type, actor.id])).toEqual([
      ['ProjectQuotaOpened', 'olga'],
      ['QuotaSet', 'olga'],
      ['QuotaSet', 'alice'],
      ['QuotaReserved', 'bob'],
      ['ReservationCommitted', 'bob'],
    ]);
    const [, first, second] = ofQuota;
    expect(first).toMatchObject({
      recordedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/) as unknown,
      data: { scope: { type: 'project', userId: null }, limit: 10_000, previous: null },
      private: { actor: { comment: 'the new rack' } },
    });
    expect(second?.data).toMatchObject({ scope: { type: 'member', userId: 'bob' }, limit: 4_000 });

    const proved = await verifyHistory(history);
    expect(proved).toMatchObject({ code: 0, told: expect.stringMatching(`^OK: ${events.length} events`) as unknown });
    const at = events.findIndex(({ type }) => type === 'QuotaSet');
    const bytes = Buffer.from(events[at]?.raw ?? '', 'base64');
    const digit = bytes.indexOf('"limit":1') + '"limit":'.length;
    bytes[digit] = (bytes[digit] ?? 0) ^ 1;
    const forged = events.map((event, n) => (n === at ? { ...event, raw: bytes.toString('base64') } : event));
    const refuted = await verifyHistory(forged.map((event) => `${JSON.stringify(event)}\n`).join(''));
    expect(refuted.code).toBe(1);
    expect(refuted.told).toMatch(`BAD projectQuota-GOV112345/2 at position ${events[at]?.position ?? ''}`);
  });
});

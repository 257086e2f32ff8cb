import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectStream, type StewardEvent, subjectStream } from '#libs/contracts';
import { runCommand, type StreamScope } from '#libs/eventsourcing';
import { cursorOf } from '#libs/platform';
import { v7 as uuidV7 } from 'uuid';
import { InProcessSteward } from '../../../../libs/testing/src/in-process-steward.js';
import type { ProjectQuotasView, ReservationView, RowView } from '../quotas.views.js';
import type { LimitChangeView, UsageHistoryView } from './reports.dto.js';

let steward: InProcessSteward;
const call: InProcessSteward['call'] = (...request) => steward.call(...request);
const made: InProcessSteward['made'] = (...request) => steward.made(...request);

const project = '/v1/projects/GOV1';
const GPU = 'container-compute/gpu';
const gpu = (amount: number) => [{ service: 'container-compute', resource: 'gpu', amount }];
const csv = { accept: 'text/csv' };

/** An event as its own service would have decided it. */
async function append(stream: string, scope: StreamScope, event: StewardEvent): Promise<void> {
  await runCommand(steward.storage.ledger, {
    stream,
    decider: { initialState: null, decide: () => [event], evolve: () => null },
    command: null,
    scope,
    context: {
      commandId: randomUUID(),
      correlationId: randomUUID(),
      causationId: null,
      requestHash: null,
      actor: { type: 'system', id: 'test', via: 'internal' },
      actorPart: null,
    },
  });
}

const key = async (owner: string, projectId = 'GOV1'): Promise<string> => {
  const body = { owner: { type: 'user', id: owner } };
  return ((await made('root', 'POST', `/v1/projects/${projectId}/keys`, body)).body as { secret: string }).secret;
};
const principalKey = async (id: string): Promise<string> =>
  ((await made('root', 'POST', `/v1/principals/${id}/keys`)).body as { secret: string }).secret;

const reserved = async (userId: string, amount: number, more: object = {}): Promise<ReservationView> => {
  const wish = { id: uuidV7(), userId, items: gpu(amount), ttlSeconds: 600, ...more };
  return (await made('compute', 'POST', `${project}/reservations`, wish)).body as ReservationView;
};

beforeAll(async () => {
  steward = await InProcessSteward.start();
  const { tokens } = steward;
  await made('root', 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
  await made('root', 'POST', '/v1/tenants', { id: 'other', name: 'Other' });
  await made('root', 'POST', '/v1/tenants/acme/projects', { id: 'GOV1', name: 'Weather' });
  const members = `${project}/members`;
  const formula = '=HYPERLINK("http://evil.example","see")';
  await made('root', 'PUT', `${members}/alice`, { role: 'tenant_admin', displayName: 'Alice' });
  await made('root', 'PUT', `${members}/bob`, { role: 'tenant_user', displayName: formula });
  await made('root', 'PUT', `${members}/carol`, { role: 'tenant_user', displayName: 'Müller, Carol' });
  await made('root', 'PUT', `${members}/olga`, { role: 'tenant_user' });
  const owner = { type: 'user', role: 'tenant_owner' };
  await made('root', 'PUT', '/v1/principals/owner', { ...owner, tenantId: 'acme' });
  await made('root', 'PUT', '/v1/principals/auditor', { type: 'user', role: 'auditor' });
  await made('root', 'PUT', '/v1/principals/compute', { type: 'service', role: 'service' });
  for (const id of ['alice', 'bob', 'carol', 'olga']) tokens[id] = await key(id);
  for (const id of ['owner', 'auditor', 'compute']) tokens[id] = await principalKey(id);
  for (const userId of ['bob', 'carol', 'olga'])
    await append(
      projectStream('GOV1'),
      { tenantId: 'acme', projectId: 'GOV1' },
      { type: 'ServiceAccessGranted', data: { userId, service: 'container-compute' } },
    );
});
afterAll(() => steward.stop());

const gpuRowOf = ({ services }: ProjectQuotasView, userId: string): RowView | undefined =>
  services[0]?.members.find((member) => member.userId === userId)?.resources.find(({ resource }) => resource === 'gpu');

describe('the quota page', () => {
  it('never shows less than what this process has just acknowledged', async () => {
    for (let limit = 1; limit <= 25; limit += 1) {
      await made('alice', 'PUT', `${project}/members/carol/quotas/${GPU}`, { limit });
      const page = await made('alice', 'GET', `${project}/quotas`);
      expect(gpuRowOf(page.body as ProjectQuotasView, 'carol')).toMatchObject({ limit, source: 'set' });
    }
    await made('alice', 'DELETE', `${project}/members/carol/quotas/${GPU}`);
  });

  it('is a table that a spreadsheet opens and runs nothing of', async () => {
    const answer = await call('alice', 'GET', `${project}/quotas`, undefined, csv);
    const { status, headers } = answer;
    const body = answer.body as string;
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    expect(headers.get('content-disposition')).toBe('attachment; filename="quotas-GOV1.csv"');
    expect(headers.get('steward-position')).toMatch(/^\d+/);
    const lines = body.split('\r\n');
    expect(lines[0]).toBe(
      'service,scope,userId,displayName,role,resource,unit,limit,soft,used,reserved,available,source,over',
    );
    expect(lines).toContain('container-compute,project,,,,gpu,milliGpu,unlimited,,0,0,unlimited,catalogue,false');
    expect(body).toContain(
      'container-compute,member,bob,"\'=HYPERLINK(""http://evil.example"",""see"")",tenant_user,cpu,milliCore,',
    );
    expect(body).toContain('member,carol,"Müller, Carol",tenant_user,');
    expect((await call('alice', 'GET', `${project}/quotas?format=csv`)).body).toBe(body);
    expect((await call('bob', 'GET', `${project}/quotas?format=csv`)).status).toBe(403);
  });

  it('keeps the row of one who left for as long as usage is left', async () => {
    await made('root', 'PUT', `${project}/members/dan`, { role: 'tenant_user', displayName: 'Dan' });
    const scope = { tenantId: 'acme', projectId: 'GOV1' };
    const access = { userId: 'dan', service: 'container-compute' };
    await append(projectStream('GOV1'), scope, { type: 'ServiceAccessGranted', data: access });
    const allocation = { id: uuidV7(), userId: 'dan', items: gpu(7) };
    await made('compute', 'POST', `${project}/allocations`, allocation);
    await made('root', 'DELETE', `${project}/members/dan?disposition=orphan`);
    const left = await made('alice', 'GET', `${project}/quotas`);
    const member = (left.body as ProjectQuotasView).services[0]?.members.find(({ userId }) => userId === 'dan');
    expect(member).toMatchObject({ displayName: null, role: null, resources: [{}, { used: 7 }, {}] });
    await made('root', 'DELETE', `${project}/allocations/${allocation.id}`);
    const gone = await made('alice', 'GET', `${project}/quotas`);
    expect(gpuRowOf(gone.body as ProjectQuotasView, 'dan')).toBeUndefined();
  });
});

describe('the report of reservations', () => {
  it('shows everybody’s or the own ones, by status and expiry, page by page and as a table', async () => {
    const [first, second] = [await reserved('bob', 1), await reserved('carol', 2, { ttlSeconds: 60 })];
    const released = await reserved('bob', 3);
    await made('bob', 'POST', `${project}/reservations/${released.id}/release`);
    const ids = async (who: string, query = ''): Promise<string[]> =>
      ((await made(who, 'GET', `${project}/reservations${query}`)).body as { data: ReservationView[] }).data.map(
        ({ id }) => id,
      );
    for (const who of ['alice', 'owner', 'root', 'auditor', 'compute'])
      expect(await ids(who)).toEqual([first.id, second.id]);
    expect(await ids('bob')).toEqual([first.id]);
    expect(await ids('olga')).toEqual([]);
    expect(await ids('bob', '?userId=carol')).toEqual([]);
    expect(await ids('alice', '?userId=carol')).toEqual([second.id]);
    expect(await ids('alice', '?status=released')).toEqual([released.id]);
    const soon = new Date(Date.parse(first.expiresAt) - 1_000).toISOString();
    expect(await ids('alice', `?expiresBefore=${soon}`)).toEqual([second.id]);

    const one = await made('alice', 'GET', `${project}/reservations?limit=1`);
    const { page, data } = one.body as { page: { nextCursor: string }; data: ReservationView[] };
    expect(data).toEqual([first]);
    expect(await ids('alice', `?limit=1&cursor=${page.nextCursor}`)).toEqual([second.id]);
    expect(
      (await call('carol', 'GET', `${project}/reservations?limit=1&cursor=${page.nextCursor}`)).body,
    ).toMatchObject({ code: 'CURSOR_INVALID' });

    const table = await call('alice', 'GET', `${project}/reservations`, undefined, csv);
    expect((table.body as string).split('\r\n').map((text) => text.split(',')[0])).toEqual([
      'id',
      first.id,
      second.id,
      '',
    ]);
    expect(table.body).toContain(`${first.id},open,bob,container-compute/gpu: 1,`);
    expect((await call('alice', 'GET', `${project}/reservations?format=csv&limit=5`)).status).toBe(400);
    for (const { id, userId } of [first, second]) await made(userId, 'POST', `${project}/reservations/${id}/release`);
  });

  it('counts one that is due as expired, although nobody has written that down', async () => {
    const due = await reserved('bob', 1, { ttlSeconds: 1 });
    const deadlineMs = Date.parse(due.expiresAt) + 10_000;
    let expired: ReservationView[] = [];
    while (expired.length === 0 && Date.now() < deadlineMs) {
      const answer = await made('bob', 'GET', `${project}/reservations?status=expired`);
      expired = (answer.body as { data: ReservationView[] }).data;
      await sleep(50);
    }
    expect(expired).toMatchObject([{ id: due.id, status: 'expired' }]);
    expect((await made('bob', 'GET', `${project}/reservations`)).body).toMatchObject({ data: [] });
  });
});

describe('the history of usage', () => {
  const history = (query: string): string => `${project}/usage-history?${query}`;

  it('has whole buckets with what was used at the end, the most and the integral, of project and member', async () => {
    const { id } = await reserved('bob', 40);
    await made('bob', 'POST', `${project}/reservations/${id}/commit`, { items: gpu(30) });
    const answer = await made('alice', 'GET', history(`service=container-compute&resource=gpu&step=day`));
    const { series, step } = answer.body as UsageHistoryView;
    expect([series.length, step, series[0]?.buckets.length]).toEqual([1, 'day', 30]);
    expect(series[0]).toMatchObject({ service: 'container-compute', resource: 'gpu', unit: 'milliGpu' });
    const last = series[0]?.buckets.at(-1);
    expect(last).toMatchObject({ used: 30, reserved: 0, start: expect.stringMatching(/T00:00:00/) as string });
    // It may just have become midnight.
    expect(Math.max(...(series[0]?.buckets ?? []).map(({ reservedMax }) => reservedMax))).toBe(40);
    expect(last?.usedMax).toBeGreaterThanOrEqual(30);
    expect(last?.usedSeconds).toMatch(/^\d+$/);
    const own = await made('bob', 'GET', history(`service=container-compute&resource=gpu&userId=bob`));
    expect((own.body as UsageHistoryView).series[0]?.buckets).toHaveLength(24);
    expect((own.body as UsageHistoryView).series[0]?.buckets.at(-1)).toMatchObject({ used: 30 });
    const idle = await made('alice', 'GET', history(`service=container-compute&userId=carol`));
    expect((idle.body as UsageHistoryView).series).toHaveLength(3);
    const table = await call('alice', 'GET', history('resource=gpu&service=container-compute&format=csv'));
    expect((table.body as string).split('\r\n')).toHaveLength(26);
    await made('root', 'DELETE', `${project}/allocations/${id}`);
  });

  it('is of the member alone for a member, and refused where it asks for too much or for nothing', async () => {
    expect((await call('bob', 'GET', history('step=day'))).status).toBe(403);
    expect((await call('bob', 'GET', history('userId=carol'))).status).toBe(403);
    expect((await call('olga', 'GET', history('step=day'))).status).toBe(403);
    expect((await call('auditor', 'GET', history('step=day'))).status).toBe(200);
    expect((await call('alice', 'GET', history('service=nothing'))).body).toMatchObject({ code: 'UNKNOWN_RESOURCE' });
    const many = await call('alice', 'GET', history('from=2020-01-01T00:00:00Z'));
    expect(many.body).toMatchObject({ code: 'VALIDATION', errors: [{ location: 'query.from' }] });
    expect(JSON.stringify(many.body)).toContain('at most 1000');
    const backwards = 'from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z';
    expect((await call('alice', 'GET', history(backwards))).status).toBe(400);
    const future = 'from=2100-01-02T00:00:00Z&to=2100-01-03T00:00:00Z&service=container-compute';
    expect((await made('alice', 'GET', history(future))).body).toMatchObject({ series: [{ buckets: [] }, {}, {}] });
    const last = 'from=9999-12-31T00:00:00Z&to=9999-12-31T23:59:59Z&service=container-compute';
    expect((await made('alice', 'GET', history(last))).body).toMatchObject({ series: [{ buckets: [] }, {}, {}] });
  });
});

describe('the changes of limits', () => {
  const path = `${project}/members/bob/quotas/${GPU}`;
  const changes = async (who: string, query = ''): Promise<LimitChangeView[]> =>
    ((await made(who, 'GET', `${project}/quota-changes${query}`)).body as { data: LimitChangeView[] }).data;

  it('say who, when, from what to what and why, the newest first, to those who may know', async () => {
    await made('alice', 'PUT', path, { limit: 4_000, soft: 3_000, reason: '@later: a "rush", for May' });
    await made('alice', 'PUT', path, { limit: 2_000 });
    await made('owner', 'DELETE', path, { reason: 'back to normal' });
    await made('owner', 'PUT', `${project}/quotas/${GPU}`, { limit: 9_000 });
    const all = await changes('alice', '?resource=gpu&limit=4');
    expect(all).toMatchObject([
      { kind: 'set', scope: { type: 'project', userId: null }, before: 'inherit', after: 9_000, commentStatus: 'none' },
      { kind: 'cleared', before: 2_000, after: 'inherit', effective: 'unlimited', comment: 'back to normal' },
      { kind: 'set', before: 4_000, after: 2_000, soft: null, actor: { type: 'user', id: 'alice' } },
      {
        kind: 'set',
        scope: { type: 'member', userId: 'bob' },
        unit: 'milliGpu',
        before: 'inherit',
        after: 4_000,
        soft: 3_000,
        comment: '@later: a "rush", for May',
        commentStatus: 'shown',
      },
    ]);
    for (const who of ['owner', 'root', 'auditor']) expect(await changes(who, '?resource=gpu&limit=4')).toEqual(all);
    const own = await changes('bob');
    expect(own.map(({ kind }) => kind)).toEqual(['cleared', 'set', 'set']);
    expect(own.map(({ commentStatus }) => commentStatus)).toEqual(['hidden', 'hidden', 'hidden']);
    expect(own.map(({ comment }) => comment)).toEqual([null, null, null]);
    expect(await changes('olga')).toEqual([]);
    expect((await call('compute', 'GET', `${project}/quota-changes`)).status).toBe(403);
    expect(await changes('alice', '?scope=memberDefault')).toEqual([]);
    const table = (await call('alice', 'GET', `${project}/quota-changes?userId=bob`, undefined, csv)).body as string;
    expect(table.split('\r\n')).toHaveLength(5);
    expect(table).toContain(`,"'@later: a ""rush"", for May",shown,`);
  });

  it('go on page by page, and none comes twice', async () => {
    const all = await changes('alice', '?limit=200');
    const paged: LimitChangeView[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const answer = await made('alice', 'GET', `${project}/quota-changes?limit=7${query}`);
      const page = answer.body as { data: LimitChangeView[]; page: { nextCursor: string | null } };
      paged.push(...page.data);
      cursor = page.page.nextCursor;
    }
    expect(paged).toEqual(all);
    const madeUp = cursorOf(['limit-changes', 'GOV1', {}, 'user', 'alice'], { values: ['first'], id: '0' });
    const refused = await call('alice', 'GET', `${project}/quota-changes?cursor=${madeUp}`);
    expect(refused.body).toMatchObject({ status: 400, code: 'CURSOR_INVALID' });
  });

  it('tell of the limits that a removed member took along', async () => {
    await made('root', 'PUT', `${project}/members/eve`, { role: 'tenant_user' });
    await made('alice', 'PUT', `${project}/members/eve/quotas/${GPU}`, { limit: 5 });
    await made('root', 'DELETE', `${project}/members/eve?disposition=orphan`);
    const deadlineMs = Date.now() + 20_000;
    let [last] = await changes('alice', '?userId=eve&limit=1');
    while (last?.kind !== 'memberRemoved' && Date.now() < deadlineMs) {
      await sleep(50);
      [last] = await changes('alice', '?userId=eve&limit=1');
    }
    expect(last).toMatchObject({ kind: 'memberRemoved', before: 5, after: 'inherit', effective: null });
  });

  it('say that a reason was erased with whoever gave it', async () => {
    await made('root', 'PUT', `${project}/members/frank`, { role: 'tenant_admin', displayName: 'Frank' });
    steward.tokens['frank'] = await key('frank');
    await made('frank', 'PUT', path, { limit: 1, reason: 'because of my health' });
    const [before] = await changes('alice', '?limit=1');
    expect(before).toMatchObject({ comment: 'because of my health', actor: { id: 'frank' } });
    const dataKeys = [...(await steward.storage.dataKeys.standing('user:frank'))];
    const erased = { subjectId: 'frank', dataKeys };
    const nowhere = { tenantId: null, projectId: null };
    await append(subjectStream('frank'), nowhere, { type: 'SubjectErased', data: erased });
    const deadlineMs = Date.now() + 20_000;
    let [after] = await changes('alice', '?limit=1');
    while (after?.commentStatus !== 'erased' && Date.now() < deadlineMs) {
      await sleep(50);
      [after] = await changes('alice', '?limit=1');
    }
    expect(after).toMatchObject({ comment: null, commentStatus: 'erased', after: 1, actor: { id: 'frank' } });
    const page = await made('alice', 'GET', `${project}/quotas`);
    const member = (page.body as ProjectQuotasView).services[0]?.members.find(({ userId }) => userId === 'frank');
    expect(member).toMatchObject({ displayName: null, role: 'tenant_admin' });
  });
});

describe('a read model that stands still', () => {
  it('is waited for, 2 s and no longer', async () => {
    await steward.storage.projections.stop();
    await made('alice', 'PUT', `${project}/members/carol/quotas/${GPU}`, { limit: 77 });
    const startedMs = performance.now();
    const answer = await call('alice', 'GET', `${project}/quotas`);
    expect(answer).toMatchObject({ status: 504, body: { code: 'PROJECTION_LAG' } });
    expect(performance.now() - startedMs).toBeGreaterThan(1_900);
    // Limits and own rows come from the ledger itself, which waits for nothing.
    expect((await made('carol', 'GET', `${project}/members/carol/quotas/${GPU}`)).body).toMatchObject({ limit: 77 });
  });
});

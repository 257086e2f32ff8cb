import { v7 as uuidV7 } from 'uuid';
import { InProcessSteward } from '../../../../libs/testing/src/in-process-steward.js';

let steward: InProcessSteward;
const made: InProcessSteward['made'] = (...request) => steward.made(...request);
let projects = 0;

beforeAll(async () => {
  steward = await InProcessSteward.start();
  await made('root', 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
  await made('root', 'PUT', '/v1/principals/compute', { type: 'service', role: 'service' });
  const answer = await made('root', 'POST', '/v1/principals/compute/keys', {});
  steward.tokens['compute'] = (answer.body as { secret: string }).secret;
});
afterAll(() => steward.stop());

async function aProject(): Promise<string> {
  const projectId = `P${(projects += 1)}`;
  await made('root', 'POST', '/v1/tenants/acme/projects', { id: projectId, name: projectId });
  await made('root', 'PUT', `/v1/projects/${projectId}/members/ada`, { role: 'tenant_user' });
  await made('root', 'PUT', `/v1/projects/${projectId}/members/ada/services/container-compute`);
  return projectId;
}

const gpu = [{ service: 'container-compute', resource: 'gpu', amount: 2 }];
const wish = () => ({ id: uuidV7(), userId: 'ada', items: gpu, ttlSeconds: 600 });

const ends: [string, (projectId: string) => Promise<unknown>][] = [
  [
    'the member left',
    (projectId) => made('root', 'DELETE', `/v1/projects/${projectId}/members/ada?disposition=orphan`),
  ],
  ['the project was closed', (projectId) => made('root', 'POST', `/v1/projects/${projectId}/close`)],
];

describe.each(ends)('what was done before %s', (_what, end) => {
  it('is answered as it was, and what was not is refused', async () => {
    const projectId = await aProject();
    const reservations = `/v1/projects/${projectId}/reservations`;
    const limit = `/v1/projects/${projectId}/members/ada/quotas/container-compute/gpu`;
    const [byId, byKey] = [wish(), wish()];
    const key = { 'idempotency-key': 'once' };
    const first = await made('compute', 'POST', reservations, byId);
    const keyed = await steward.call('compute', 'POST', reservations, byKey, key);
    const limited = await steward.call('root', 'PUT', limit, { limit: 50 }, key);
    expect([first.status, keyed.status, limited.status]).toEqual([201, 201, 200]);
    await end(projectId);

    const again = await steward.call('compute', 'POST', reservations, byId);
    expect([again.status, again.body]).toMatchObject([200, { id: byId.id, userId: 'ada' }]);
    const keyedAgain = await steward.call('compute', 'POST', reservations, byKey, key);
    expect([keyedAgain.status, keyedAgain.body]).toEqual([200, keyed.body]);
    const limitedAgain = await steward.call('root', 'PUT', limit, { limit: 50 }, key);
    expect([limitedAgain.status, limitedAgain.body]).toEqual([200, limited.body]);

    expect((await steward.call('compute', 'POST', reservations, wish())).status).toBeGreaterThanOrEqual(400);
    const other = await steward.call('compute', 'POST', reservations, { ...byId, ttlSeconds: 601 });
    expect(other.body).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' });
  });
});

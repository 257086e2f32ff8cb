import { projectStream } from '#libs/contracts';
import { runCommand } from '#libs/eventsourcing';
import { randomUUID } from 'node:crypto';
import { v7 as uuidV7 } from 'uuid';
import { InProcessSteward } from '../../../libs/testing/src/in-process-steward.js';
import type { OwnQuotasView, ProjectQuotasView, RowView } from './quotas.views.js';

let steward: InProcessSteward;
const call: InProcessSteward['call'] = (...request) => steward.call(...request);
const made: InProcessSteward['made'] = (...request) => steward.made(...request);

const GPU = 'container-compute/gpu';
const gpu = (amount: number) => [{ service: 'container-compute', resource: 'gpu', amount }];
const limitPath = (userId?: string): string =>
  `/v1/projects/GOV1/${userId === undefined ? '' : `members/${userId}/`}quotas/${GPU}`;
const reservations = '/v1/projects/GOV1/reservations';
const wish = (amount: number, userId = 'bob', more: object = {}) => ({
  id: uuidV7(),
  userId,
  items: gpu(amount),
  ttlSeconds: 600,
  ...more,
});

/** Service access, as tenancy writes it. */
async function grantAccess(projectId: string, userId: string, service: string): Promise<void> {
  await runCommand(steward.storage.ledger, {
    stream: projectStream(projectId),
    decider: {
      initialState: null,
      decide: () => [{ type: 'ServiceAccessGranted' as const, data: { userId, service } }],
      evolve: () => null,
    },
    command: null,
    scope: { tenantId: 'acme', projectId },
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

const key = async (owner: string, projectId: string): Promise<string> => {
  const body = { owner: { type: 'user', id: owner } };
  return ((await made('root', 'POST', `/v1/projects/${projectId}/keys`, body)).body as { secret: string }).secret;
};

beforeAll(async () => {
  steward = await InProcessSteward.start();
  const { tokens } = steward;
  await made('root', 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
  await made('root', 'POST', '/v1/tenants', { id: 'other', name: 'Other' });
  await made('root', 'POST', '/v1/tenants/acme/projects', { id: 'GOV1', name: 'Weather' });
  await made('root', 'POST', '/v1/tenants/other/projects', { id: 'X1', name: 'X1' });
  await made('root', 'PUT', '/v1/projects/GOV1/members/alice', { role: 'tenant_admin', displayName: 'Alice' });
  for (const id of ['bob', 'carol']) await made('root', 'PUT', `/v1/projects/GOV1/members/${id}`, { role: 'tenant_user' });
  await made('root', 'PUT', '/v1/projects/X1/members/eve', { role: 'tenant_admin' });
  for (const id of ['alice', 'bob', 'carol']) tokens[id] = await key(id, 'GOV1');
  tokens['eve'] = await key('eve', 'X1');
  await made('root', 'PUT', '/v1/principals/olga', { type: 'user', role: 'tenant_owner', tenantId: 'acme' });
  tokens['olga'] = ((await made('root', 'POST', '/v1/principals/olga/keys', {})).body as { secret: string }).secret;
  await made('root', 'PUT', '/v1/principals/compute', { type: 'service', role: 'service' });
  tokens['compute'] = ((await made('root', 'POST', '/v1/principals/compute/keys', {})).body as { secret: string }).secret;
  await grantAccess('GOV1', 'bob', 'container-compute');
});
afterAll(() => steward.stop());

async function ownGpu(who: string): Promise<RowView | undefined> {
  const { body } = await made(who, 'GET', '/v1/projects/GOV1/quotas/me');
  const { services } = body as OwnQuotasView;
  return services.find(({ service }) => service === 'container-compute')?.resources.find((r) => r.resource === 'gpu');
}

describe('quotas over HTTP', () => {
  it('are set by owner and admin, reserved, committed, denied with every violation, and seen', async () => {
    const ofProject = await call('olga', 'PUT', limitPath(), { limit: 10_000, reason: 'the new rack' });
    expect(ofProject.status).toBe(200);
    expect(ofProject.headers.get('etag')).toBe('"2"');
    expect((await call('alice', 'PUT', limitPath(), { limit: 1 })).status).toBe(403);
    const ofBob = await call('alice', 'PUT', limitPath('bob'), { limit: 4_000 });
    expect(ofBob.status).toBe(200);
    expect(ofBob.body).toMatchObject({ limit: 4_000, effective: 4_000, source: 'set', revision: 3 });

    const reserved = await call('bob', 'POST', reservations, wish(3_000));
    expect(reserved.status).toBe(201);
    const { id } = reserved.body as { id: string };
    const committed = await call('bob', 'POST', `${reservations}/${id}/commit`, { items: gpu(2_500) });
    expect(committed.status).toBe(200);
    expect(committed.body).toMatchObject({ status: 'live', items: gpu(2_500), returned: gpu(500) });

    const denied = await call('bob', 'POST', reservations, wish(2_000));
    expect(denied.status).toBe(409);
    expect(denied.body).toMatchObject({
      code: 'QUOTA_EXCEEDED',
      violations: [
        {
          scope: { type: 'member', userId: 'bob' },
          service: 'container-compute',
          resource: 'gpu',
          limit: 4_000,
          used: 2_500,
          reserved: 0,
          requested: 2_000,
          available: 1_500,
        },
      ],
    });
    expect(await ownGpu('bob')).toEqual({
      resource: 'gpu',
      unit: 'milliGpu',
      limit: 4_000,
      soft: null,
      used: 2_500,
      reserved: 0,
      available: 1_500,
      source: 'set',
      over: false,
      revision: 3,
    });
    expect((await call('bob', 'GET', '/v1/projects/GOV1/quotas')).status).toBe(403);
    expect((await call('bob', 'GET', limitPath('carol'))).status).toBe(403);
    expect((await call('bob', 'GET', '/v1/projects/X1/quotas')).status).toBe(404);
    expect((await call('eve', 'GET', '/v1/projects/GOV1/quotas')).status).toBe(404);
    expect((await call('eve', 'POST', reservations, wish(1))).status).toBe(404);
  });
});

void ({} as ProjectQuotasView);

import { v7 as uuidV7 } from 'uuid';
import { projectQuotaStream, projectStream } from '#libs/contracts';
import { commandIdOf, type RecordedEvent } from '#libs/eventsourcing';
import { ReactorHost } from '#libs/postgres';
import { InProcessSteward } from '../../../../libs/testing/src/in-process-steward.js';
import { QuotaRights } from '../quota-rights.js';
import type { ProjectQuotasView } from '../quotas.views.js';
import { QUOTA_OFFBOARDING } from './quota-offboarding.reactor.js';

let steward: InProcessSteward;
const call: InProcessSteward['call'] = (...request) => steward.call(...request);
const made: InProcessSteward['made'] = (...request) => steward.made(...request);

const gpu = (amount: number) => [{ service: 'container-compute', resource: 'gpu', amount }];
let projects = 0;

/** A project of its own with these members, all of whom may use the service. */
async function aProject(...members: string[]): Promise<string> {
  const projectId = `P${(projects += 1)}`;
  await made('root', 'POST', '/v1/tenants/acme/projects', { id: projectId, name: projectId });
  for (const userId of members) await aMember(projectId, userId);
  return projectId;
}

async function aMember(projectId: string, userId: string): Promise<void> {
  await made('root', 'PUT', `/v1/projects/${projectId}/members/${userId}`, { role: 'tenant_user' });
  await made('root', 'PUT', `/v1/projects/${projectId}/members/${userId}/services/container-compute`);
}

async function reserve(projectId: string, userId: string, amount: number): Promise<string> {
  const id = uuidV7();
  const body = { id, userId, items: gpu(amount), ttlSeconds: 600 };
  await made('compute', 'POST', `/v1/projects/${projectId}/reservations`, body);
  return id;
}

async function allocate(projectId: string, userId: string, amount: number): Promise<string> {
  const id = uuidV7();
  await made('compute', 'POST', `/v1/projects/${projectId}/allocations`, { id, userId, items: gpu(amount) });
  return id;
}

const remove = (projectId: string, userId: string, query = '') =>
  call('root', 'DELETE', `/v1/projects/${projectId}/members/${userId}${query}`);

async function reacted(): Promise<void> {
  const { store } = steward.storage;
  expect(await steward.app.get(ReactorHost).reach(QUOTA_OFFBOARDING, await store.head(), 10_000)).toBe(true);
}

async function eventsOf(stream: string): Promise<RecordedEvent[]> {
  const { store, codec } = steward.storage;
  return (await store.readStream(stream)).map((stored) => codec.decode(stored));
}

const ledgerOf = (projectId: string): Promise<RecordedEvent[]> => eventsOf(projectQuotaStream(projectId));

async function statusOf(projectId: string, reservationId: string): Promise<string> {
  const answer = await made('root', 'GET', `/v1/projects/${projectId}/reservations/${reservationId}`);
  return (answer.body as { status: string }).status;
}

beforeAll(async () => {
  steward = await InProcessSteward.start();
  await made('root', 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
  await made('root', 'PUT', '/v1/principals/compute', { type: 'service', role: 'service' });
  const key = await made('root', 'POST', '/v1/principals/compute/keys', {});
  steward.tokens['compute'] = (key.body as { secret: string }).secret;
});
afterAll(() => steward.stop());

describe('before a member leaves', () => {
  it('block refuses, and tells what stands in the way, until nothing does', async () => {
    const projectId = await aProject('alice');
    const id = await reserve(projectId, 'alice', 3_000);
    const allocation = await allocate(projectId, 'alice', 500);
    expect(await remove(projectId, 'alice')).toMatchObject({
      status: 409,
      body: { code: 'MEMBER_HAS_USAGE', reservations: 1, allocations: 1, items: gpu(3_500) },
    });
    await made('compute', 'POST', `/v1/projects/${projectId}/reservations/${id}/release`);
    expect(await remove(projectId, 'alice', '?disposition=block')).toMatchObject({
      status: 409,
      body: { reservations: 0, allocations: 1, items: gpu(500) },
    });
    await made('compute', 'DELETE', `/v1/projects/${projectId}/allocations/${allocation}`);
    expect((await remove(projectId, 'alice')).status).toBe(204);
  });

  it('transfer asks whether the receiver is an active member that may take it', async () => {
    const projectId = await aProject('alice', 'bob');
    await reserve(projectId, 'alice', 2_000);
    await allocate(projectId, 'alice', 500);
    const to = async (userId: string) => {
      const answer = await remove(projectId, 'alice', `?disposition=transfer&to=${userId}`);
      return [answer.status, (answer.body as { code?: string } | undefined)?.code];
    };
    const ofBob = `/v1/projects/${projectId}/members/bob`;
    expect(await to('nobody')).toEqual([422, 'MEMBER_UNKNOWN']);
    await made('root', 'POST', `${ofBob}/suspend`);
    expect(await to('bob')).toEqual([403, 'MEMBER_SUSPENDED']);
    await made('root', 'POST', `${ofBob}/resume`);
    await made('root', 'DELETE', `${ofBob}/services/container-compute`);
    expect(await to('bob')).toEqual([403, 'SERVICE_NOT_GRANTED']);
    await made('root', 'PUT', `${ofBob}/services/container-compute`);
    await made('root', 'PUT', `${ofBob}/quotas/container-compute/gpu`, { limit: 2_499 });
    expect(await to('bob')).toEqual([409, 'TARGET_OVER_QUOTA']);
    await made('root', 'PUT', `${ofBob}/quotas/container-compute/gpu`, { limit: 2_500 });
    expect(await to('bob')).toEqual([204, undefined]);
  });

  it('offboarding asks every project, and changes none if one refuses', async () => {
    const [free, held] = [await aProject('olaf'), await aProject('olaf')];
    await reserve(held, 'olaf', 1);
    expect(await call('root', 'POST', '/v1/tenants/acme/users/olaf/offboard', {})).toMatchObject({
      status: 409,
      body: { code: 'MEMBER_HAS_USAGE', errors: [{ location: `projects.${held}` }] },
    });
    expect((await eventsOf(projectStream(free))).at(-1)?.type).toBe('ServiceAccessGranted');
  });
});

describe('a member that has left', () => {
  it('with orphan loses its reservations and keeps its usage counted, in the chain of the removal', async () => {
    const projectId = await aProject('alice');
    const reservations = [await reserve(projectId, 'alice', 1_000), await reserve(projectId, 'alice', 2_000)];
    await allocate(projectId, 'alice', 500);
    expect((await remove(projectId, 'alice', '?disposition=orphan')).status).toBe(204);
    expect(
      await call('compute', 'POST', `/v1/projects/${projectId}/reservations`, {
        id: uuidV7(),
        userId: 'alice',
        items: gpu(1),
        ttlSeconds: 60,
      }),
    ).toMatchObject({ status: 409, body: { code: 'MEMBER_REMOVED' } });
    await reacted();
    for (const id of reservations) expect(await statusOf(projectId, id)).toBe('released');
    const removal = (await eventsOf(projectStream(projectId))).at(-1);
    expect((await ledgerOf(projectId)).slice(-3)).toMatchObject(
      [
        { type: 'QuotaMemberRemoved', data: { userId: 'alice', disposition: 'orphan', to: null } },
        { type: 'ReservationReleased' },
        { type: 'ReservationReleased' },
      ].map((event) => ({
        ...event,
        actor: { type: 'system', id: QUOTA_OFFBOARDING, via: 'internal' },
        commandId: commandIdOf(['react', QUOTA_OFFBOARDING, removal?.id, projectQuotaStream(projectId)]),
        causationId: removal?.id,
        correlationId: removal?.correlationId,
      })),
    );
    const { services } = (await made('root', 'GET', `/v1/projects/${projectId}/quotas`)).body as ProjectQuotasView;
    const row = services.flatMap(({ project }) => project).find(({ used }) => used > 0);
    expect(row).toMatchObject({ resource: 'gpu', used: 500, reserved: 0 });
  });

  it('with transfer hands everything over, to one who had left and joined again too', async () => {
    const projectId = await aProject('alice', 'bob');
    await allocate(projectId, 'bob', 1);
    await remove(projectId, 'bob', '?disposition=orphan');
    await reacted();
    await aMember(projectId, 'bob');
    const id = await reserve(projectId, 'alice', 1_000);
    expect((await remove(projectId, 'alice', '?disposition=transfer&to=bob')).status).toBe(204);
    await reacted();
    const handedOver = await made('root', 'GET', `/v1/projects/${projectId}/reservations/${id}`);
    expect(handedOver.body).toMatchObject({ status: 'open', userId: 'bob' });
    expect((await ledgerOf(projectId)).map(({ type }) => type)).toEqual([
      'ProjectQuotaOpened',
      'AllocationRecorded',
      'QuotaMemberRemoved',
      'QuotaReserved',
      'QuotaMemberRemoved',
      'QuotaMemberUsageTransferred',
      'QuotaMemberClosed',
    ]);
  });

  it('and holds nothing leaves no trace in the ledger', async () => {
    const projectId = await aProject('alice');
    await remove(projectId, 'alice');
    await reacted();
    expect(await ledgerOf(projectId)).toEqual([]);
  });

  it('leaves every project of a tenant in one chain', async () => {
    const both = [await aProject('fay'), await aProject('fay')];
    for (const projectId of both) await reserve(projectId, 'fay', 1);
    const answer = await made('root', 'POST', '/v1/tenants/acme/users/fay/offboard', { disposition: 'orphan' });
    await reacted();
    const { correlationId } = answer.body as { correlationId: string };
    for (const projectId of both)
      expect((await ledgerOf(projectId)).slice(-3)).toMatchObject([
        { type: 'QuotaMemberRemoved', correlationId },
        { type: 'ReservationReleased', correlationId },
        { type: 'QuotaMemberClosed', correlationId },
      ]);
  });
});

describe('what a member may not have now', () => {
  const refusedFor = async (projectId: string, as = 'compute'): Promise<string | number> => {
    const wish = { id: uuidV7(), userId: 'alice', items: gpu(1), ttlSeconds: 60 };
    const answer = await call(as, 'POST', `/v1/projects/${projectId}/reservations`, wish);
    return (answer.body as { code?: string }).code ?? answer.status;
  };

  it('is nothing of a service without access, from the revocation on', async () => {
    const projectId = await aProject('alice');
    const allocation = await allocate(projectId, 'alice', 1);
    expect(await refusedFor(projectId)).toBe(201);
    const access = `/v1/projects/${projectId}/members/alice/services/container-compute`;
    await made('root', 'DELETE', access);
    expect(await refusedFor(projectId)).toBe('SERVICE_NOT_GRANTED');
    const resize = `/v1/projects/${projectId}/allocations/${allocation}/resize`;
    expect(await call('compute', 'POST', resize, { items: gpu(2) })).toMatchObject({
      status: 403,
      body: { code: 'SERVICE_NOT_GRANTED' },
    });
    await made('root', 'PUT', access);
    expect(await refusedFor(projectId)).toBe(201);
  });

  it('is nothing while it is suspended, whoever asks; and everything when it is resumed', async () => {
    const projectId = await aProject('alice');
    const body = { owner: { type: 'user', id: 'alice' } };
    const own = (await made('root', 'POST', `/v1/projects/${projectId}/keys`, body)).body as { secret: string };
    expect(await refusedFor(projectId, own.secret)).toBe(201);
    await made('root', 'POST', `/v1/projects/${projectId}/members/alice/suspend`);
    expect(await refusedFor(projectId)).toBe('MEMBER_SUSPENDED');
    expect(await refusedFor(projectId, own.secret)).toBe('UNAUTHENTICATED');
    await made('root', 'POST', `/v1/projects/${projectId}/members/alice/resume`);
    expect(await refusedFor(projectId)).toBe(201);
    expect(await refusedFor(projectId, own.secret)).toBe(201);
  });

  it('is nothing more while its tenant is suspended; what it has can shrink', async () => {
    const projectId = await aProject('alice');
    const resize = `/v1/projects/${projectId}/allocations/${await allocate(projectId, 'alice', 5)}/resize`;
    await made('root', 'POST', '/v1/tenants/acme/suspend');
    expect(await refusedFor(projectId)).toBe('TENANT_IS_SUSPENDED');
    expect((await call('compute', 'POST', resize, { items: gpu(6) })).body).toMatchObject({
      code: 'TENANT_IS_SUSPENDED',
    });
    await made('compute', 'POST', resize, { items: gpu(4) });
    await made('root', 'POST', '/v1/tenants/acme/resume');
    expect(await refusedFor(projectId)).toBe(201);
  });
});

it('a closed project’s ledger is closed in its chain: nothing is granted, what is open is released or expires', async () => {
  const projectId = await aProject('alice');
  const open = await reserve(projectId, 'alice', 2);
  const wish = { id: uuidV7(), userId: 'alice', items: gpu(1), ttlSeconds: 60 };
  await made('root', 'POST', `/v1/projects/${projectId}/close`);
  const refused = await call('compute', 'POST', `/v1/projects/${projectId}/reservations`, wish);
  expect(refused).toMatchObject({ status: 409, body: { code: 'PROJECT_CLOSED' } });
  // Whatever asks how a member stands, as growth and a late commit do, need not wait for the ledger's own end.
  const rights = steward.app.get(QuotaRights, { strict: false });
  expect(await rights.standing(projectId, 'alice', ['container-compute'])).toMatchObject({ member: 'project-closed' });
  await reacted();
  const closing = (await eventsOf(projectStream(projectId))).at(-1);
  expect((await ledgerOf(projectId)).at(-1)).toMatchObject({
    type: 'ProjectQuotaClosed',
    causationId: closing?.id,
    correlationId: closing?.correlationId,
  });
  const at = `/v1/projects/${projectId}/reservations/${open}`;
  expect(await call('compute', 'POST', `${at}/commit`, {})).toMatchObject({
    status: 409,
    body: { code: 'PROJECT_CLOSED' },
  });
  expect((await call('compute', 'POST', `${at}/release`)).status).toBe(200);
});

import { setTimeout as sleep } from 'node:timers/promises';
import { v7 as uuidV7 } from 'uuid';
import { InProcessSteward } from '../../../libs/testing/src/in-process-steward.js';
import type { OwnQuotasView, ReservationView } from './quotas.views.js';
import { aQuotaWorld, gpu, limitPath, reservations, wish } from './testing/quota-world.js';

const HOUR_MS = 3_600_000;
const EXPIRED_MS_MAX = 10_000;
const allocations = '/v1/projects/GOV1/allocations';

let steward: InProcessSteward;
const call: InProcessSteward['call'] = (...request) => steward.call(...request);
const made: InProcessSteward['made'] = (...request) => steward.made(...request);

beforeAll(async () => {
  steward = await InProcessSteward.start();
  await aQuotaWorld(steward);
  await made('alice', 'PUT', limitPath('bob'), { limit: 10_000 });
});
afterAll(() => steward.stop());

interface Problem {
  readonly code: string;
  readonly errors?: readonly { readonly location: string }[];
}

/** `<status> <code>`, and the places that are named. */
async function refusal(...request: Parameters<InProcessSteward['call']>): Promise<string> {
  const answer = await call(...request);
  const { status } = answer;
  const { code, errors = [] } = answer.body as Problem;
  return [status, code, ...errors.map(({ location }) => location)].join(' ');
}
const reserve = (body: object, who = 'bob') => refusal(who, 'POST', reservations, body);

async function reserved(amount: number, more: object = {}): Promise<string> {
  const { id } = (await made('bob', 'POST', reservations, wish(amount, 'bob', more))).body as ReservationView;
  return `${reservations}/${id}`;
}

async function expired(): Promise<string> {
  const path = await reserved(1_000, { ttlSeconds: 1 });
  const deadline = performance.now() + EXPIRED_MS_MAX;
  while (((await made('bob', 'GET', path)).body as ReservationView).status !== 'expired') {
    if (performance.now() > deadline) throw new Error('A reservation of one second did not expire.');
    await sleep(50);
  }
  return path;
}

async function counted(): Promise<{ readonly used: number; readonly reserved: number } | undefined> {
  const { services } = (await made('bob', 'GET', '/v1/projects/GOV1/quotas/me')).body as OwnQuotasView;
  const row = services[0]?.resources.find(({ resource }) => resource === 'gpu');
  return row && { used: row.used, reserved: row.reserved };
}

describe('bad input of quotas has its own codes', () => {
  const item = { service: 'container-compute', resource: 'gpu', amount: 1 };
  it.each([
    ['an unknown service', { ...item, service: 'teleport' }, '422 UNKNOWN_RESOURCE'],
    ['an unknown resource', { ...item, resource: 'tpu' }, '422 UNKNOWN_RESOURCE'],
    ['nothing', { ...item, amount: 0 }, '422 ZERO_AMOUNT'],
    ['less than nothing', { ...item, amount: -1 }, '400 VALIDATION body.items.0.amount'],
    ['a fraction', { ...item, amount: 0.25 }, '400 VALIDATION body.items.0.amount'],
    ['an amount beyond 2^53-1', { ...item, amount: 2 ** 53 }, '422 AMOUNT_OVERFLOW body.items.0.amount'],
    ['an amount far beyond', { ...item, amount: 1e300 }, '422 AMOUNT_OVERFLOW'],
    ['a text', { ...item, amount: '1' }, '400 VALIDATION body.items.0.amount'],
    ['no amount', { service: 'container-compute', resource: 'gpu' }, '400 VALIDATION body.items.0.amount'],
  ])('%s, whether reserved, allocated or committed', async (_name, one, expected) => {
    const path = await reserved(2);
    const body = wish(1, 'bob', { items: [one] });
    const allocation = { id: body.id, userId: body.userId, items: body.items };
    expect([
      await reserve(body),
      await reserve({ ...body, mode: 'CHECK_ONLY' }),
      await refusal('bob', 'POST', allocations, allocation),
      await refusal('bob', 'POST', `${path}/commit`, { items: [one] }),
    ]).toEqual(Array(4).fill(expected));
    await made('bob', 'POST', `${path}/release`);
  });

  it('items: none, one twice, too many; sums that pass 2^53-1', async () => {
    expect(await reserve(wish(1, 'bob', { items: [] }))).toBe('400 VALIDATION body.items');
    expect(await reserve(wish(1, 'bob', { items: [item, item] }))).toBe('400 VALIDATION body.items');
    const many = Array.from({ length: 17 }, (_, n) => ({ ...item, resource: `r${n}` }));
    expect(await reserve(wish(1, 'bob', { items: many }))).toBe('413 TOO_MANY_ITEMS');
    const all = { service: 'container-compute', resource: 'cpu', amount: Number.MAX_SAFE_INTEGER };
    const path = await reserved(1, { items: [all] });
    expect(await reserve(wish(1, 'bob', { items: [{ ...all, amount: 1 }] }))).toBe('422 AMOUNT_OVERFLOW');
    await made('bob', 'POST', `${path}/release`);
  });

  it('ids: used for something else, older than the window, from the future, none', async () => {
    const body = wish(1);
    await made('bob', 'POST', reservations, body);
    expect(await reserve({ ...body, items: gpu(2) })).toBe('422 IDEMPOTENCY_MISMATCH');
    expect(await refusal('bob', 'POST', allocations, { id: body.id, userId: 'bob', items: gpu(1) })).toBe(
      '422 IDEMPOTENCY_MISMATCH',
    );
    await made('bob', 'POST', `${reservations}/${body.id}/release`);
    expect(await reserve({ ...body, items: gpu(2) })).toBe('422 IDEMPOTENCY_MISMATCH');
    for (const ms of [-25 * HOUR_MS, HOUR_MS])
      expect(await reserve({ ...wish(1), id: uuidV7({ msecs: Date.now() + ms }) })).toBe('422 ID_TOO_OLD');
    for (const id of ['1', '123e4567-e89b-42d3-a456-426614174000'])
      expect(await reserve({ ...wish(1), id })).toBe('400 VALIDATION body.id');
  });

  it('times to live: none, more than a day, extended beyond a day', async () => {
    expect(await reserve(wish(1, 'bob', { ttlSeconds: 0 }))).toBe('400 VALIDATION body.ttlSeconds');
    expect(await reserve(wish(1, 'bob', { ttlSeconds: 1.5 }))).toBe('400 VALIDATION body.ttlSeconds');
    expect(await reserve(wish(1, 'bob', { ttlSeconds: 86_401 }))).toBe('422 TTL_TOO_LONG');
    const path = await reserved(1, { ttlSeconds: 86_400 });
    expect(await refusal('bob', 'POST', `${path}/extend`, { ttlSeconds: 86_401 })).toBe('422 TTL_TOO_LONG');
    expect(await refusal('bob', 'POST', `${path}/extend`, { ttlSeconds: -1 })).toBe('400 VALIDATION body.ttlSeconds');
    await made('bob', 'POST', `${path}/release`);
    expect(await refusal('bob', 'POST', `${path}/extend`, { ttlSeconds: 60 })).toBe('409 ALREADY_RELEASED');
  });

  it('a commit after expiry fails, takes anew what is free, or is forced by whoever reports usage', async () => {
    const [one, two] = await Promise.all([expired(), expired()]);
    expect(await refusal('bob', 'POST', `${one}/commit`)).toBe('409 RESERVATION_EXPIRED');
    expect(await refusal('bob', 'POST', `${one}/extend`, { ttlSeconds: 60 })).toBe('409 RESERVATION_EXPIRED');
    expect((await made('bob', 'POST', `${one}/commit`, { onExpired: 'reacquire' })).body).toMatchObject({ late: true });
    const all = await reserved(9_000);
    expect(await refusal('bob', 'POST', `${two}/commit`, { onExpired: 'reacquire' })).toBe('409 QUOTA_EXCEEDED');
    expect(await refusal('bob', 'POST', `${two}/commit`, { onExpired: 'force' })).toBe('403 FORBIDDEN');
    expect((await made('compute', 'POST', `${two}/commit`, { onExpired: 'force' })).body).toMatchObject({ late: true });
    expect(await counted()).toEqual({ used: 2_000, reserved: 9_000 });
    await made('bob', 'POST', `${all}/release`);
    for (const path of [one, two]) await made('bob', 'DELETE', path.replace('reservations', 'allocations'));
    expect(await counted()).toEqual({ used: 0, reserved: 0 });
  });

  it('what is released is released once, and nothing is ever given back that was not taken', async () => {
    const path = await reserved(5);
    expect(await refusal('bob', 'POST', `${path}/commit`, { items: gpu(6) })).toBe('409 EXCEEDS_RESERVED');
    const twice = async (...request: Parameters<InProcessSteward['made']>): Promise<unknown[]> =>
      [await made(...request), await made(...request)].map(({ body }) => (body as { status: unknown }).status);
    expect(await twice('bob', 'POST', `${path}/release`)).toEqual(['released', 'released']);
    expect(await refusal('bob', 'POST', `${path}/commit`)).toBe('409 ALREADY_RELEASED');

    const committed = await reserved(5);
    const allocation = committed.replace('reservations', 'allocations');
    expect(await twice('bob', 'POST', `${committed}/commit`, { items: gpu(3) })).toEqual(['live', 'live']);
    expect(await refusal('bob', 'POST', `${committed}/commit`, { items: gpu(2) })).toBe('409 ALREADY_COMMITTED');
    expect(await refusal('bob', 'POST', `${committed}/release`)).toBe('409 ALREADY_COMMITTED');
    expect(await counted()).toEqual({ used: 3, reserved: 0 });
    expect(await twice('bob', 'DELETE', allocation)).toEqual(['released', 'released']);
    expect(await refusal('bob', 'POST', `${allocation}/resize`, { items: gpu(1) })).toBe('404 ALLOCATION_NOT_FOUND');
    expect(await counted()).toEqual({ used: 0, reserved: 0 });

    const nowhere = `${reservations}/${uuidV7()}`;
    for (const action of ['commit', 'release'])
      expect(await refusal('bob', 'POST', `${nowhere}/${action}`)).toBe('404 RESERVATION_NOT_FOUND');
    expect(await refusal('bob', 'DELETE', `${allocations}/${uuidV7()}`)).toBe('404 ALLOCATION_NOT_FOUND');
  });

  it('limits: unknown, wrong, above the project’s, below usage unless forced', async () => {
    const set = (path: string, body: object, who = 'olga') => refusal(who, 'PUT', path, body);
    expect(await set(limitPath().replace('gpu', 'tpu'), { limit: 1 })).toBe('422 UNKNOWN_RESOURCE');
    for (const limit of [-1, 1.5, '1', null])
      expect(await set(limitPath(), { limit })).toBe('400 VALIDATION body.limit');
    for (const limit of [2 ** 53, 1e300])
      expect(await set(limitPath(), { limit })).toBe('422 AMOUNT_OVERFLOW body.limit');
    expect(await set(limitPath(), { limit: 1, soft: 2 })).toBe('400 VALIDATION body.soft');
    expect(await set(limitPath('nobody'), { limit: 1 })).toBe('422 MEMBER_UNKNOWN');
    const path = await reserved(100);
    expect(await set(limitPath('bob'), { limit: 99 }, 'alice')).toBe('409 QUOTA_BELOW_USAGE');
    expect(await set(limitPath(), { limit: 99 })).toBe('409 QUOTA_BELOW_USAGE');
    const forced = await made('alice', 'PUT', limitPath('bob'), { limit: 99, force: true });
    expect(forced.body).toMatchObject({ belowUsage: true, limit: 99 });
    expect(await reserve(wish(1))).toBe('409 QUOTA_EXCEEDED');
    await made('bob', 'POST', `${path}/release`);
    await made('olga', 'PUT', limitPath(), { limit: 10_000 });
    expect(await set(limitPath('bob'), { limit: 10_001 }, 'alice')).toBe('409 MEMBER_ABOVE_PROJECT');
    expect(await refusal('olga', 'DELETE', '/v1/projects/GOV1/quotas/container-compute/memory')).toBe('404 NOT_SET');
    await made('alice', 'PUT', limitPath('bob'), { limit: 10_000 });
  });

  it('a batch: too many, and what is not offered', async () => {
    const batch = (body: object) => refusal('bob', 'POST', `${reservations}/batch`, body);
    expect(await batch({ reservations: Array.from({ length: 101 }, () => wish(1)) })).toBe(
      '400 VALIDATION body.reservations',
    );
    expect(await batch({ reservations: [] })).toBe('400 VALIDATION body.reservations');
    expect(await batch({ reservations: [wish(1)], linked: true })).toBe('400 VALIDATION body.linked');
    expect(await batch({ reservations: [wish(1), { ...wish(1), userId: '' }] })).toBe(
      '400 VALIDATION body.reservations.1.userId',
    );
    const [one, none] = [wish(1), wish(1, 'bob', { items: [{ ...item, resource: 'tpu' }] })];
    const answer = await made('bob', 'POST', `${reservations}/batch`, { reservations: [one, none], linked: false });
    expect(answer.body).toMatchObject({ results: [{ status: 'done' }, { code: 'UNKNOWN_RESOURCE' }] });
    expect(answer.headers.get('steward-position')).toMatch(/^\d{20}$/);
    const scoped = { scope: 'project', userId: 'bob', service: 'container-compute', resource: 'gpu', limit: 1 };
    const bulk = (items: object[]) => refusal('olga', 'POST', '/v1/projects/GOV1/quotas/bulk', { items });
    expect(await bulk([scoped])).toBe('400 VALIDATION body.items.0.userId');
    expect(await bulk([{ ...scoped, scope: 'member', userId: undefined }])).toBe('400 VALIDATION body.items.0.userId');
    await made('bob', 'POST', `${reservations}/${one.id}/release`);
  });

  it('a project that is frozen, a member without access, suspended, unknown, and one that left', async () => {
    await made('olga', 'POST', '/v1/projects/GOV1/quotas/freeze', { mode: 'hold' });
    expect(await reserve(wish(1))).toBe('423 PROJECT_FROZEN');
    await made('olga', 'POST', '/v1/projects/GOV1/quotas/unfreeze');
    expect(await reserve(wish(1, 'carol'), 'alice')).toBe('403 SERVICE_NOT_GRANTED');
    expect(await reserve(wish(1, 'nobody'), 'compute')).toBe('422 MEMBER_UNKNOWN');
    await made('alice', 'POST', '/v1/projects/GOV1/members/bob/suspend');
    expect(await reserve(wish(1), 'compute')).toBe('403 MEMBER_SUSPENDED');
    await made('alice', 'DELETE', '/v1/projects/GOV1/members/bob?disposition=block');
    expect(await reserve(wish(1), 'compute')).toBe('409 MEMBER_REMOVED');
    expect(await refusal('alice', 'PUT', limitPath('bob'), { limit: 1 })).toBe('409 MEMBER_REMOVED');
    await made('root', 'POST', '/v1/projects/GOV1/close');
    expect(await reserve(wish(1, 'carol'), 'compute')).toBe('409 PROJECT_CLOSED');
  });
});

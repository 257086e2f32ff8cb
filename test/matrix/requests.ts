import { createHash } from 'node:crypto';
import { v7 as uuidV7 } from 'uuid';
import { type ErrorCode, errorCodes } from '#libs/contracts';
import type { Answer } from './http-client.js';
import type { Cell } from './cell.js';
import type { World } from './world.js';

/** How a route is asked so that nothing but a right can refuse it. */
export interface Ask {
  readonly body?: (cell: Cell) => unknown;
  /** Before the request, by the administrator. */
  readonly prepare?: (cell: Cell) => Promise<unknown>;
  /** What stands in the path beside what every path may name. */
  readonly path?: Readonly<Record<string, string>>;
  /** The HTTP status that the answer comes to, where it lies in the body. */
  readonly seen?: (answer: Answer) => number;
  /** Once done, it leaves nothing to be asked by the next: each that may do it has a world of its own. */
  readonly ends?: true;
}

const ITEMS = [{ service: 'container-compute', resource: 'cpu', amount: 1 }];
const LIMIT = { service: 'container-compute', resource: 'cpu' };

const statusOf = (code: string): number =>
  code === 'VALID' ? 200 : code === 'NOT_FOUND' ? 404 : (errorCodes[code as ErrorCode] as { status: number }).status;

/** Of many answers in one: that of the only thing asked for. */
const ofOnly =
  (status: (body: Answer['body']) => number) =>
  ({ status: whole, body }: Answer): number =>
    whole === 200 ? status(body) : whole;

const judged = ofOnly(({ code }: { code: string }) => statusOf(code));

/** A filter that shows nothing has found nothing. */
const shown = ofOnly(({ data }: { data: unknown[] }) => (data.length > 0 ? 200 : 404));

const heirOf = async ({ world, place }: Cell): Promise<string> => world.newMember(place.projectId);

const userOf = ({ place }: Cell) => ({ type: 'user', id: place.userId });

const rotatedOnce = (world: World, keyId: string) =>
  world.once(`${keyId} rotated`, () => world.client.made('POST', `/v1/keys/${keyId}/rotate`));

const reservation = ({ place }: Cell) => ({ id: uuidV7(), userId: place.userId, items: ITEMS, ttlSeconds: 300 });

const allocation = ({ place }: Cell) => ({ id: uuidV7(), userId: place.userId, items: ITEMS });

const digest = (): string => createHash('sha256').update(uuidV7()).digest('hex');

const PROJECT = '/v1/projects/{projectId}';
const TENANT = '/v1/tenants/{tenantId}';
const KEY = '/v1/keys/{keyId}';
const MEMBER = `${PROJECT}/members/{userId}`;
const PRINCIPAL = '/v1/principals/{principalId}';
const OF_RESOURCE = '{service}/{resource}';

const setLimit = (where: string): Ask => ({
  path: LIMIT,
  prepare: (cell) => cell.world.client.made('PUT', cell.filled(where, LIMIT), { limit: 100 }),
});

const limits = Object.fromEntries(
  [
    `${PROJECT}/quotas/${OF_RESOURCE}`,
    `${PROJECT}/member-default-quotas/${OF_RESOURCE}`,
    `${MEMBER}/quotas/${OF_RESOURCE}`,
  ].flatMap((path): [string, Ask][] => [
    [`GET ${path}`, setLimit(path)],
    [`PUT ${path}`, { path: LIMIT, body: () => ({ limit: 1000 }) }],
    [`DELETE ${path}`, { ...setLimit(path), body: () => ({}), ends: true }],
  ]),
);

const policies = Object.fromEntries(
  [`${TENANT}/key-policy`, `${PROJECT}/key-policy`].flatMap((path): [string, Ask][] => {
    const set = { prepare: (cell: Cell) => cell.world.client.made('PUT', cell.filled(path), { warnDays: [7] }) };
    return [
      [`GET ${path}`, set],
      [`PUT ${path}`, { body: () => ({ warnDays: [7, 1] }) }],
      [`DELETE ${path}`, { ...set, ends: true }],
    ];
  }),
);

const nothing: Ask = {};

/**
 * Every route that there is. What stands behind `?` and `#` tells apart what expectations.csv asks of one route in several
 * ways; a `#` is not sent.
 */
export const requests: Readonly<Record<string, Ask>> = {
  'GET /.well-known/steward-keys': nothing,
  'GET /docs': nothing,
  'GET /healthz': nothing,
  'GET /metrics': nothing,
  'GET /openapi.json': nothing,
  'GET /readyz': nothing,
  'GET /v1/whoami': nothing,

  'GET /v1/audit/events': nothing,
  'GET /v1/audit/events?projectId={projectId}': { seen: shown },
  'GET /v1/audit/events?tenantId={tenantId}': { seen: shown },

  'GET /v1/catalogue': nothing,
  [`PUT /v1/catalogue/services/{service}/resources/{resource}`]: {
    path: { service: 'matrix', resource: 'cell' },
    body: () => ({ unit: 'count' }),
  },

  'GET /v1/tenants': nothing,
  'POST /v1/tenants': { body: ({ world }) => ({ id: world.newId('new-tenant'), name: 'New' }) },
  [`GET ${TENANT}`]: nothing,
  [`POST ${TENANT}/suspend`]: { ends: true },
  [`POST ${TENANT}/resume`]: nothing,
  [`POST ${TENANT}/projects`]: { body: ({ world }) => ({ id: world.newId('new-project'), name: 'New' }) },
  [`POST ${TENANT}/users/{userId}/offboard`]: { body: () => ({ disposition: 'orphan' }) },
  ...policies,

  'GET /v1/projects': nothing,
  [`GET ${PROJECT}`]: nothing,
  [`POST ${PROJECT}/close`]: { ends: true },
  [`GET ${PROJECT}/members`]: nothing,
  [`GET ${MEMBER}`]: nothing,
  [`PUT ${MEMBER}`]: { body: () => ({ role: 'tenant_admin', displayName: 'Changed' }) },
  [`DELETE ${MEMBER}`]: nothing,
  [`POST ${MEMBER}/suspend`]: nothing,
  [`POST ${MEMBER}/resume`]: nothing,
  [`PUT ${MEMBER}/services/{service}`]: { path: { service: 'virtual-compute' } },
  [`DELETE ${MEMBER}/services/{service}`]: {
    path: { service: 'container-compute' },
    prepare: ({ world, place }) => world.mayUseServices(place.projectId, place.userId),
  },

  'GET /v1/principals': nothing,
  [`GET ${PRINCIPAL}`]: nothing,
  [`PUT ${PRINCIPAL}`]: { body: ({ place }) => ({ type: 'service', role: 'service', tenantId: place.tenantId }) },
  [`DELETE ${PRINCIPAL}`]: { ends: true },
  [`POST ${PRINCIPAL}/keys`]: { body: () => ({ ttlDays: 30 }) },

  [`POST ${PROJECT}/keys`]: { body: (cell) => ({ ttlDays: 30, ...(cell.isOwn ? {} : { owner: userOf(cell) }) }) },
  [`GET ${PROJECT}/keys`]: nothing,
  'GET /v1/keys': nothing,
  'GET /v1/keys?projectId={projectId}': { prepare: (cell) => cell.key(), seen: shown },
  [`GET ${KEY}`]: nothing,
  [`GET ${KEY}/history`]: nothing,
  [`GET ${KEY}/usage`]: nothing,
  [`GET ${PROJECT}/key-usage`]: nothing,
  'GET /v1/key-usage': nothing,
  'GET /v1/key-usage?tenantId={tenantId}': nothing,
  [`PATCH ${KEY}`]: { body: () => ({ name: 'renamed' }) },
  [`POST ${KEY}/extend`]: { body: () => ({ days: 1 }) },
  [`POST ${KEY}/rotate`]: { body: () => ({ overlapSeconds: 60 }) },
  [`POST ${KEY}/retire-secret`]: {
    prepare: async (cell) => rotatedOnce(cell.world, (await cell.key()).id),
    body: () => ({ version: 1 }),
  },
  [`POST ${KEY}/disable`]: nothing,
  [`POST ${KEY}/enable`]: nothing,
  [`POST ${KEY}/revoke`]: { body: () => ({ reason: 'unused' }) },
  [`POST ${KEY}/transfer`]: { body: async (cell) => ({ owner: { type: 'user', id: await heirOf(cell) } }) },
  [`DELETE ${KEY}`]: nothing,
  'POST /v1/keys/bulk': {
    body: async (cell) => ({ action: 'disable', ids: [(await cell.key()).id] }),
    seen: ofOnly(({ results: [only] }: { results: { status: number }[] }) => only?.status ?? 0),
  },
  'POST /v1/keys/import': {
    body: (cell) =>
      JSON.stringify({
        projectId: cell.place.projectId,
        digest: digest(),
        owner: userOf(cell),
        expiresAt: '2090-01-01T00:00:00.000Z',
      }),
    seen: ofOnly(({ failed: [only] }: { failed: { code: string }[] }) =>
      only === undefined ? 200 : statusOf(only.code),
    ),
  },
  'POST /v1/keys/lookup': { body: async (cell) => ({ token: (await cell.key()).secret }) },
  'POST /v1/keys/verify': { body: async (cell) => ({ token: (await cell.key()).secret }), seen: judged },
  'POST /v1/keys/verify-batch': {
    body: async (cell) => ({ requests: [{ token: (await cell.key()).secret }] }),
    seen: ofOnly(({ results: [only] }: { results: { code: string }[] }) => statusOf(only?.code ?? '')),
  },

  [`GET ${PROJECT}/quotas`]: nothing,
  [`GET ${PROJECT}/quotas/me`]: nothing,
  ...limits,
  [`POST ${PROJECT}/quotas/bulk`]: {
    body: ({ place: { userId } }) => ({ items: [{ userId, ...LIMIT, limit: 7 }] }),
  },
  [`POST ${PROJECT}/quotas/bulk#of-the-project`]: { body: () => ({ items: [{ ...LIMIT, limit: 7 }] }) },
  [`GET ${PROJECT}/usage-history`]: nothing,
  [`GET ${PROJECT}/usage-history?userId={userId}`]: nothing,
  [`GET ${PROJECT}/quota-changes`]: nothing,
  [`GET ${PROJECT}/quota-policy`]: nothing,
  [`PUT ${PROJECT}/quota-policy`]: { body: () => ({ overcommit: 'shared' }) },
  [`POST ${PROJECT}/quotas/freeze`]: { body: () => ({ mode: 'drain' }) },
  [`POST ${PROJECT}/quotas/unfreeze`]: nothing,

  [`GET ${PROJECT}/reservations`]: nothing,
  [`GET ${PROJECT}/reservations/{id}`]: nothing,
  [`POST ${PROJECT}/reservations`]: { prepare: (cell) => cell.mayUseServices(), body: reservation },
  [`POST ${PROJECT}/reservations#by-force`]: {
    prepare: (cell) => cell.mayUseServices(),
    body: (cell) => ({ ...reservation(cell), mode: 'FORCE' }),
  },
  [`POST ${PROJECT}/reservations/batch`]: {
    prepare: (cell) => cell.mayUseServices(),
    body: (cell) => ({ reservations: [reservation(cell)] }),
    seen: ofOnly(({ results: [only] }: { results: { code?: string }[] }) =>
      only?.code === undefined ? 200 : statusOf(only.code),
    ),
  },
  [`POST ${PROJECT}/reservations/{id}/commit`]: { body: () => ({}) },
  [`POST ${PROJECT}/reservations/{id}/release`]: nothing,
  [`POST ${PROJECT}/reservations/{id}/extend`]: { body: () => ({ ttlSeconds: 600 }) },
  [`POST ${PROJECT}/reconcile`]: {
    body: ({ world }) =>
      JSON.stringify({ source: world.newId('meter'), observedAt: new Date().toISOString(), sequence: 1 }),
  },
  [`GET ${PROJECT}/allocations`]: nothing,
  [`POST ${PROJECT}/allocations`]: { prepare: (cell) => cell.mayUseServices(), body: allocation },
  [`POST ${PROJECT}/allocations#by-force`]: {
    prepare: (cell) => cell.mayUseServices(),
    body: (cell) => ({ ...allocation(cell), mode: 'FORCE' }),
  },
  [`POST ${PROJECT}/allocations/{id}/resize`]: { body: () => ({ items: [{ ...ITEMS[0], amount: 2 }] }) },
  [`DELETE ${PROJECT}/allocations/{id}`]: nothing,
  [`DELETE ${PROJECT}/allocations?resourceRef={resourceRef}`]: nothing,
};

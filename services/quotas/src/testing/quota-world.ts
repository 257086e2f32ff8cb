import { v7 as uuidV7 } from 'uuid';

/** What the world needs of a running Steward, however it runs. */
interface Steward {
  readonly tokens: Record<string, string>;
  readonly made: (who: string, method: string, path: string, body?: unknown) => Promise<{ readonly body: unknown }>;
}

export const GPU = 'container-compute/gpu';
export const gpu = (amount: number) => [{ service: 'container-compute', resource: 'gpu', amount }];

export const limitPath = (userId?: string): string =>
  `/v1/projects/GOV1/${userId === undefined ? '' : `members/${userId}/`}quotas/${GPU}`;

export const reservations = '/v1/projects/GOV1/reservations';

/** The body of a reservation of GPU, of bob unless told. */
export const wish = (amount: number, userId = 'bob', more: object = {}) => ({
  id: uuidV7(),
  userId,
  items: gpu(amount),
  ttlSeconds: 600,
  ...more,
});

/**
 * The tenants `acme` (project GOV1: the admin alice, the users bob and carol; bob may use container-compute) and `other`
 * (project X1, the admin eve), acme's owner olga, the service compute and the auditor ada, each with a key of their own.
 */
export async function aQuotaWorld({ made, tokens }: Steward): Promise<void> {
  const secretOf = async (path: string, body: object): Promise<string> =>
    ((await made('root', 'POST', path, body)).body as { secret: string }).secret;
  await made('root', 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
  await made('root', 'POST', '/v1/tenants', { id: 'other', name: 'Other' });
  await made('root', 'POST', '/v1/tenants/acme/projects', { id: 'GOV1', name: 'Weather' });
  await made('root', 'POST', '/v1/tenants/other/projects', { id: 'X1', name: 'X1' });
  await made('root', 'PUT', '/v1/projects/GOV1/members/alice', { role: 'tenant_admin', displayName: 'Alice' });
  for (const id of ['bob', 'carol'])
    await made('root', 'PUT', `/v1/projects/GOV1/members/${id}`, { role: 'tenant_user' });
  await made('root', 'PUT', '/v1/projects/X1/members/eve', { role: 'tenant_admin' });
  for (const [id, projectId] of [
    ['alice', 'GOV1'],
    ['bob', 'GOV1'],
    ['carol', 'GOV1'],
    ['eve', 'X1'],
  ] as const)
    tokens[id] = await secretOf(`/v1/projects/${projectId}/keys`, { owner: { type: 'user', id } });
  const principals = {
    olga: { type: 'user', role: 'tenant_owner', tenantId: 'acme' },
    compute: { type: 'service', role: 'service' },
    ada: { type: 'user', role: 'auditor', tenantId: 'acme' },
  };
  for (const [id, body] of Object.entries(principals)) {
    await made('root', 'PUT', `/v1/principals/${id}`, body);
    tokens[id] = await secretOf(`/v1/principals/${id}/keys`, {});
  }
  await made('alice', 'PUT', '/v1/projects/GOV1/members/bob/services/container-compute');
}

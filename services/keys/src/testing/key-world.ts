import type { KeyView } from '../keys.views.js';

export interface Created {
  readonly key: KeyView;
  readonly secret: string;
}

interface Answer {
  readonly body: unknown;
}

/** What the world needs of a running Steward, however it runs. */
interface Steward {
  readonly tokens: Record<string, string>;
  readonly made: (who: string, method: string, path: string, body?: unknown) => Promise<Answer>;
}

export interface KeyWorld {
  create(who: string, body?: Record<string, unknown>, projectId?: string): Promise<Created>;
  verify(token: string): Promise<string>;
}

export const user = (id: string) => ({ type: 'user', id });

/**
 * The tenants `acme` (projects GOV1, GOV2; the admin alice and the user bob in GOV1) and `other` (project X1, the admin
 * eve), and a key of each person that may manage keys.
 */
export async function aKeyWorld(steward: Steward): Promise<KeyWorld> {
  const { made, tokens } = steward;
  const create = async (who: string, body: Record<string, unknown> = {}, projectId = 'GOV1'): Promise<Created> =>
    (await made(who, 'POST', `/v1/projects/${projectId}/keys`, body)).body as Created;
  const verify = async (token: string): Promise<string> =>
    ((await made('root', 'POST', '/v1/keys/verify', { token })).body as { code: string }).code;

  await made('root', 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
  for (const id of ['GOV1', 'GOV2']) await made('root', 'POST', '/v1/tenants/acme/projects', { id, name: id });
  await made('root', 'POST', '/v1/tenants', { id: 'other', name: 'Other' });
  await made('root', 'POST', '/v1/tenants/other/projects', { id: 'X1', name: 'X1' });
  await made('root', 'PUT', '/v1/projects/GOV1/members/alice', { role: 'tenant_admin' });
  await made('root', 'PUT', '/v1/projects/GOV1/members/bob', { role: 'tenant_user' });
  await made('root', 'PUT', '/v1/projects/X1/members/eve', { role: 'tenant_admin' });
  for (const id of ['alice', 'bob'])
    tokens[id] = (await create('root', { owner: user(id), canManageKeys: true })).secret;
  tokens['eve'] = (await create('root', { owner: user('eve'), canManageKeys: true }, 'X1')).secret;
  return { create, verify };
}

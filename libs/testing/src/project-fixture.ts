import type { StewardProcess } from './steward-process.js';

export interface CreatedKey {
  readonly key: {
    readonly id: string;
    readonly expiresAt: string | null;
    readonly status: string;
    readonly version: number;
  };
  readonly secret: string;
}

/** A tenant `acme` with the project `GOV112345`, the tenant admin `alice` and the tenant user `bob`. */
export async function aProject(steward: StewardProcess): Promise<void> {
  const calls: [string, string, unknown][] = [
    ['POST', '/v1/tenants', { id: 'acme', name: 'Acme' }],
    ['POST', '/v1/tenants/acme/projects', { id: 'GOV112345', name: 'Weather' }],
    ['PUT', '/v1/projects/GOV112345/members/alice', { role: 'tenant_admin', displayName: 'Alice' }],
    ['PUT', '/v1/projects/GOV112345/members/bob', { role: 'tenant_user' }],
  ];
  for (const [method, path, body] of calls) {
    const { status, body: answer } = await steward.call(method, path, { body });
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`);
  }
}

/** A key of `alice` unless the body names another owner. */
export async function aKey(steward: StewardProcess, body: Record<string, unknown> = {}): Promise<CreatedKey> {
  const { status, body: answer } = await steward.call<CreatedKey>('POST', '/v1/projects/GOV112345/keys', {
    body: { owner: { type: 'user', id: 'alice' }, ...body },
  });
  if (status !== 201) throw new Error(`No key: ${status} ${JSON.stringify(answer)}`);
  return answer;
}

export interface Verified {
  readonly valid: boolean;
  readonly code: string;
  readonly [field: string]: unknown;
}

export async function verify(
  steward: StewardProcess,
  token: string,
  request: Record<string, unknown> = {},
): Promise<Verified> {
  const { status, body } = await steward.call<Verified>('POST', '/v1/keys/verify', { body: { token, ...request } });
  if (status !== 200) throw new Error(`Verify answered ${status}: ${JSON.stringify(body)}`);
  return body;
}

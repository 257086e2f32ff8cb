import { setTimeout as sleep } from 'node:timers/promises';
import { aKey, aProject, StewardProcess, verify } from '#libs/testing';

describe('every code of verify is reached over HTTP', () => {
  let steward: StewardProcess;
  beforeAll(async () => {
    steward = await StewardProcess.start();
    await aProject(steward);
  });
  afterAll(async () => {
    await steward.stop();
  });

  const change = async (method: string, path: string, body?: unknown): Promise<void> => {
    const answer = await steward.call(method, path, body === undefined ? {} : { body });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  };

  it('VALID', async () => {
    const { secret, key } = await aKey(steward, { labels: { team: 'ingest' } });
    expect(await verify(steward, secret)).toMatchObject({
      valid: true,
      keyId: key.id,
      tenantId: 'acme',
      projectId: 'GOV112345',
      owner: { type: 'user', id: 'alice', role: 'tenant_admin' },
      labels: { team: 'ingest' },
    });
  });

  it('MALFORMED for a typing error, and nothing else is told', async () => {
    const { secret } = await aKey(steward);
    const typo = secret.slice(0, 30) + (secret[30] === 'a' ? 'b' : 'a') + secret.slice(31);
    const answer = await verify(steward, typo);
    expect(answer).toMatchObject({ valid: false, code: 'MALFORMED' });
    expect(answer['keyId']).toBeUndefined();
  });

  it('NOT_FOUND for a token nobody knows, for an unknown foreign token and for a deleted key', async () => {
    expect((await verify(steward, 'some-other-systems-token')).code).toBe('NOT_FOUND');
    const { secret, key } = await aKey(steward);
    await change('DELETE', `/v1/keys/${key.id}`);
    const answer = await verify(steward, secret);
    expect(answer).toMatchObject({ valid: false, code: 'NOT_FOUND' });
    expect(answer['keyId']).toBeUndefined();
  });

  it('REVOKED', async () => {
    const { secret, key } = await aKey(steward);
    await change('POST', `/v1/keys/${key.id}/revoke`, { reason: 'compromised' });
    expect((await verify(steward, secret)).code).toBe('REVOKED');
  });

  it('DISABLED, and VALID again once enabled', async () => {
    const { secret, key } = await aKey(steward);
    await change('POST', `/v1/keys/${key.id}/disable`);
    expect((await verify(steward, secret)).code).toBe('DISABLED');
    await change('POST', `/v1/keys/${key.id}/enable`);
    expect((await verify(steward, secret)).code).toBe('VALID');
  });

  it('NOT_YET_VALID', async () => {
    const { secret } = await aKey(steward, { notBefore: '2099-01-01T00:00:00.000Z' });
    expect((await verify(steward, secret)).code).toBe('NOT_YET_VALID');
  });

  it('EXPIRED from the true instant on', async () => {
    const expiresAt = new Date(Date.now() + 61_500).toISOString();
    const { secret } = await aKey(steward, { expiresAt });
    expect((await verify(steward, secret)).code).toBe('VALID');
    await sleep(Date.parse(expiresAt) - Date.now() + 200);
    expect((await verify(steward, secret)).code).toBe('EXPIRED');
  }, 90_000);

  it('OWNER_INACTIVE while the owner is suspended', async () => {
    const { secret } = await aKey(steward, { owner: { type: 'user', id: 'bob' } });
    await change('POST', '/v1/projects/GOV112345/members/bob/suspend');
    expect((await verify(steward, secret)).code).toBe('OWNER_INACTIVE');
    await change('POST', '/v1/projects/GOV112345/members/bob/resume');
    expect((await verify(steward, secret)).code).toBe('VALID');
  });

  it('TENANT_SUSPENDED while the tenant is suspended', async () => {
    const { secret } = await aKey(steward);
    await change('POST', '/v1/tenants/acme/suspend');
    expect((await verify(steward, secret)).code).toBe('TENANT_SUSPENDED');
    await change('POST', '/v1/tenants/acme/resume');
    expect((await verify(steward, secret)).code).toBe('VALID');
  });

  it('WRONG_ENVIRONMENT and WRONG_AUDIENCE', async () => {
    const { secret } = await aKey(steward, { environment: 'test', audiences: ['container-compute'] });
    expect((await verify(steward, secret, { environment: 'live' })).code).toBe('WRONG_ENVIRONMENT');
    expect((await verify(steward, secret, { environment: 'test', audience: 'storage' })).code).toBe('WRONG_AUDIENCE');
    expect((await verify(steward, secret, { environment: 'test', audience: 'container-compute' })).code).toBe('VALID');
  });

  it('IP_NOT_ALLOWED outside the list and without an address', async () => {
    const { secret } = await aKey(steward, { ipAllow: ['192.0.2.0/24'] });
    expect((await verify(steward, secret, { clientIp: '198.51.100.1' })).code).toBe('IP_NOT_ALLOWED');
    expect((await verify(steward, secret)).code).toBe('IP_NOT_ALLOWED');
    expect((await verify(steward, secret, { clientIp: '192.0.2.9' })).code).toBe('VALID');
  });

  it('INSUFFICIENT_SCOPE names what is missing', async () => {
    const { secret } = await aKey(steward, { scopes: ['compute:read'] });
    expect(await verify(steward, secret, { scopes: ['compute:read', 'compute:write'] })).toMatchObject({
      code: 'INSUFFICIENT_SCOPE',
      missing: ['compute:write'],
    });
  });

  it('POLICY_VIOLATION once a policy asks for what the key lacks', async () => {
    const { secret } = await aKey(steward);
    await change('PUT', '/v1/projects/GOV112345/key-policy', { requireExpiry: true });
    expect((await verify(steward, secret)).code).toBe('POLICY_VIOLATION');
    await change('DELETE', '/v1/projects/GOV112345/key-policy');
    expect((await verify(steward, secret)).code).toBe('VALID');
  });
});

import { aKey, aProject, StewardProcess } from '#libs/testing';

describe('a policy that forbids', () => {
  let steward: StewardProcess;
  beforeAll(async () => {
    steward = await StewardProcess.start();
    await aProject(steward);
    await steward.call('PUT', '/v1/tenants/acme/key-policy', { body: { maxLifetimeDays: 90, requireExpiry: true } });
    const answer = await steward.call('PUT', '/v1/projects/GOV112345/key-policy', {
      body: { maxLifetimeDays: 30, allowedScopes: ['compute:*'], maxKeysPerOwner: 2, maxExtensionDays: 7 },
    });
    expect(answer.status).toBe(200);
  });
  afterAll(async () => {
    await steward.stop();
  });

  const refusal = async (body: Record<string, unknown>): Promise<unknown> => {
    const answer = await steward.call('POST', '/v1/projects/GOV112345/keys', {
      body: { owner: { type: 'user', id: 'alice' }, ...body },
    });
    return [answer.status, answer.body['code']];
  };

  it('refuses a life beyond the strictest of tenant and project', async () => {
    expect(await refusal({ ttlDays: 60, scopes: ['compute:read'] })).toEqual([422, 'POLICY_MAX_LIFETIME']);
  });

  it('refuses a key without expiry where one is required', async () => {
    expect(await refusal({ scopes: ['compute:read'] })).toEqual([422, 'POLICY_EXPIRY_REQUIRED']);
  });

  it('refuses a scope outside the allowed ones', async () => {
    expect(await refusal({ ttlDays: 10, scopes: ['storage:read'] })).toEqual([422, 'POLICY_SCOPE_FORBIDDEN']);
  });

  it('refuses a longer extension, and a third key of an owner', async () => {
    const { key } = await aKey(steward, { ttlDays: 10, scopes: ['compute:read'] });
    const extension = await steward.call('POST', `/v1/keys/${key.id}/extend`, { body: { days: 8 } });
    expect([extension.status, extension.body['code']]).toEqual([422, 'POLICY_MAX_EXTENSION']);
    await aKey(steward, { ttlDays: 10, scopes: ['compute:read'] });
    expect(await refusal({ ttlDays: 10, scopes: ['compute:read'] })).toEqual([422, 'POLICY_MAX_KEYS']);
  });
});

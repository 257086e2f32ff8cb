import { setTimeout as sleep } from 'node:timers/promises';
import { status as rpcCode } from '@grpc/grpc-js';
import { StewardProcess } from '#libs/testing';
import { type Called, type Message, ReflectedClient } from './reflected-client.js';

const DAY_MS = 86_400_000;

/** On the wire a map is a list of entries, and so it is to a client that has it from reflection. */
const entriesOf = (map: Record<string, string>): Message[] =>
  Object.entries(map).map(([key, value]) => ({ key, value }));

describe('the life of a key over gRPC alone', () => {
  let steward: StewardProcess;
  let client: ReflectedClient;
  beforeAll(async () => {
    steward = await StewardProcess.start();
    client = await ReflectedClient.of(steward);
    await ok('TenancyService', 'createTenant', { id: 'acme', name: 'Acme' });
    await ok('TenancyService', 'createProject', { tenant_id: 'acme', id: 'GOV1', name: 'Weather' });
    await ok('TenancyService', 'putMember', { project_id: 'GOV1', user_id: 'alice', role: 'tenant_user' });
  });
  afterAll(async () => {
    client.close();
    await steward.stop();
  });

  async function ok(
    service: string,
    method: string,
    request: Message,
    headers: Record<string, string> = {},
  ): Promise<Called> {
    const called = await client.call(service, method, request, headers);
    if (called.code !== 0)
      throw new Error(`${service}.${method}: ${rpcCode[called.code] ?? ''} ${JSON.stringify(called.details)}`);
    return called;
  }
  const keys = async (method: string, request: Message, headers: Record<string, string> = {}): Promise<Message> =>
    (await ok('KeyService', method, request, headers)).answer;
  const create = async (fields: Message = {}): Promise<{ keyId: string; secret: string; key: Message }> => {
    const owner = { type: 'user', id: 'alice' };
    const { key, secret } = await keys('createKey', { project_id: 'GOV1', owner, ...fields });
    return { keyId: (key as { id: string }).id, secret: secret as string, key: key as Message };
  };
  const codeOf = async (token: unknown): Promise<unknown> =>
    (await ok('VerifierService', 'verify', { token })).answer['code'];
  const reasonOf = ({ details }: Called): unknown => details['ErrorInfo']?.['reason'];

  it('reflection lists every service, and health says that all of them serve', async () => {
    expect(client.services).toEqual(
      expect.arrayContaining(['steward.v1.KeyService', 'steward.v1.TenancyService', 'steward.v1.VerifierService']),
    );
    for (const service of ['', ...client.services])
      expect({ service, ...(await client.health(service)) }).toEqual({ service, status: 'SERVING' });
  });

  it('goes from creation over extension, rotation, disabling and revocation to deletion', async () => {
    const { keyId, secret, key } = await create({ name: 'night batch', ttl_days: 30 });
    expect(secret).toMatch(/^stw_live_[0-9A-Za-z]{16}_[0-9A-Za-z]{38}$/);
    expect(key).toMatchObject({ name: 'night batch', project_id: 'GOV1', status: 'active', version: 1 });
    expect(await codeOf(secret)).toBe('VALID');

    const extended = await keys('extendKey', { key_id: keyId, days: 30 });
    expect(Date.parse(extended['expires_at'] as string) - Date.parse(key['expires_at'] as string)).toBe(30 * DAY_MS);

    const rotated = await keys('rotateKey', { key_id: keyId, overlap_seconds: 3_600 });
    expect(rotated).toMatchObject({ key: { id: keyId, secret_versions: [{ version: 1 }, { version: 2 }] } });
    expect(rotated['key']).toMatchObject({ secret_versions: [{ retires_at: rotated['retires_at'] }, {}] });
    const newer = rotated['secret'];
    expect([await codeOf(secret), await codeOf(newer)]).toEqual(['VALID', 'VALID']);

    await keys('retireSecret', { key_id: keyId, version: 1 });
    expect([await codeOf(secret), await codeOf(newer)]).toEqual(['NOT_FOUND', 'VALID']);

    expect(await keys('disableKey', { key_id: keyId })).toMatchObject({ status: 'disabled' });
    expect(await codeOf(newer)).toBe('DISABLED');
    expect(await keys('enableKey', { key_id: keyId })).toMatchObject({ status: 'active' });
    expect(await codeOf(newer)).toBe('VALID');
    expect(await keys('lookupKey', { token: newer })).toMatchObject({ id: keyId });

    const revoked = await ok('KeyService', 'revokeKey', {
      key_id: keyId,
      reason: 'compromised',
      comment: 'found in a log',
    });
    expect(revoked.answer).toMatchObject({ status: 'revoked' });
    expect(await codeOf(newer)).toBe('REVOKED');
    const [position] = revoked.trailers.get('steward-position');
    const listed = await keys('listKeys', { project_id: 'GOV1', status: ['revoked'], min_position: position });
    expect(listed).toMatchObject({ data: [{ id: keyId, status: 'revoked' }], page: { has_more: false } });

    expect(await keys('deleteKey', { key_id: keyId })).toMatchObject({ status: 'deleted' });
    expect(await codeOf(newer)).toBe('NOT_FOUND');
    const gone = await client.call('KeyService', 'getKey', { key_id: keyId });
    expect([gone.code, reasonOf(gone)]).toEqual([rpcCode.NOT_FOUND, 'NOT_FOUND']);

    const { data } = await keys('getKeyHistory', { key_id: keyId });
    expect((data as { type: string }[]).map(({ type }) => type)).toEqual([
      'KeyCreated',
      'KeyExtended',
      'KeyRotated',
      'KeySecretRetired',
      'KeyDisabled',
      'KeyEnabled',
      'KeyRevoked',
      'KeyDeleted',
    ]);
    const told = (data as { data_json: string }[]).map((event) => JSON.parse(event.data_json) as Message);
    expect(told[6]).toMatchObject({ reason: 'compromised' });
  });

  it('tells how often a key was verified, by the same rights and errors as HTTP', async () => {
    const { keyId, secret } = await create();
    const { answer: batch } = await ok('VerifierService', 'verifyBatch', {
      requests: [{ token: secret }, { token: secret }],
    });
    expect(batch['results']).toHaveLength(2);
    const deadline = performance.now() + 20_000;
    let usage = await keys('getKeyUsage', { key_id: keyId, step: 'day' });
    while (usage['buckets'] === undefined || (usage['buckets'] as unknown[]).length === 0) {
      if (performance.now() > deadline) throw new Error('The counts were not written.');
      await sleep(100);
      usage = await keys('getKeyUsage', { key_id: keyId, step: 'day' });
    }
    const codes = [{ code: 'VALID', verifications: 2 }];
    expect(usage).toMatchObject({ key_id: keyId, step: 'day', buckets: [{ verifications: 2, codes }] });
    expect(usage).toMatchObject({ last_used_at: expect.any(String) as string, services: [{ verifications: 2 }] });
    expect(await keys('getProjectKeyUsage', { project_id: 'GOV1', top: 1 })).toMatchObject({ project_id: 'GOV1' });
    expect(await keys('getAllKeyUsage', { tenant_id: 'acme', step: 'minute' })).toMatchObject({ tenant_id: 'acme' });
    const wrong = await client.call('KeyService', 'getProjectKeyUsage', { project_id: 'GOV1', step: 'week' });
    expect([wrong.code, reasonOf(wrong)]).toEqual([rpcCode.INVALID_ARGUMENT, 'VALIDATION']);
  });

  it('changes only what the mask names, and clears what it names and does not give', async () => {
    const { keyId } = await create({
      name: 'before',
      description: 'stays',
      scopes: { values: ['storage:read'] },
      ip_allow: ['192.0.2.0/24'],
      labels: entriesOf({ team: 'ingest' }),
      metadata_json: '{"n":1.5}',
    });
    const none = await keys('updateKey', { key_id: keyId, update_mask: ['name', 'scopes'], name: 'after', scopes: {} });
    expect(none).toMatchObject({
      name: 'after',
      description: 'stays',
      metadata_json: '{"n":1.5}',
      labels: entriesOf({ team: 'ingest' }),
    });
    expect(none).toMatchObject({ scopes: {}, ip_allow: ['192.0.2.0/24'] });

    const update_mask = ['name', 'scopes', 'ip_allow', 'labels', 'metadata_json'];
    const cleared = await keys('updateKey', { key_id: keyId, update_mask, metadata_json: '{"m":null}' });
    expect(cleared).toMatchObject({ description: 'stays', metadata_json: '{"m":null}' });
    for (const name of ['name', 'scopes', 'ip_allow', 'labels']) expect(cleared[name]).toBeUndefined();

    const unnamed = await client.call('KeyService', 'updateKey', { key_id: keyId, description: 'x' });
    expect(unnamed.code).toBe(rpcCode.INVALID_ARGUMENT);
    expect(unnamed.details['BadRequest']).toMatchObject({ fieldViolations: [{ field: 'description' }] });
  });

  it('answers a repeated request as it was done, without the secret', async () => {
    const request = { project_id: 'GOV1', owner: { type: 'user', id: 'alice' }, name: 'once' };
    const headers = { 'idempotency-key': 'create-once' };
    const first = await keys('createKey', request, headers);
    const again = await keys('createKey', request, headers);
    expect(again['key']).toEqual(first['key']);
    expect(again['secret']).toBeUndefined();
    expect(again['code']).toBe('SECRET_ALREADY_RETURNED');
    const other = await client.call('KeyService', 'createKey', { ...request, name: 'twice' }, headers);
    expect(reasonOf(other)).toBe('IDEMPOTENCY_MISMATCH');
  });

  it('takes If-Match and gives the ETag', async () => {
    const { keyId } = await create();
    const disabled = await ok('KeyService', 'disableKey', { key_id: keyId }, { 'if-match': '"1"' });
    expect(disabled.trailers.get('etag')).toEqual(['"2"']);
    const stale = await client.call('KeyService', 'enableKey', { key_id: keyId }, { 'if-match': '"1"' });
    expect(stale.code).toBe(rpcCode.ABORTED);
    expect(reasonOf(stale)).toBe('VERSION_CONFLICT');
  });

  it('names in every refusal its reason, the request and each field at fault', async () => {
    const refused = await client.call('KeyService', 'createKey', {
      project_id: 'GOV1',
      scopes: { values: ['storage:read', 'No Scope'] },
      audiences: ['a b'],
      ttl_days: 0,
    });
    expect(refused.code).toBe(rpcCode.INVALID_ARGUMENT);
    expect(refused.details).toMatchObject({
      ErrorInfo: { reason: 'VALIDATION', domain: 'steward' },
      RequestInfo: { requestId: refused.trailers.get('steward-request-id')[0] },
    });
    const { fieldViolations } = refused.details['BadRequest'] as { fieldViolations: { field: string }[] };
    expect(fieldViolations.map(({ field }) => field).sort()).toEqual(['audiences.0', 'scopes.1', 'ttlDays']);

    const wrong: [Message, string][] = [
      [{ labels: entriesOf({ constructor: 'x' }) }, 'labels.constructor'],
      [{ metadata_json: '{"a":1,"a":2}' }, 'metadataJson.a'],
      [{ metadata_json: '[]' }, 'metadata'],
      [{ metadata_json: '{' }, 'metadataJson'],
      [{ name: 'a\0b' }, 'name'],
      [{ expires_at: 'tomorrow' }, 'expiresAt'],
      [{ key_id: 'key_0000000000000000' }, 'secretDigest'],
    ];
    for (const [fields, field] of wrong) {
      const { code, details } = await client.call('KeyService', 'createKey', { project_id: 'GOV1', ...fields });
      expect([field, code]).toEqual([field, rpcCode.INVALID_ARGUMENT]);
      expect(details['BadRequest']).toMatchObject({ fieldViolations: [{ field }] });
    }
  });

  it('lets nobody do over gRPC what the policy forbids', async () => {
    const { keyId: foreign } = await create({ owner: { type: 'user', id: 'alice' } });
    await ok('TenancyService', 'putMember', { project_id: 'GOV1', user_id: 'bob', role: 'tenant_user' });
    const { secret } = await create({ owner: { type: 'user', id: 'bob' }, can_manage_keys: true });
    const asBob = { authorization: `Bearer ${secret}` };
    const own = await keys('createKey', { project_id: 'GOV1' }, asBob);
    expect(own['key']).toMatchObject({ owner: { type: 'user', id: 'bob' } });
    const owner = { type: 'user', id: 'alice' };
    const refused: Record<string, Message> = {
      createKey: { project_id: 'GOV1', owner },
      transferKey: { key_id: (own['key'] as { id: string }).id, owner },
      disableKey: { key_id: foreign },
      createPrincipalKey: { principal_id: 'bootstrap-admin' },
    };
    const codes: Record<string, unknown> = {};
    for (const [method, request] of Object.entries(refused))
      codes[method] = rpcCode[(await client.call('KeyService', method, request, asBob)).code];
    expect(codes).toEqual({
      createKey: 'PERMISSION_DENIED',
      transferKey: 'PERMISSION_DENIED',
      disableKey: 'PERMISSION_DENIED',
      createPrincipalKey: 'NOT_FOUND',
    });
    const { data } = await keys('listKeys', {}, asBob);
    expect((data as { owner: { id: string } }[]).every((key) => key.owner.id === 'bob')).toBe(true);
  });

  it('makes keys of principals, gives keys away and changes many at once', async () => {
    await ok('TenancyService', 'putPrincipal', { principal_id: 'ci', type: 'service', role: 'service' });
    const ofCi = await keys('createPrincipalKey', { principal_id: 'ci', never_expires: true });
    expect(ofCi['key']).toMatchObject({ owner: { type: 'service', id: 'ci' } });
    expect((ofCi['key'] as Message)['project_id']).toBeUndefined();

    await ok('TenancyService', 'putMember', { project_id: 'GOV1', user_id: 'carol', role: 'tenant_user' });
    const one = await create();
    const other = await create();
    const given = await keys('transferKey', { key_id: one.keyId, owner: { type: 'user', id: 'carol' } });
    expect(given).toMatchObject({ owner: { type: 'user', id: 'carol' } });

    const ids = [one.keyId, other.keyId, 'key_0000000000000000'];
    const dry = await keys('bulkChangeKeys', { action: 'delete', ids, dry_run: true });
    expect(dry).toMatchObject({ results: [{ status: 200 }, { status: 200 }, { status: 404, code: 'NOT_FOUND' }] });
    expect(await codeOf(other.secret)).toBe('VALID');
    const done = await keys('bulkChangeKeys', { action: 'revoke', reason: 'unused', ids });
    expect(done).toMatchObject({ results: [{ key: { status: 'revoked' } }, { status: 200 }, { status: 404 }] });
    expect(await codeOf(other.secret)).toBe('REVOKED');
  });
});

import { Refusal } from '#libs/eventsourcing';
import { type Principal, readFields } from '#libs/platform';
import { digestFrom } from './key-import.js';
import {
  bulkWishOf,
  clientMadeOf,
  editsOf,
  extensionOf,
  newOwnerOf,
  ownerOf,
  selectionOf,
  wishOf,
} from './key-wish.js';
import {
  BulkKeysBody,
  CreateKeyBody,
  ExtendKeyBody,
  ListKeysQuery,
  TransferKeyBody,
  UpdateKeyBody,
} from './keys.dto.js';

const alice: Principal = { type: 'user', id: 'alice', via: 'oidc:x', tenantId: null, grants: [], key: null };

const placeOf = (action: () => unknown): string | undefined => {
  try {
    action();
  } catch (error) {
    return (error as Refusal).extra.errors?.[0]?.location;
  }
  return undefined;
};

describe('the wish for a new key', () => {
  it('has defaults, and one form for each range', () => {
    const body = readFields(CreateKeyBody, { ipAllow: ['10.1.2.3', '::FFFF:10.0.0.0/104'], ttlDays: 3 }, 'body');
    expect(wishOf(body)).toEqual({
      name: null,
      description: null,
      labels: {},
      metadata: {},
      environment: 'live',
      scopes: null,
      audiences: [],
      ipAllow: ['10.1.2.3/32', '10.0.0.0/8'],
      ipDeny: [],
      notBefore: null,
      canManageKeys: false,
      expiry: { kind: 'days', days: 3 },
    });
  });

  it('tells an expiry of null from one that is absent', () => {
    expect(wishOf({ expiresAt: null }).expiry).toEqual({ kind: 'never' });
    expect(wishOf({}).expiry).toEqual({ kind: 'default' });
    expect(wishOf({ expiresAt: '2030-01-01T00:00:00.000Z' }).expiry).toMatchObject({ kind: 'at' });
    expect(placeOf(() => wishOf({ expiresAt: null, ttlDays: 1 }))).toBe('body.ttlDays');
  });

  it('takes the ID and the digest of a client’s own token together or not at all', () => {
    const digest = 'ab'.repeat(32);
    expect(clientMadeOf({})).toBeNull();
    expect(clientMadeOf({ keyId: 'key_a', secretDigest: digest })).toEqual({
      keyId: 'key_a',
      digest: Buffer.from(digest, 'hex'),
    });
    expect(placeOf(() => clientMadeOf({ keyId: 'key_a' }))).toBe('body.secretDigest');
    expect(placeOf(() => clientMadeOf({ secretDigest: digest }))).toBe('body.keyId');
  });

  it('belongs to the caller unless it names an owner; only a project’s key names a role', () => {
    expect(ownerOf({}, alice)).toEqual({ type: 'user', id: 'alice', role: undefined });
    const project = { type: 'project' as const, id: 'GOV1' };
    expect(ownerOf({ owner: project, role: 'tenant_admin' }, alice)).toEqual({ ...project, role: 'tenant_admin' });
    expect(placeOf(() => ownerOf({ role: 'tenant_admin' }, alice))).toBe('body.role');
    const body = readFields(TransferKeyBody, { owner: { type: 'user', id: 'bob' }, role: 'tenant_user' }, 'body');
    expect(placeOf(() => newOwnerOf(body))).toBe('body.role');
  });
});

describe('the wish for a change', () => {
  it('leaves absent what the request leaves absent', () => {
    const body = readFields(UpdateKeyBody, { name: null, ipAllow: ['10.0.0.1'], ipDeny: null }, 'body');
    expect(editsOf(body)).toEqual({ name: null, ipAllow: ['10.0.0.1/32'], ipDeny: null });
    expect(editsOf(readFields(UpdateKeyBody, {}, 'body'))).toEqual({});
  });

  it('extends by days or until a time', () => {
    const until = '2030-01-01T00:00:00.000Z';
    expect(extensionOf({ days: 3 })).toEqual({ days: 3 });
    expect(extensionOf({ until })).toEqual({ until });
    expect(placeOf(() => extensionOf({ days: 3, until }))).toBe('body.until');
    expect(placeOf(() => extensionOf(readFields(ExtendKeyBody, {}, 'body')))).toBe('body.days');
  });

  it('of many keys has what its action needs and nothing else', () => {
    const body = (fields: object) => readFields(BulkKeysBody, { action: 'delete', ...fields }, 'body');
    expect(bulkWishOf(body({}))).toEqual({ type: 'DeleteKey' });
    expect(bulkWishOf(body({ action: 'disable' }))).toEqual({ type: 'DisableKey' });
    expect(bulkWishOf(body({ action: 'enable' }))).toEqual({ type: 'EnableKey' });
    expect(bulkWishOf(body({ action: 'extend', days: 3 }))).toEqual({ type: 'ExtendKey', by: { days: 3 } });
    expect(bulkWishOf(body({ action: 'revoke', reason: 'unused' }))).toEqual({ type: 'RevokeKey', reason: 'unused' });
    expect(placeOf(() => bulkWishOf(body({ action: 'extend' })))).toBe('body.days');
    expect(placeOf(() => bulkWishOf(body({ action: 'revoke' })))).toBe('body.reason');
    for (const [field, value] of Object.entries({ days: 3, reason: 'unused', comment: 'x' }))
      expect(placeOf(() => bulkWishOf(body({ [field]: value })))).toBe(`body.${field}`);
  });

  it('of many keys names them or what finds them', () => {
    const body = (fields: object) => readFields(BulkKeysBody, { action: 'delete', ...fields }, 'body');
    const ids = ['key_0000000000000000'];
    expect(selectionOf(body({ ids }))).toEqual({ ids });
    expect(selectionOf(body({ filter: { projectId: 'GOV1' }, expectedCount: 0 }))).toMatchObject({ expectedCount: 0 });
    expect(placeOf(() => selectionOf(body({})))).toBe('body.ids');
    expect(placeOf(() => selectionOf(body({ ids, filter: {} })))).toBe('body.filter');
    expect(placeOf(() => selectionOf(body({ ids, expectedCount: 1 })))).toBe('body.expectedCount');
    expect(placeOf(() => selectionOf(body({ filter: {} })))).toBe('body.expectedCount');
  });
});

describe('a query', () => {
  it('is read from text', () => {
    const query = readFields(
      ListKeysQuery,
      { status: 'active', neverUsed: 'true', limit: '7', sort: '-name' },
      'query',
    );
    expect(query).toMatchObject({ status: ['active'], neverUsed: true, limit: 7, sort: '-name' });
    expect(readFields(ListKeysQuery, {}, 'query')).toMatchObject({ limit: 50, sort: '-createdAt' });
    expect(placeOf(() => readFields(ListKeysQuery, { status: 'dead' }, 'query'))).toContain('query.status');
  });
});

describe('a digest', () => {
  const bytes = Buffer.alloc(32, 0xfb);

  it('comes in hex, base64 or base64url', () => {
    for (const text of [
      bytes.toString('hex'),
      bytes.toString('hex').toUpperCase(),
      bytes.toString('base64'),
      bytes.toString('base64url'),
    ])
      expect(digestFrom(text)).toEqual(bytes);
  });

  it('has 32 bytes and one form in each', () => {
    for (const text of [
      '',
      'zz'.repeat(32),
      'ab'.repeat(31),
      bytes.toString('base64').slice(1),
      `${bytes.toString('base64url').slice(0, -1)}t`,
    ])
      expect(digestFrom(text)).toBeUndefined();
  });
});

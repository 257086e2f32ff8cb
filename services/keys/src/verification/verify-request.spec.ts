import { Refusal } from '#libs/eventsourcing';
import { newToken } from '../key-secret.js';
import { readVerifyBatch, readVerifyRequest } from './verify-request.js';

const token = newToken('live', 'key_9DC9pg4cMivLPKBD');

function locationOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== 'VALIDATION') throw error;
    expect(JSON.stringify([error.message, error.detail, error.extra])).not.toContain(token);
    return error.extra.errors?.[0]?.location;
  }
}

describe('a verify request', () => {
  it('may be a token alone, or everything', () => {
    expect(readVerifyRequest({ token })).toMatchObject({ token });
    const all = {
      token,
      clientIp: '2001:db8::1',
      environment: 'live',
      audience: 'container-compute',
      scopes: ['a:b', 'c:*'],
      tags: ['eu', 'batch'],
      consume: [],
      minPosition: '00000000000000000001',
      maxStalenessMs: 1_000,
    };
    expect(readVerifyRequest(all)).toMatchObject({ scopes: ['a:b', 'c:*'], maxStalenessMs: 1_000 });
    expect(readVerifyRequest({ token: 'x'.repeat(512) })).toBeDefined();
    expect(readVerifyRequest({ token: 'é'.repeat(256) })).toBeDefined();
  });

  it.each([
    ['body', null],
    ['body', [token]],
    ['body', 'text'],
    ['body.token', {}],
    ['body.token', { token: null }],
    ['body.token', { token: 1 }],
    ['body.token', { token: [token] }],
    ['body.token', { token: '' }],
    ['body.token', { token: 'x'.repeat(513) }],
    ['body.token', { token: 'é'.repeat(257) }],
    ['body.extra', { token, extra: 1 }],
    ['body.Token', { token, Token: token }],
    ['body.clientIp', { token, clientIp: 'not an address' }],
    ['body.clientIp', { token, clientIp: '10.0.0.0/8' }],
    ['body.clientIp', { token, clientIp: null }],
    ['body.clientIp', { token, clientIp: 7 }],
    ['body.environment', { token, environment: 'LIVE' }],
    ['body.environment', { token, environment: 'ninechars' }],
    ['body.audience', { token, audience: '' }],
    ['body.audience', { token, audience: 'x'.repeat(65) }],
    ['body.scopes', { token, scopes: 'a:b' }],
    ['body.scopes', { token, scopes: Array.from({ length: 257 }, () => 'a') }],
    ['body.scopes.1', { token, scopes: ['a', 'B'] }],
    ['body.scopes.0', { token, scopes: [1] }],
    ['body.scopes.0', { token, scopes: [null] }],
    ['body.tags', { token, tags: Array.from({ length: 21 }, () => 'a') }],
    ['body.tags.0', { token, tags: ['x'.repeat(129)] }],
    ['body.consume', { token, consume: [{ limit: 'requests', cost: 1 }] }],
    ['body.consume', { token, consume: {} }],
    ['body.minPosition', { token, minPosition: 1 }],
    ['body.maxStalenessMs', { token, maxStalenessMs: 0 }],
    ['body.maxStalenessMs', { token, maxStalenessMs: 1.5 }],
    ['body.maxStalenessMs', { token, maxStalenessMs: '1000' }],
    ['body.maxStalenessMs', { token, maxStalenessMs: 3_600_001 }],
  ])('names the field at fault: %s', (location, body) => {
    expect(locationOf(() => readVerifyRequest(body))).toBe(location);
  });

  it('does not tell a secret back that came as a field’s name', () => {
    expect(locationOf(() => readVerifyRequest({ token: 'x', [token]: 1 }))).toBe('body.[token]');
  });
});

describe('a batch', () => {
  it('has one to a hundred requests and names the one at fault', () => {
    expect(readVerifyBatch({ requests: Array.from({ length: 100 }, () => ({ token })) })).toHaveLength(100);
    expect(locationOf(() => readVerifyBatch({ requests: [] }))).toBe('body.requests');
    expect(locationOf(() => readVerifyBatch({}))).toBe('body.requests');
    expect(locationOf(() => readVerifyBatch({ requests: Array.from({ length: 101 }, () => ({ token })) }))).toBe(
      'body.requests',
    );
    expect(locationOf(() => readVerifyBatch({ requests: [{ token }, { token, scopes: 1 }] }))).toBe(
      'body.requests.1.scopes',
    );
    expect(locationOf(() => readVerifyBatch({ requests: [], more: 1 }))).toBe('body.more');
  });
});

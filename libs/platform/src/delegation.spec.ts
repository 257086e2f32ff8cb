import { beyond, type KeyPowers } from './delegation.js';

const open: KeyPowers = {
  scopes: null,
  canManageKeys: true,
  expiresAt: null,
  ipAllow: [],
  ipDeny: [],
  audiences: [],
};
const narrow: KeyPowers = {
  scopes: ['storage:*', 'steward:keys:write'],
  canManageKeys: true,
  expiresAt: '2026-06-01T00:00:00.000Z',
  ipAllow: ['192.0.2.0/24', '2001:db8::/32'],
  ipDeny: ['192.0.2.128/25'],
  audiences: ['steward', 'storage'],
};

describe('a key that manages keys', () => {
  it('hands on all of itself', () => {
    expect(beyond(open, open)).toBeUndefined();
    expect(beyond(narrow, narrow)).toBeUndefined();
    expect(beyond(open, narrow)).toBeUndefined();
  });

  it.each<[string, Partial<KeyPowers>, keyof KeyPowers | undefined]>([
    ['a narrower scope', { scopes: ['storage:read'] }, undefined],
    ['no scope at all', { scopes: [] }, undefined],
    ['all scopes', { scopes: null }, 'scopes'],
    ['one scope more', { scopes: ['storage:read', 'compute:read'] }, 'scopes'],
    ['a wider wildcard', { scopes: ['*'] }, 'scopes'],
    ['no management', { canManageKeys: false }, undefined],
    ['a shorter life', { expiresAt: '2026-05-31T23:59:59.999Z' }, undefined],
    ['a longer life', { expiresAt: '2026-06-01T00:00:00.001Z' }, 'expiresAt'],
    ['a life without end', { expiresAt: null }, 'expiresAt'],
    ['a smaller network', { ipAllow: ['192.0.2.0/26'] }, undefined],
    ['a larger network', { ipAllow: ['192.0.2.0/23'] }, 'ipAllow'],
    ['a network more', { ipAllow: ['192.0.2.0/24', '198.51.100.0/24'] }, 'ipAllow'],
    ['every network', { ipAllow: [] }, 'ipAllow'],
    ['a wider ban', { ipDeny: ['192.0.2.0/24'] }, undefined],
    ['a narrower ban', { ipDeny: ['192.0.2.128/26'] }, 'ipDeny'],
    ['no ban', { ipDeny: [] }, 'ipDeny'],
    ['one audience', { audiences: ['storage'] }, undefined],
    ['another audience', { audiences: ['compute'] }, 'audiences'],
    ['every audience', { audiences: [] }, 'audiences'],
  ])('never makes one beyond itself: %s', (_, wanted, field) => {
    expect(beyond(narrow, { ...narrow, ...wanted })).toBe(field);
  });

  it('does not make a manager if it is none', () => {
    expect(beyond({ ...open, canManageKeys: false }, open)).toBe('canManageKeys');
  });
});

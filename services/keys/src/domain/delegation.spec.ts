import { Refusal } from '#libs/eventsourcing';
import { cidrWithin } from './cidr.js';
import { type CallerBounds, holdWithin } from './delegation.js';
import { sortedSet } from './scopes.js';

const open: CallerBounds = { scopes: null, expiresAt: null, ipAllow: [], ipDeny: [], audiences: [] };

function refusalOf(caller: CallerBounds | null, key: CallerBounds): string | null {
  try {
    holdWithin(caller, key);
  } catch (error) {
    return (error as Refusal).code;
  }
  return null;
}

describe('a key that manages keys', () => {
  it('has no bounds if it is open, and neither has a person', () => {
    expect(refusalOf(open, open)).toBeNull();
    expect(refusalOf(null, open)).toBeNull();
  });

  it('gives no scope that it does not have', () => {
    const caller = { ...open, scopes: ['compute:*'] };
    expect(refusalOf(caller, { ...open, scopes: ['compute:read'] })).toBeNull();
    expect(refusalOf(caller, { ...open, scopes: [] })).toBeNull();
    expect(refusalOf(caller, { ...open, scopes: ['storage:read'] })).toBe('SCOPE_EXCEEDS_OWNER');
    expect(refusalOf(caller, open)).toBe('SCOPE_EXCEEDS_OWNER');
  });

  it('makes nothing that outlives it', () => {
    const caller = { ...open, expiresAt: '2026-02-01T00:00:00.000Z' };
    expect(refusalOf(caller, caller)).toBeNull();
    expect(refusalOf(caller, { ...open, expiresAt: '2026-02-01T00:00:00.001Z' })).toBe('FORBIDDEN');
    expect(refusalOf(caller, open)).toBe('FORBIDDEN');
  });

  it('opens no address that is closed to itself', () => {
    const caller = { ...open, ipAllow: ['10.0.0.0/8'], ipDeny: ['10.9.0.0/16'] };
    const key = { ...open, ipAllow: ['10.1.0.0/16'], ipDeny: ['10.0.0.0/8'] };
    expect(refusalOf(caller, key)).toBeNull();
    expect(refusalOf(caller, { ...key, ipAllow: [] })).toBe('FORBIDDEN');
    expect(refusalOf(caller, { ...key, ipAllow: ['11.0.0.0/16'] })).toBe('FORBIDDEN');
    expect(refusalOf(caller, { ...key, ipDeny: ['10.9.1.0/24'] })).toBe('FORBIDDEN');
  });

  it('opens no service that is closed to itself', () => {
    const caller = { ...open, audiences: ['compute', 'storage'] };
    expect(refusalOf(caller, { ...open, audiences: ['compute'] })).toBeNull();
    expect(refusalOf(caller, open)).toBe('FORBIDDEN');
    expect(refusalOf(caller, { ...open, audiences: ['billing'] })).toBe('FORBIDDEN');
  });
});

describe('scopes', () => {
  it('are sorted by UTF-8 bytes and not by UTF-16 units', () => {
    expect(sortedSet(['\u{1F600}', '\uFFFD', 'a', 'a'])).toEqual(['a', '\uFFFD', '\u{1F600}']);
  });
});

describe('CIDRs', () => {
  it.each([
    ['10.1.2.0/24', '10.0.0.0/8', true],
    ['10.0.0.0/8', '10.1.2.0/24', false],
    ['11.0.0.0/24', '10.0.0.0/8', false],
    ['192.0.2.1/32', '0.0.0.0/0', true],
    ['2001:db8::1/128', '2001:db8::/32', true],
    ['2001:db9::/48', '2001:db8::/32', false],
    ['1:2:3:4:5:6:7:8/128', '1:2:3:4::/64', true],
    ['::1/128', '::/0', true],
    ['1::/16', '::/0', true],
    ['10.0.0.0/8', '::/0', false],
  ])('%s within %s: %s', (inner, outer, within) => {
    expect(cidrWithin(inner, outer)).toBe(within);
  });
});

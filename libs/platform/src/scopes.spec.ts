import { scopeCovers, scopesWithin } from './scopes.js';

describe('scopes', () => {
  it.each([
    ['storage:read', 'storage:read', true],
    ['storage:*', 'storage:read', true],
    ['storage:*', 'storage:bucket:read', true],
    ['storage:*', 'storage:*', true],
    ['*', 'storage:*', true],
    ['storage:*', 'storage:bucket:*', true],
    ['storage:bucket:*', 'storage:*', false],
    ['storage:read', 'storage:*', false],
    ['storage:*', 'storage', false],
    ['storage:*', 'compute:read', false],
    ['storage:read', 'storage:reader', false],
    ['*:read', 'storage:read', false],
  ])('%s covers %s: %s', (granted, wanted, covers) => {
    expect(scopeCovers(granted, wanted)).toBe(covers);
  });

  it('hold all only where all was given', () => {
    expect(scopesWithin(null, null)).toBe(true);
    expect(scopesWithin(['a'], null)).toBe(true);
    expect(scopesWithin(null, ['*'])).toBe(false);
    expect(scopesWithin([], [])).toBe(true);
    expect(scopesWithin(['a', 'b:c'], ['a', 'b:*'])).toBe(true);
    expect(scopesWithin(['a', 'c'], ['a', 'b:*'])).toBe(false);
  });
});

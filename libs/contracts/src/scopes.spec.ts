import { namesService, reachesService, scopeCovers, scopesCover, scopesWithin } from './scopes.js';

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

  it.each([
    ['container-compute:pods:read', true, true],
    ['container-compute:*', true, true],
    ['container-compute', true, true],
    ['container-compute*', false, true],
    ['container-*', false, true],
    ['*', false, true],
    ['container-computer:read', false, false],
    ['container', false, false],
    ['virtual-compute:*', false, false],
  ])('%s is of container-compute: %s; reaches it: %s', (scope, names, reaches) => {
    expect([namesService(scope, 'container-compute'), reachesService(scope, 'container-compute')]).toEqual([
      names,
      reaches,
    ]);
  });

  it('hold all only where all was given', () => {
    expect([scopesCover(null, 'a'), scopesCover([], 'a'), scopesCover(['b', 'a'], 'a')]).toEqual([true, false, true]);
    expect(scopesWithin(null, null)).toBe(true);
    expect(scopesWithin(['a'], null)).toBe(true);
    expect(scopesWithin(null, ['*'])).toBe(false);
    expect(scopesWithin([], [])).toBe(true);
    expect(scopesWithin(['a', 'b:c'], ['a', 'b:*'])).toBe(true);
    expect(scopesWithin(['a', 'c'], ['a', 'b:*'])).toBe(false);
  });
});

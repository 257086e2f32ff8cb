import { given, type GivenOptions } from '#libs/testing';
import {
  type Catalogue,
  catalogueDecider,
  defaultCatalogue,
  resourceOf,
  RESOURCES_MAX,
  type SetCatalogueResource,
} from './catalogue.js';
import { refusalOf } from '../testing/given-quota.js';

const set = (more: Partial<SetCatalogueResource> = {}): SetCatalogueResource => ({
  type: 'SetCatalogueResource',
  service: 'object-store',
  resource: 'space',
  unit: 'GiB',
  defaultProjectLimit: 'unlimited',
  defaultMemberLimit: 100,
  ...more,
});
const from = (commands: readonly SetCatalogueResource[], options?: GivenOptions): Catalogue =>
  commands.reduce((_, command, n) => {
    const before = commands.slice(0, n).flatMap((one) => given(catalogueDecider).when(one));
    return given(catalogueDecider, before, options).then(command);
  }, catalogueDecider.initialState);

it('an operator adds a resource and changes its defaults', () => {
  expect(given(catalogueDecider).when(set())).toEqual([
    {
      type: 'CatalogueResourceSet',
      data: {
        service: 'object-store',
        resource: 'space',
        unit: 'GiB',
        kind: 'allocation',
        defaultProjectLimit: 'unlimited',
        defaultMemberLimit: 100,
      },
    },
  ]);
  const catalogue = from([set(), set({ defaultMemberLimit: 5 })]);
  expect(resourceOf(catalogue, set())).toMatchObject({ defaultMemberLimit: 5, revision: 2 });
  expect(catalogue.revision).toBe(2);
});

it('what stands as it is changes nothing', () => {
  const event = given(catalogueDecider).when(set());
  expect(given(catalogueDecider, event).when(set())).toEqual([]);
});

it.each([
  ['VALIDATION', { service: 'Upper' }],
  ['VALIDATION', { resource: '' }],
  ['VALIDATION', { resource: 'a'.repeat(64) }],
  ['VALIDATION', { unit: 'furlong' }],
  ['VALIDATION', { defaultProjectLimit: -1 }],
  ['VALIDATION', { defaultMemberLimit: 0.5 }],
  ['AMOUNT_OVERFLOW', { defaultMemberLimit: 1e300 }],
  ['VERSION_CONFLICT', { ifMatch: 3 }],
  ['UNIT_FIXED', { service: 'container-compute', resource: 'gpu', unit: 'count' }],
] as const)('is refused with %s: %j', (code, more) => {
  expect(refusalOf(() => given(catalogueDecider).when(set(more))).code).toBe(code);
});

it('takes 64 resources a service and 256 in all', () => {
  const one = Array.from({ length: 64 }, (_, n) => given(catalogueDecider).when(set({ resource: `r${n}` }))).flat();
  expect(refusalOf(() => given(catalogueDecider, one).when(set())).code).toBe('CATALOGUE_FULL');
  const all = Array.from({ length: RESOURCES_MAX - 8 }, (_, n) =>
    given(catalogueDecider).when(set({ service: `s${n % 10}`, resource: `r${n}` })),
  ).flat();
  expect(refusalOf(() => given(catalogueDecider, all).when(set())).code).toBe('CATALOGUE_FULL');
});

it('the default catalogue has the services and resources of the platform, each with its unit', () => {
  const all = [...defaultCatalogue.services].map(([service, resources]) => [service, [...resources.keys()].sort()]);
  expect(all).toEqual([
    ['container-compute', ['cpu', 'gpu', 'memory']],
    ['virtual-compute', ['cpu', 'floating_ip', 'gpu', 'memory', 'static_ip']],
  ]);
});

import type { QuotaCatalogueEvent, QuotaLimit } from '#libs/contracts';
import { type Decider, Refusal } from '#libs/eventsourcing';
import { wrongField } from './wrong-field.js';

/** The services and resources that quotas can be set for. What is built in stands until an operator sets it otherwise. */

export const units = ['count', 'milliCore', 'milliGpu', 'MiB', 'GiB', 'second', 'byte'] as const;
export type Unit = (typeof units)[number];

export const RESOURCES_PER_SERVICE_MAX = 64;
export const RESOURCES_MAX = 256;
const NAME = /^[a-z][a-z0-9._-]{0,62}$/;

export interface CatalogueResource {
  readonly service: string;
  readonly resource: string;
  /** The base unit of all its amounts; a GPU is 1,000 milliGpu. */
  readonly unit: string;
  readonly kind: 'allocation';
  readonly defaultProjectLimit: QuotaLimit;
  readonly defaultMemberLimit: QuotaLimit;
  /** Of the event that last set it; 0 for what is built in. */
  readonly revision: number;
}

export interface Catalogue {
  readonly revision: number;
  readonly services: ReadonlyMap<string, ReadonlyMap<string, CatalogueResource>>;
}

const builtIn: readonly (readonly [service: string, resource: string, unit: Unit])[] = [
  ['container-compute', 'cpu', 'milliCore'],
  ['container-compute', 'gpu', 'milliGpu'],
  ['container-compute', 'memory', 'MiB'],
  ['virtual-compute', 'cpu', 'milliCore'],
  ['virtual-compute', 'floating_ip', 'count'],
  ['virtual-compute', 'gpu', 'milliGpu'],
  ['virtual-compute', 'memory', 'MiB'],
  ['virtual-compute', 'static_ip', 'count'],
];

function withResource(catalogue: Catalogue, resource: CatalogueResource, revision: number): Catalogue {
  const ofService = new Map(catalogue.services.get(resource.service)).set(resource.resource, resource);
  return { revision, services: new Map(catalogue.services).set(resource.service, ofService) };
}

export const defaultCatalogue: Catalogue = builtIn.reduce<Catalogue>(
  (catalogue, [service, resource, unit]) =>
    withResource(
      catalogue,
      {
        service,
        resource,
        unit,
        kind: 'allocation',
        defaultProjectLimit: 'unlimited',
        defaultMemberLimit: 'unlimited',
        revision: 0,
      },
      0,
    ),
  { revision: 0, services: new Map() },
);

export const resourceOf = (
  catalogue: Catalogue,
  { service, resource }: { readonly service: string; readonly resource: string },
): CatalogueResource | undefined => catalogue.services.get(service)?.get(resource);

export function knownResource(
  catalogue: Catalogue,
  name: { readonly service: string; readonly resource: string },
): CatalogueResource {
  const found = resourceOf(catalogue, name);
  if (found === undefined)
    throw new Refusal('UNKNOWN_RESOURCE', `The catalogue has no resource ${name.service}/${name.resource}.`);
  return found;
}

/** All resources, by service, then resource. */
export const resourcesOf = (catalogue: Catalogue): CatalogueResource[] =>
  [...catalogue.services.values()]
    .flatMap((ofService) => [...ofService.values()])
    .sort((a, b) => (a.service === b.service ? order(a.resource, b.resource) : order(a.service, b.service)));

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export interface SetCatalogueResource {
  readonly type: 'SetCatalogueResource';
  readonly service: string;
  readonly resource: string;
  readonly unit: string;
  readonly defaultProjectLimit: QuotaLimit;
  readonly defaultMemberLimit: QuotaLimit;
  readonly ifMatch?: number | undefined;
}

/** True of what has the form of a limit; one that is too large has a code of its own, which the rules tell. */
export const hasFormOfLimit = (value: unknown): value is QuotaLimit =>
  value === 'unlimited' || (Number.isInteger(value) && (value as number) >= 0);

/** Throws VALIDATION, or AMOUNT_OVERFLOW beyond 2^53-1. */
export function holdLimit(field: string, value: unknown, form = 'an integer from 0 or "unlimited"'): void {
  if (!hasFormOfLimit(value)) throw wrongField(field, `must be ${form}`);
  if (value !== 'unlimited' && !Number.isSafeInteger(value))
    throw wrongField(field, 'is beyond 2^53-1', 'AMOUNT_OVERFLOW');
}

function decide(command: SetCatalogueResource, catalogue: Catalogue): QuotaCatalogueEvent[] {
  const { service, resource, unit, defaultProjectLimit, defaultMemberLimit } = command;
  for (const [field, name] of [
    ['service', service],
    ['resource', resource],
  ] as const)
    if (!NAME.test(name)) throw wrongField(field, 'must be 1 to 63 of a-z, 0-9, dot, underscore, hyphen');
  if (!(units as readonly string[]).includes(unit)) throw wrongField('unit', `must be one of ${units.join(', ')}`);
  holdLimit('defaultProjectLimit', defaultProjectLimit);
  holdLimit('defaultMemberLimit', defaultMemberLimit);
  const before = resourceOf(catalogue, command);
  if (command.ifMatch !== undefined && command.ifMatch !== (before?.revision ?? 0))
    throw new Refusal('VERSION_CONFLICT', `The version is ${before?.revision ?? 0}, not ${command.ifMatch}.`);
  if (before === undefined) holdRoom(catalogue, service);
  else if (before.unit !== unit)
    throw new Refusal('UNIT_FIXED', `${service}/${resource} is counted in ${before.unit}; its amounts stand so.`);
  else if (before.defaultProjectLimit === defaultProjectLimit && before.defaultMemberLimit === defaultMemberLimit)
    return [];
  return [
    {
      type: 'CatalogueResourceSet',
      data: { service, resource, unit, kind: 'allocation', defaultProjectLimit, defaultMemberLimit },
    },
  ];
}

function holdRoom(catalogue: Catalogue, service: string): void {
  const total = resourcesOf(catalogue).length;
  if ((catalogue.services.get(service)?.size ?? 0) >= RESOURCES_PER_SERVICE_MAX || total >= RESOURCES_MAX)
    throw new Refusal(
      'CATALOGUE_FULL',
      `At most ${RESOURCES_PER_SERVICE_MAX} resources a service and ${RESOURCES_MAX} in all.`,
    );
}

export const catalogueDecider: Decider<Catalogue, SetCatalogueResource, QuotaCatalogueEvent> = {
  initialState: defaultCatalogue,
  decide,
  evolve: (catalogue, { data }, { revision }) => withResource(catalogue, { ...data, revision }, revision),
};

import type { QuotaLimit } from '#libs/contracts';
import { IntegerField, ObjectListField, TextField } from '#libs/platform';
import { type Catalogue, type CatalogueResource, resourcesOf } from '../domain/catalogue.js';
import { ShownLimit, without } from '../quotas.views.js';

/** What callers are shown of the catalogue. */

export class CatalogueResourceView implements Omit<CatalogueResource, 'service' | 'kind'> {
  @TextField({ max: 63 })
  resource!: string;

  @TextField({ max: 32 })
  unit!: string;

  @ShownLimit()
  defaultProjectLimit!: QuotaLimit;

  @ShownLimit()
  defaultMemberLimit!: QuotaLimit;

  @IntegerField({ min: 0, max: Number.MAX_SAFE_INTEGER })
  revision!: number;
}

export class CatalogueServiceView {
  @TextField({ max: 63 })
  service!: string;

  @ObjectListField(() => CatalogueResourceView, { itemsMax: 10_000 })
  resources!: CatalogueResourceView[];
}

export class CatalogueView {
  @IntegerField({ min: 0, max: Number.MAX_SAFE_INTEGER })
  revision!: number;

  @ObjectListField(() => CatalogueServiceView, { itemsMax: 10_000 })
  services!: CatalogueServiceView[];
}

export const catalogueResourceView = (resource: CatalogueResource): CatalogueResourceView =>
  without(resource, 'service', 'kind');

export function catalogueView(catalogue: Catalogue): CatalogueView {
  const all = resourcesOf(catalogue);
  const services = [...new Set(all.map(({ service }) => service))].map((service) => ({
    service,
    resources: all.filter((one) => one.service === service).map(catalogueResourceView),
  }));
  return { revision: catalogue.revision, services };
}

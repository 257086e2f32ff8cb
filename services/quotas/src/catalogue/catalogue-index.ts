import { Injectable } from '@nestjs/common';
import type { QuotaCatalogueEvent } from '#libs/contracts';
import type { EventIndex, OpenedEvent } from '#libs/eventsourcing';
import { type Catalogue, catalogueDecider, defaultCatalogue } from '../domain/catalogue.js';

/** The catalogue in memory, by following the store. */
@Injectable()
export class CatalogueIndex implements EventIndex {
  readonly categories = ['quotaCatalogue'];
  readonly parts = [];
  private catalogue: Catalogue = defaultCatalogue;
  private revision = 0;

  get now(): Catalogue {
    return this.catalogue;
  }

  apply(event: OpenedEvent): 'applied' | 'seen' | 'gap' {
    if (event.revision <= this.revision) return 'seen';
    if (event.revision > this.revision + 1) return 'gap';
    this.catalogue = catalogueDecider.evolve(this.catalogue, event as unknown as QuotaCatalogueEvent, event);
    this.revision = event.revision;
    return 'applied';
  }
}

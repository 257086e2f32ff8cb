import { builtInServices, type QuotaCatalogueEvent } from '#libs/contracts';
import type { OpenedEvent } from '#libs/eventsourcing';

/** The names of the catalogue's services: a scope that begins with one of them is that service's. */
export class ServiceNames {
  #revision = 0;
  #names: readonly string[] = builtInServices;
  /** By the very list of a member's services, which members of equal rights share: verification looks once and asks no more. */
  #withheld = new WeakMap<readonly string[], readonly string[]>();

  apply(event: OpenedEvent): 'applied' | 'seen' | 'gap' {
    if (event.revision <= this.#revision) return 'seen';
    if (event.revision > this.#revision + 1) return 'gap';
    this.#revision = event.revision;
    const { service } = (event as unknown as QuotaCatalogueEvent).data;
    if (!this.#names.includes(service)) {
      this.#names = [...this.#names, service].sort();
      this.#withheld = new WeakMap();
    }
    return 'applied';
  }

  /** The services that whoever was granted these has no access to. */
  beside(granted: readonly string[]): readonly string[] {
    const known = this.#withheld.get(granted);
    if (known !== undefined) return known;
    const withheld = this.#names.filter((name) => !granted.includes(name));
    this.#withheld.set(granted, withheld);
    return withheld;
  }
}

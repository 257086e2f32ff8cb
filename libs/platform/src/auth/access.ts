import type { KeyOwnerType } from '#libs/contracts';
import type { Principal } from './principal.js';

/** What one rule of visibility lets through; a list shows what any of them does. */
export type VisibleScope =
  | { readonly kind: 'all' }
  | { readonly kind: 'tenant'; readonly tenantId: string }
  | { readonly kind: 'project'; readonly projectId: string }
  | {
      readonly kind: 'own';
      readonly projectId: string;
      /** A user, a service and a project may bear the same id, so the type is part of the name. */
      readonly ownerType: KeyOwnerType;
      readonly ownerId: string;
    };

/**
 * The proof that a request passed the guard, and what its caller may see. Every query takes one: a query without tenant
 * isolation does not compile. Only the guard makes it.
 */
export class Access {
  // A private member makes the type nominal: an object literal of the same shape is no Access.
  readonly #principal: Principal;

  private constructor(
    principal: Principal,
    readonly visible: readonly VisibleScope[],
  ) {
    this.#principal = principal;
  }

  static grantedByGuard(principal: Principal, visible: readonly VisibleScope[]): Access {
    return new Access(principal, visible);
  }

  get principal(): Principal {
    return this.#principal;
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { AccessIndex, type OwnerState } from './access-index.js';
import type { AppConfig } from '../config/config.js';
import type { AuthenticatedKey } from './credentials.js';
import { type OidcIssuer, viaIssuer } from '../oidc/issuers.js';
import type { Grant, Principal } from './principal.js';
import { CONFIG } from '../tokens.js';

type Inactive = Extract<OwnerState, { active: false }>['why'];

/** Tells what rights a caller holds now, from the access index. */
@Injectable()
export class PrincipalResolver {
  readonly #tenantsByVia: ReadonlyMap<string, OidcIssuer['tenants']>;

  constructor(
    private readonly index: AccessIndex,
    @Inject(CONFIG) config: Pick<AppConfig, 'oidcIssuers'>,
  ) {
    this.#tenantsByVia = new Map(config.oidcIssuers.map(({ issuer, tenants }) => [viaIssuer(issuer), tenants]));
  }

  /** A key carries only what it was made under; the reason if its owner is not active. */
  ofKey(key: AuthenticatedKey): Principal | Inactive {
    const { tenantId, projectId, owner } = key;
    const state = this.index.ownerState(owner, projectId, tenantId);
    if (!state.active) return state.why;
    return {
      type: owner.type,
      id: owner.id,
      via: `key:${key.keyId}`,
      tenantId,
      grants: [{ role: state.role, tenantId, projectId }],
      key: {
        keyId: key.keyId,
        scopes: key.scopes,
        canManageKeys: key.canManageKeys,
        expiresAt: key.expiresAt,
        ipAllow: key.ipAllow,
        ipDeny: key.ipDeny,
        audiences: key.audiences,
      },
    };
  }

  /**
   * A person is the union of the memberships and of the principal of type user with the same id, as far as the issuer
   * may speak for it; `via` is `oidc:<issuer>`, and an issuer that is not configured speaks for nobody.
   */
  ofPerson(userId: string, via: string): Principal {
    const facts = this.index.principal(userId);
    const registered =
      facts?.type === 'user' && !facts.removed && this.#speaksFor(via, facts.tenantId) ? facts : undefined;
    return {
      type: 'user',
      id: userId,
      via,
      tenantId: registered?.tenantId ?? null,
      grants: this.#grantsOfPerson(userId, via),
      key: null,
    };
  }

  /** The same caller with the rights held now; for a second look after the index has moved on. */
  again(principal: Principal): Principal {
    if (principal.key === null) return { ...principal, grants: this.#grantsOfPerson(principal.id, principal.via) };
    const grants = principal.grants.flatMap(({ role, tenantId, projectId }): Grant[] => {
      const owner = { type: principal.type, id: principal.id, role };
      const state = this.index.ownerState(owner, projectId, tenantId);
      return state.active ? [{ role: state.role, tenantId, projectId }] : [];
    });
    return { ...principal, grants };
  }

  /** A principal of the platform belongs to no tenant. */
  #speaksFor(via: string, tenantId: string | null): boolean {
    const tenants = this.#tenantsByVia.get(via) ?? [];
    return tenants === '*' || (tenantId !== null && tenants.includes(tenantId));
  }

  #grantsOfPerson(userId: string, via: string): Grant[] {
    const user = (role: Grant['role']) => ({ type: 'user', id: userId, role }) as const;
    const grants = this.index.membershipsOf(userId).flatMap(({ role, projectId, tenantId }): Grant[] => {
      const state = this.index.ownerState(user(role), projectId, tenantId);
      return state.active ? [{ role: state.role, tenantId, projectId }] : [];
    });
    const facts = this.index.principal(userId);
    if (facts !== undefined) {
      const state = this.index.ownerState(user(facts.role), null, facts.tenantId);
      if (state.active) grants.push({ role: state.role, tenantId: facts.tenantId, projectId: null });
    }
    return grants.filter(({ tenantId }) => this.#speaksFor(via, tenantId));
  }
}

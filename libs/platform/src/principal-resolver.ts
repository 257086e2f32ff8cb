import { Injectable } from '@nestjs/common';
import { AccessIndex, type OwnerState } from './access-index.js';
import type { AuthenticatedKey } from './credentials.js';
import type { Grant, Principal } from './principal.js';

type Inactive = Extract<OwnerState, { active: false }>['why'];

/** Tells what rights a caller holds now, from the access index. */
@Injectable()
export class PrincipalResolver {
  constructor(private readonly index: AccessIndex) {}

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

  /** A person is the union of the memberships and of the principal of type user with the same id. */
  ofPerson(userId: string, via: string): Principal {
    const facts = this.index.principal(userId);
    const registered = facts?.type === 'user' && !facts.removed ? facts : undefined;
    return {
      type: 'user',
      id: userId,
      via,
      tenantId: registered?.tenantId ?? null,
      grants: this.#grantsOfPerson(userId),
      key: null,
    };
  }

  /** The same caller with the rights held now; for a second look after the index has moved on. */
  again(principal: Principal): Principal {
    if (principal.key === null) return { ...principal, grants: this.#grantsOfPerson(principal.id) };
    const grants = principal.grants.flatMap(({ role, tenantId, projectId }): Grant[] => {
      const owner = { type: principal.type, id: principal.id, role };
      const state = this.index.ownerState(owner, projectId, tenantId);
      return state.active ? [{ role: state.role, tenantId, projectId }] : [];
    });
    return { ...principal, grants };
  }

  #grantsOfPerson(userId: string): Grant[] {
    const user = (role: Grant['role']) => ({ type: 'user', id: userId, role }) as const;
    const grants = this.index.membershipsOf(userId).flatMap(({ role, projectId, tenantId }): Grant[] => {
      const state = this.index.ownerState(user(role), projectId, tenantId);
      return state.active ? [{ role: state.role, tenantId, projectId }] : [];
    });
    const facts = this.index.principal(userId);
    if (facts === undefined) return grants;
    const state = this.index.ownerState(user(facts.role), null, facts.tenantId);
    return state.active ? [...grants, { role: state.role, tenantId: facts.tenantId, projectId: null }] : grants;
  }
}

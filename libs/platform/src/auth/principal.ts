import type { PrincipalType, Role } from '#libs/contracts';

/** One role at one place: null ids are the whole platform, a tenant without a project the whole tenant. */
export interface Grant {
  readonly role: Role;
  readonly tenantId: string | null;
  readonly projectId: string | null;
}

/** The key that a caller came with; a person signed in without a key has none. */
export interface CallerKey {
  readonly keyId: string;
  /** null = all of the owner's but managing keys; [] = identity only. */
  readonly scopes: readonly string[] | null;
  readonly canManageKeys: boolean;
  readonly expiresAt: string | null;
  readonly ipAllow: readonly string[];
  readonly ipDeny: readonly string[];
  readonly audiences: readonly string[];
}

/** Who is calling, with the rights held now. A project-owned key acts as type `project` with the project's id. */
export interface Principal {
  readonly type: PrincipalType | 'project';
  readonly id: string;
  /** `key:key_<16>` or `oidc:<issuer>`. */
  readonly via: string;
  /** The tenant of the principal itself; null for the platform's. */
  readonly tenantId: string | null;
  readonly grants: readonly Grant[];
  readonly key: CallerKey | null;
}

import type { MemberRole, PlatformRole, PrincipalType } from '#libs/contracts';

/** Who asks: the columns of expectations.csv. All memberships are in the home project, all tenants the home tenant. */

interface KeyWish {
  readonly scopes?: readonly string[];
  readonly canManageKeys?: true;
}

export type Actor =
  | { readonly is: 'nobody'; readonly token: 'none' | 'unknown' }
  | {
      readonly is: 'member';
      readonly role: MemberRole;
      readonly key: KeyWish;
      /** What is done to the key or the member once the key is made. */
      readonly then?: 'revoke' | 'suspend';
    }
  /** Signed in without a key: `tenant_user` in the home project and `tenant_admin` in its neighbour. */
  | { readonly is: 'person' }
  | { readonly is: 'project'; readonly role: MemberRole; readonly key: KeyWish }
  /** A service principal of the tenant, with a key of the project. */
  | { readonly is: 'service-in-project'; readonly key: KeyWish }
  | {
      readonly is: 'principal';
      readonly type: PrincipalType;
      readonly role: PlatformRole;
      readonly ofTenant: boolean;
    }
  | { readonly is: 'bootstrap' };

const managing = { canManageKeys: true } as const;

export const actors = {
  anonymous: { is: 'nobody', token: 'none' },
  unknown_key: { is: 'nobody', token: 'unknown' },
  revoked_key: { is: 'member', role: 'tenant_admin', key: managing, then: 'revoke' },
  suspended_member: { is: 'member', role: 'tenant_admin', key: managing, then: 'suspend' },
  tenant_user: { is: 'member', role: 'tenant_user', key: managing },
  tenant_user_plain_key: { is: 'member', role: 'tenant_user', key: {} },
  tenant_admin: { is: 'member', role: 'tenant_admin', key: managing },
  tenant_admin_plain_key: { is: 'member', role: 'tenant_admin', key: {} },
  key_without_scopes: { is: 'member', role: 'tenant_admin', key: { ...managing, scopes: [] } },
  key_with_read_scope: { is: 'member', role: 'tenant_admin', key: { ...managing, scopes: ['steward:keys:read'] } },
  person: { is: 'person' },
  project_key: { is: 'project', role: 'tenant_user', key: {} },
  project_admin_key: { is: 'project', role: 'tenant_admin', key: managing },
  project_service: { is: 'service-in-project', key: managing },
  tenant_owner: { is: 'principal', type: 'user', role: 'tenant_owner', ofTenant: true },
  platform_admin: { is: 'principal', type: 'user', role: 'platform_admin', ofTenant: false },
  bootstrap: { is: 'bootstrap' },
  service: { is: 'principal', type: 'service', role: 'service', ofTenant: false },
  tenant_service: { is: 'principal', type: 'service', role: 'service', ofTenant: true },
  tenant_auditor: { is: 'principal', type: 'user', role: 'auditor', ofTenant: true },
  auditor: { is: 'principal', type: 'user', role: 'auditor', ofTenant: false },
} as const satisfies Record<string, Actor>;

export type ActorName = keyof typeof actors;

export const actorNames = Object.keys(actors) as readonly ActorName[];

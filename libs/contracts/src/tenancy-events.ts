/** The published events of tenancy. Fields and meaning: docs/events.md; a field is always present, unknown scalars are null. */

export type MemberRole = 'tenant_admin' | 'tenant_user';
export type PlatformRole = 'platform_admin' | 'tenant_owner' | 'auditor' | 'service';
export type Role = MemberRole | PlatformRole;
export type PrincipalType = 'user' | 'service';
export type Disposition = 'block' | 'orphan' | 'transfer';

/** Only the rules that were given; an absent rule limits nothing. Days are 86,400,000 ms. */
export interface KeyPolicy {
  maxLifetimeDays?: number;
  defaultLifetimeDays?: number;
  requireExpiry?: boolean;
  maxExtensionDays?: number;
  maxTotalLifetimeDays?: number;
  maxKeysPerOwner?: number;
  maxKeysPerProject?: number;
  allowedScopes?: string[];
  requireIpAllow?: boolean;
  warnDays?: number[];
}

/** The private part `person`: each value or null. */
export interface PersonPart {
  displayName: string | null;
  email: string | null;
}

type NoData = Record<string, never>;

export type TenantEvent =
  | { type: 'TenantCreated'; data: { name: string } }
  | { type: 'TenantSuspended'; data: NoData }
  | { type: 'TenantResumed'; data: NoData }
  | { type: 'KeyPolicySet'; data: { policy: KeyPolicy } }
  | { type: 'KeyPolicyRemoved'; data: NoData };

export type ProjectEvent =
  | { type: 'ProjectCreated'; data: { name: string } }
  | { type: 'ProjectClosed'; data: NoData }
  | { type: 'MemberAdded'; data: { userId: string; role: MemberRole }; private?: { person: PersonPart } }
  | { type: 'MemberProfileChanged'; data: { userId: string }; private?: { person: PersonPart } }
  | { type: 'MemberRoleChanged'; data: { userId: string; from: MemberRole; to: MemberRole } }
  | { type: 'MemberSuspended'; data: { userId: string } }
  | { type: 'MemberResumed'; data: { userId: string } }
  | { type: 'MemberRemoved'; data: { userId: string; disposition: Disposition; to: string | null } }
  | { type: 'ServiceAccessGranted'; data: { userId: string; service: string } }
  | { type: 'ServiceAccessRevoked'; data: { userId: string; service: string } }
  | { type: 'KeyPolicySet'; data: { policy: KeyPolicy } }
  | { type: 'KeyPolicyRemoved'; data: NoData };

export type PrincipalEvent =
  | { type: 'PrincipalRegistered'; data: { type: PrincipalType; role: PlatformRole } }
  | { type: 'PrincipalRoleChanged'; data: { from: PlatformRole; to: PlatformRole } }
  | { type: 'PrincipalRemoved'; data: NoData };

export type SubjectEvent = { type: 'SubjectErased'; data: { subjectId: string; dataKeys: string[] } };

export type TenancyEvent = TenantEvent | ProjectEvent | PrincipalEvent | SubjectEvent;

import type { KeyEvent } from './key-events.js';
import type { TenancyEvent } from './tenancy-events.js';

export type StewardEvent = TenancyEvent | KeyEvent;
export type EventType = StewardEvent['type'];
export type EventContext = 'tenancy' | 'keys';

/** Every event type, the context that publishes it and the newest version that is written. Names are unique over contexts and never reused. */
export const eventTypes: Readonly<Record<EventType, { context: EventContext; schemaVersion: number }>> = {
  TenantCreated: { context: 'tenancy', schemaVersion: 1 },
  TenantSuspended: { context: 'tenancy', schemaVersion: 1 },
  TenantResumed: { context: 'tenancy', schemaVersion: 1 },
  ProjectCreated: { context: 'tenancy', schemaVersion: 1 },
  ProjectClosed: { context: 'tenancy', schemaVersion: 1 },
  MemberAdded: { context: 'tenancy', schemaVersion: 1 },
  MemberProfileChanged: { context: 'tenancy', schemaVersion: 1 },
  MemberRoleChanged: { context: 'tenancy', schemaVersion: 1 },
  MemberSuspended: { context: 'tenancy', schemaVersion: 1 },
  MemberResumed: { context: 'tenancy', schemaVersion: 1 },
  MemberRemoved: { context: 'tenancy', schemaVersion: 1 },
  ServiceAccessGranted: { context: 'tenancy', schemaVersion: 1 },
  ServiceAccessRevoked: { context: 'tenancy', schemaVersion: 1 },
  PrincipalRegistered: { context: 'tenancy', schemaVersion: 1 },
  PrincipalRoleChanged: { context: 'tenancy', schemaVersion: 1 },
  PrincipalRemoved: { context: 'tenancy', schemaVersion: 1 },
  KeyPolicySet: { context: 'tenancy', schemaVersion: 1 },
  KeyPolicyRemoved: { context: 'tenancy', schemaVersion: 1 },
  SubjectErased: { context: 'tenancy', schemaVersion: 1 },
  KeyCreated: { context: 'keys', schemaVersion: 1 },
  KeyImported: { context: 'keys', schemaVersion: 1 },
  KeyUpdated: { context: 'keys', schemaVersion: 1 },
  KeyExtended: { context: 'keys', schemaVersion: 1 },
  KeyRotated: { context: 'keys', schemaVersion: 1 },
  KeySecretRetired: { context: 'keys', schemaVersion: 1 },
  KeyDisabled: { context: 'keys', schemaVersion: 1 },
  KeyEnabled: { context: 'keys', schemaVersion: 1 },
  KeyRevoked: { context: 'keys', schemaVersion: 1 },
  KeyDeleted: { context: 'keys', schemaVersion: 1 },
  KeyExpired: { context: 'keys', schemaVersion: 1 },
  KeyExpiryWarned: { context: 'keys', schemaVersion: 1 },
  KeyOwnershipTransferred: { context: 'keys', schemaVersion: 1 },
  KeyVerifierUpgraded: { context: 'keys', schemaVersion: 1 },
};

import type { PlatformRole, PrincipalEvent, PrincipalType } from '#libs/contracts';
import { type Decider, type EventMeta, Refusal } from '#libs/eventsourcing';
import { holdVersion, impossible } from './version.js';

export interface RegisteredPrincipal {
  readonly status: 'active' | 'removed';
  readonly type: PrincipalType;
  readonly role: PlatformRole;
  /** The tenant it belongs to; null for the platform's own. */
  readonly tenantId: string | null;
  readonly createdAt: string;
  readonly revision: number;
}

export type RegistryEntry = { readonly status: 'absent' } | RegisteredPrincipal;

export type PrincipalCommand =
  | {
      readonly type: 'PutPrincipal';
      readonly principalType: PrincipalType;
      readonly role: PlatformRole;
      readonly tenantId: string | null;
      /** How many other platform administrators are registered: one stream cannot know. */
      readonly otherAdmins: number;
      readonly ifMatch?: number | undefined;
    }
  | { readonly type: 'RemovePrincipal'; readonly otherAdmins: number; readonly ifMatch?: number | undefined };

function decide(command: PrincipalCommand, principal: RegistryEntry): PrincipalEvent[] {
  switch (command.type) {
    case 'PutPrincipal': {
      refuseMisplacedRole(command.role, command.tenantId);
      if (principal.status === 'absent') {
        holdVersion(command.ifMatch, 0);
        return [{ type: 'PrincipalRegistered', data: { type: command.principalType, role: command.role } }];
      }
      if (principal.status === 'removed')
        throw new Refusal('PRINCIPAL_REMOVED', 'This principal was removed; its id is not used again.');
      if (principal.type !== command.principalType || principal.tenantId !== command.tenantId)
        throw new Refusal('PRINCIPAL_EXISTS', 'This id is registered with another type or tenant.');
      holdVersion(command.ifMatch, principal.revision);
      if (principal.role === command.role) return [];
      refuseLastAdmin(principal, command.otherAdmins);
      return [{ type: 'PrincipalRoleChanged', data: { from: principal.role, to: command.role } }];
    }
    case 'RemovePrincipal':
      if (principal.status === 'absent') throw new Refusal('NOT_FOUND', 'There is no such principal.');
      if (principal.status === 'removed') return [];
      holdVersion(command.ifMatch, principal.revision);
      refuseLastAdmin(principal, command.otherAdmins);
      return [{ type: 'PrincipalRemoved', data: {} }];
  }
}

/** A platform administrator of a tenant, or a tenant's owner without one, would be a role that no rule describes. */
function refuseMisplacedRole(role: PlatformRole, tenantId: string | null): void {
  const message =
    role === 'platform_admin' && tenantId !== null
      ? 'A platform_admin belongs to no tenant.'
      : role === 'tenant_owner' && tenantId === null
        ? 'A tenant_owner belongs to a tenant.'
        : undefined;
  if (message !== undefined)
    throw new Refusal('VALIDATION', message, { errors: [{ location: 'body.tenantId', message }] });
}

function refuseLastAdmin(principal: RegisteredPrincipal, otherAdmins: number): void {
  if (principal.role === 'platform_admin' && otherAdmins === 0)
    throw new Refusal('LAST_ADMIN', 'This is the last platform administrator.');
}

function evolve(principal: RegistryEntry, event: PrincipalEvent, meta: EventMeta): RegistryEntry {
  if (event.type === 'PrincipalRegistered')
    return {
      status: 'active',
      type: event.data.type,
      role: event.data.role,
      tenantId: meta.tenantId,
      createdAt: meta.recordedAt,
      revision: meta.revision,
    };
  if (principal.status === 'absent') return impossible(`${event.type} before PrincipalRegistered`);
  switch (event.type) {
    case 'PrincipalRoleChanged':
      return { ...principal, role: event.data.to, revision: meta.revision };
    case 'PrincipalRemoved':
      return { ...principal, status: 'removed', revision: meta.revision };
  }
}

export const principalDecider: Decider<RegistryEntry, PrincipalCommand, PrincipalEvent> = {
  initialState: { status: 'absent' },
  decide,
  evolve,
};

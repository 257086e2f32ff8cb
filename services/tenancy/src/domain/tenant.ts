import type { TenantEvent } from '#libs/contracts';
import { type Decider, type EventMeta, Refusal } from '#libs/eventsourcing';
import { decideKeyPolicy, evolveKeyPolicy, type KeyPolicyCommand, type StandingPolicy } from './key-policy.js';
import { holdVersion, impossible } from './version.js';

export interface StandingTenant {
  readonly status: 'active' | 'suspended';
  readonly name: string;
  readonly createdAt: string;
  readonly revision: number;
  readonly keyPolicy: StandingPolicy | null;
}

export type Tenant = { readonly status: 'absent' } | StandingTenant;

export type TenantCommand =
  | { readonly type: 'CreateTenant'; readonly name: string }
  | { readonly type: 'SuspendTenant' | 'ResumeTenant'; readonly ifMatch?: number | undefined }
  | KeyPolicyCommand;

function decide(command: TenantCommand, tenant: Tenant): TenantEvent[] {
  if (command.type === 'CreateTenant') {
    if (tenant.status !== 'absent') throw new Refusal('TENANT_EXISTS', 'A tenant of this id exists already.');
    return [{ type: 'TenantCreated', data: { name: command.name } }];
  }
  if (tenant.status === 'absent') throw new Refusal('NOT_FOUND', 'There is no such tenant.');
  switch (command.type) {
    case 'SuspendTenant':
      holdVersion(command.ifMatch, tenant.revision);
      return tenant.status === 'suspended' ? [] : [{ type: 'TenantSuspended', data: {} }];
    case 'ResumeTenant':
      holdVersion(command.ifMatch, tenant.revision);
      return tenant.status === 'active' ? [] : [{ type: 'TenantResumed', data: {} }];
    case 'SetKeyPolicy':
    case 'RemoveKeyPolicy':
      return decideKeyPolicy(command, tenant.keyPolicy);
  }
}

function evolve(tenant: Tenant, event: TenantEvent, meta: EventMeta): Tenant {
  if (event.type === 'TenantCreated')
    return {
      status: 'active',
      name: event.data.name,
      createdAt: meta.recordedAt,
      revision: meta.revision,
      keyPolicy: null,
    };
  if (tenant.status === 'absent') return impossible(`${event.type} before TenantCreated`);
  switch (event.type) {
    case 'TenantSuspended':
      return { ...tenant, status: 'suspended', revision: meta.revision };
    case 'TenantResumed':
      return { ...tenant, status: 'active', revision: meta.revision };
    case 'KeyPolicySet':
    case 'KeyPolicyRemoved':
      return { ...tenant, keyPolicy: evolveKeyPolicy(event, meta) };
  }
}

export const tenantDecider: Decider<Tenant, TenantCommand, TenantEvent> = {
  initialState: { status: 'absent' },
  decide,
  evolve,
};

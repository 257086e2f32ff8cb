import {
  categoryOf,
  idOf,
  type KeyOwner,
  type KeyPolicy,
  type MemberRole,
  type PlatformRole,
  type PrincipalEvent,
  type PrincipalType,
  type ProjectEvent,
  type Role,
  type TenantEvent,
} from '#libs/contracts';
import type { EventIndex, OpenedEvent } from '#libs/eventsourcing';
import { ServiceNames } from './service-names.js';

export interface TenantFacts {
  readonly state: 'active' | 'suspended';
  readonly policy: KeyPolicy | null;
}

export interface ProjectFacts {
  readonly tenantId: string;
  readonly name: string;
  readonly closed: boolean;
  readonly policy: KeyPolicy | null;
}

export interface MemberFacts {
  readonly role: MemberRole;
  readonly suspended: boolean;
  readonly removed: boolean;
  /** Sorted. */
  readonly services: readonly string[];
}

export interface PrincipalFacts {
  readonly type: PrincipalType;
  readonly role: PlatformRole;
  readonly tenantId: string | null;
  readonly removed: boolean;
}

export interface Membership extends MemberFacts {
  readonly projectId: string;
  readonly tenantId: string;
}

export type OwnerState =
  | { readonly active: true; readonly role: Role }
  | {
      readonly active: false;
      readonly why: 'unknown' | 'removed' | 'suspended' | 'project-closed' | 'tenant-suspended';
    };

interface Folded<Facts> {
  revision: number;
  facts: Facts;
}

interface FoldedProject extends Folded<ProjectFacts> {
  readonly members: Map<string, MemberFacts>;
}

const NONE: readonly string[] = [];

const inactive = (why: Extract<OwnerState, { active: false }>['why']): OwnerState => ({ active: false, why });

/**
 * Tenants, projects, members and principals in memory, by following the store: what the guard decides from, and what
 * keys and quotas know of tenancy. Equal facts of members are one object, so a member costs little more than its name.
 */
export class AccessIndex implements EventIndex {
  readonly categories = ['tenant', 'project', 'principal', 'quotaCatalogue'];
  readonly parts = [];

  readonly #tenants = new Map<string, Folded<TenantFacts>>();
  readonly #projects = new Map<string, FoldedProject>();
  readonly #principals = new Map<string, Folded<PrincipalFacts>>();
  readonly #projectsOfUser = new Map<string, string[]>();
  readonly #memberFacts = new Map<string, MemberFacts>();
  readonly #services = new ServiceNames();

  apply(event: OpenedEvent): 'applied' | 'seen' | 'gap' {
    if (categoryOf(event.stream) === 'quotaCatalogue') return this.#services.apply(event);
    const id = idOf(event.stream);
    const revision = this.#revisionOf(event.stream, id);
    if (event.revision <= revision) return 'seen';
    if (event.revision > revision + 1) return 'gap';
    // Which events a stream may hold follows from its category, which the type of an event does not carry.
    switch (categoryOf(event.stream)) {
      case 'tenant':
        this.#applyToTenant(id, event, event as unknown as TenantEvent);
        break;
      case 'project':
        this.#applyToProject(id, event, event as unknown as ProjectEvent);
        break;
      case 'principal':
        this.#applyToPrincipal(id, event, event as unknown as PrincipalEvent);
        break;
      default:
        throw new Error(`The access index does not follow ${event.stream}.`);
    }
    return 'applied';
  }

  tenant(tenantId: string): TenantFacts | undefined {
    return this.#tenants.get(tenantId)?.facts;
  }

  project(projectId: string): ProjectFacts | undefined {
    return this.#projects.get(projectId)?.facts;
  }

  /** Removed members stay known as removed. */
  member(projectId: string, userId: string): MemberFacts | undefined {
    return this.#projects.get(projectId)?.members.get(userId);
  }

  /** Removed principals stay known as removed. */
  principal(principalId: string): PrincipalFacts | undefined {
    return this.#principals.get(principalId)?.facts;
  }

  /** How many platform administrators stand beside this principal. */
  otherPlatformAdmins(principalId: string): number {
    let count = 0;
    for (const [id, { facts }] of this.#principals)
      if (id !== principalId && facts.role === 'platform_admin' && !facts.removed) count += 1;
    return count;
  }

  /** In the order of joining, those that were removed or suspended too. */
  membershipsOf(userId: string): Membership[] {
    return (this.#projectsOfUser.get(userId) ?? []).flatMap((projectId) => {
      const project = this.#projects.get(projectId);
      const member = project?.members.get(userId);
      if (project === undefined || member === undefined) return [];
      return [{ ...member, projectId, tenantId: project.facts.tenantId }];
    });
  }

  /** Of the project and of its tenant; the strictest value of both holds. */
  keyPoliciesOf(projectId: string): { tenant: KeyPolicy | null; project: KeyPolicy | null } {
    const project = this.project(projectId);
    if (project === undefined) return { tenant: null, project: null };
    return { tenant: this.tenant(project.tenantId)?.policy ?? null, project: project.policy };
  }

  /** The role in which the owner of a key of this project acts now; null if in none. */
  roleInProject(owner: KeyOwner, projectId: string): Role | null {
    const project = this.project(projectId);
    if (project === undefined) return null;
    const state = this.ownerState(owner, projectId, project.tenantId);
    return state.active ? state.role : null;
  }

  /**
   * Whether the owner of a key made under this project and tenant is active now, and in which role. A principal's own
   * key has no project, and that of a principal of the platform no tenant either.
   */
  ownerState(owner: KeyOwner, projectId: string | null, tenantId: string | null): OwnerState {
    if (tenantId !== null) {
      const tenant = this.tenant(tenantId);
      if (tenant === undefined) return inactive('unknown');
      if (tenant.state === 'suspended') return inactive('tenant-suspended');
    }
    return projectId === null ? this.#principalState(owner, tenantId) : this.#stateIn(projectId, owner, tenantId);
  }

  /**
   * The services of the catalogue that the owner of a key of this project has no access to: their scopes count for
   * nothing. Access is a member's; a service, a project's own key and a principal's need none.
   */
  servicesWithheld(owner: Pick<KeyOwner, 'type' | 'id'>, projectId: string | null): readonly string[] {
    if (projectId === null || owner.type !== 'user') return NONE;
    const member = this.member(projectId, owner.id);
    return member === undefined ? NONE : this.#services.beside(member.services);
  }

  #principalState(owner: KeyOwner, tenantId: string | null): OwnerState {
    const principal = this.principal(owner.id);
    if (principal?.type !== owner.type || principal.tenantId !== tenantId) return inactive('unknown');
    return principal.removed ? inactive('removed') : { active: true, role: principal.role };
  }

  #stateIn(projectId: string, owner: KeyOwner, tenantId: string | null): OwnerState {
    const project = this.project(projectId);
    if (project?.tenantId !== tenantId) return inactive('unknown');
    if (project.closed) return inactive('project-closed');
    switch (owner.type) {
      case 'user': {
        const member = this.member(projectId, owner.id);
        if (member === undefined) return inactive('unknown');
        if (member.removed) return inactive('removed');
        return member.suspended ? inactive('suspended') : { active: true, role: member.role };
      }
      case 'service': {
        const service = this.principal(owner.id);
        if (service?.type !== 'service') return inactive('unknown');
        if (service.tenantId !== null && service.tenantId !== tenantId) return inactive('unknown');
        // Whatever the principal is elsewhere, in a project it is a service: a project's key never carries more.
        return service.removed ? inactive('removed') : { active: true, role: 'service' };
      }
      case 'project':
        return owner.id === projectId ? { active: true, role: owner.role } : inactive('unknown');
    }
  }

  #revisionOf(stream: string, id: string): number {
    switch (categoryOf(stream)) {
      case 'tenant':
        return this.#tenants.get(id)?.revision ?? 0;
      case 'project':
        return this.#projects.get(id)?.revision ?? 0;
      default:
        return this.#principals.get(id)?.revision ?? 0;
    }
  }

  #applyToTenant(id: string, { revision }: OpenedEvent, event: TenantEvent): void {
    if (event.type === 'TenantCreated') {
      this.#tenants.set(id, { revision, facts: { state: 'active', policy: null } });
      return;
    }
    const tenant = known(this.#tenants.get(id), event.type, id);
    tenant.facts = tenantAfter(tenant.facts, event);
    tenant.revision = revision;
  }

  #applyToPrincipal(id: string, { revision, tenantId }: OpenedEvent, event: PrincipalEvent): void {
    if (event.type === 'PrincipalRegistered') {
      this.#principals.set(id, { revision, facts: { ...event.data, tenantId, removed: false } });
      return;
    }
    const principal = known(this.#principals.get(id), event.type, id);
    principal.facts =
      event.type === 'PrincipalRoleChanged'
        ? { ...principal.facts, role: event.data.to }
        : { ...principal.facts, removed: true };
    principal.revision = revision;
  }

  #applyToProject(id: string, { revision, tenantId }: OpenedEvent, event: ProjectEvent): void {
    if (event.type === 'ProjectCreated') {
      if (tenantId === null) throw new Error(`The project ${id} has no tenant.`);
      const facts = { tenantId, name: event.data.name, closed: false, policy: null };
      this.#projects.set(id, { revision, facts, members: new Map() });
      return;
    }
    const project = known(this.#projects.get(id), event.type, id);
    switch (event.type) {
      case 'ProjectClosed':
        project.facts = { ...project.facts, closed: true };
        break;
      case 'KeyPolicySet':
        project.facts = { ...project.facts, policy: event.data.policy };
        break;
      case 'KeyPolicyRemoved':
        project.facts = { ...project.facts, policy: null };
        break;
      case 'MemberAdded':
      case 'MemberProfileChanged':
      case 'MemberRoleChanged':
      case 'MemberSuspended':
      case 'MemberResumed':
      case 'MemberRemoved':
      case 'ServiceAccessGranted':
      case 'ServiceAccessRevoked': {
        const { userId } = event.data;
        const before = project.members.get(userId);
        project.members.set(userId, this.#shared(memberAfter(before, event)));
        if (before === undefined) this.#remember(userId, id);
      }
    }
    project.revision = revision;
  }

  #remember(userId: string, projectId: string): void {
    const projects = this.#projectsOfUser.get(userId);
    if (projects === undefined) this.#projectsOfUser.set(userId, [projectId]);
    else projects.push(projectId);
  }

  #shared(facts: MemberFacts): MemberFacts {
    const name = JSON.stringify([facts.role, facts.suspended, facts.removed, facts.services]);
    const shared = this.#memberFacts.get(name);
    if (shared !== undefined) return shared;
    this.#memberFacts.set(name, facts);
    return facts;
  }
}

/** A stream that does not begin with its first event is a broken one: the index stops, and its readers fail closed. */
function known<Entry>(entry: Entry | undefined, type: string, id: string): Entry {
  if (entry === undefined) throw new Error(`${type} of ${id} came before its first event.`);
  return entry;
}

function tenantAfter(facts: TenantFacts, event: Exclude<TenantEvent, { type: 'TenantCreated' }>): TenantFacts {
  switch (event.type) {
    case 'TenantSuspended':
      return { ...facts, state: 'suspended' };
    case 'TenantResumed':
      return { ...facts, state: 'active' };
    case 'KeyPolicySet':
      return { ...facts, policy: event.data.policy };
    case 'KeyPolicyRemoved':
      return { ...facts, policy: null };
  }
}

type MemberEvent = Extract<ProjectEvent, { data: { userId: string } }>;

function memberAfter(before: MemberFacts | undefined, event: MemberEvent): MemberFacts {
  if (event.type === 'MemberAdded') return { role: event.data.role, suspended: false, removed: false, services: [] };
  const facts = known(before, event.type, event.data.userId);
  switch (event.type) {
    case 'MemberProfileChanged':
      return facts;
    case 'MemberRoleChanged':
      return { ...facts, role: event.data.to };
    case 'MemberSuspended':
      return { ...facts, suspended: true };
    case 'MemberResumed':
      return { ...facts, suspended: false };
    case 'MemberRemoved':
      return { ...facts, removed: true, services: [] };
    case 'ServiceAccessGranted':
      return { ...facts, services: [...new Set([...facts.services, event.data.service])].sort() };
    case 'ServiceAccessRevoked':
      return { ...facts, services: facts.services.filter((service) => service !== event.data.service) };
  }
}

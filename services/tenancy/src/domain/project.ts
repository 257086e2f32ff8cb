import type { Disposition, MemberRole, PersonPart, ProjectEvent } from '#libs/contracts';
import { type Decider, type EventMeta, Refusal } from '#libs/eventsourcing';
import { decideKeyPolicy, evolveKeyPolicy, type KeyPolicyCommand, type StandingPolicy } from './key-policy.js';
import { holdVersion, impossible } from './version.js';

/** A member's services stand in every fold of the project, so their number is bounded. */
export const SERVICES_MAX = 100;

export interface Member {
  readonly role: MemberRole;
  readonly status: 'active' | 'suspended';
  /** The services that it has access to, sorted. */
  readonly services: readonly string[];
  readonly addedAt: string;
  readonly revision: number;
  /** The revision of the event that bears the person's name and e-mail; null if none was ever given. */
  readonly profileRevision: number | null;
}

export interface StandingProject {
  readonly status: 'active' | 'closed';
  readonly tenantId: string;
  readonly name: string;
  readonly createdAt: string;
  readonly revision: number;
  readonly keyPolicy: StandingPolicy | null;
  readonly members: ReadonlyMap<string, Member>;
}

export type Project = { readonly status: 'absent' } | StandingProject;

/** What a PUT gave of the person: an absent field stays as it is, null clears it. */
export interface ProfileChange {
  readonly displayName?: string | null;
  readonly email?: string | null;
}

/** The person as the event at that revision has it, opened by who made the command: a fold sees private parts sealed. */
export interface KnownProfile {
  readonly revision: number;
  readonly person: PersonPart;
}

export interface PutMember {
  readonly type: 'PutMember';
  readonly userId: string;
  readonly role: MemberRole;
  readonly profile: ProfileChange;
  readonly known: KnownProfile | null;
  readonly tenantSuspended: boolean;
  readonly ifMatch?: number | undefined;
}

/** What becomes of what a member uses and reserves; `to` takes it over in a transfer, and is null in all else. */
export interface Removal {
  readonly disposition: Disposition;
  readonly to: string | null;
}

export interface RemoveMember extends Removal {
  readonly type: 'RemoveMember';
  readonly userId: string;
  /** What the quotas said just before; what slips in between is treated as orphaned. */
  readonly objection: Refusal | null;
  readonly ifMatch?: number | undefined;
}

export interface ChangeServiceAccess {
  readonly type: 'GrantService' | 'RevokeService';
  readonly userId: string;
  readonly service: string;
  readonly ifMatch?: number | undefined;
}

export type ProjectCommand =
  | { readonly type: 'CreateProject'; readonly name: string; readonly tenantSuspended: boolean }
  | { readonly type: 'CloseProject'; readonly ifMatch?: number | undefined }
  | PutMember
  | RemoveMember
  | ChangeServiceAccess
  | {
      readonly type: 'SuspendMember' | 'ResumeMember';
      readonly userId: string;
      readonly ifMatch?: number | undefined;
    }
  | KeyPolicyCommand;

const NOBODY: PersonPart = { displayName: null, email: null };

function decide(command: ProjectCommand, project: Project): ProjectEvent[] {
  if (command.type === 'CreateProject') {
    if (project.status !== 'absent') throw new Refusal('PROJECT_EXISTS', 'This project code is taken.');
    refuseWhileSuspended(command.tenantSuspended);
    return [{ type: 'ProjectCreated', data: { name: command.name } }];
  }
  if (project.status === 'absent') throw new Refusal('NOT_FOUND', 'There is no such project.');
  if (command.type === 'CloseProject') {
    holdVersion(command.ifMatch, project.revision);
    return project.status === 'closed' ? [] : [{ type: 'ProjectClosed', data: {} }];
  }
  if (project.status === 'closed') throw new Refusal('PROJECT_CLOSED', 'The project is closed.');
  switch (command.type) {
    case 'PutMember':
      return decidePutMember(command, project.members.get(command.userId));
    case 'RemoveMember':
      return decideRemoval(command, project.members);
    case 'GrantService':
    case 'RevokeService':
      return decideServiceAccess(command, standing(project.members, command));
    case 'SuspendMember':
    case 'ResumeMember': {
      const { userId } = command;
      const member = standing(project.members, command);
      const [wanted, type] =
        command.type === 'SuspendMember'
          ? (['suspended', 'MemberSuspended'] as const)
          : (['active', 'MemberResumed'] as const);
      return member.status === wanted ? [] : [{ type, data: { userId } }];
    }
    case 'SetKeyPolicy':
    case 'RemoveKeyPolicy':
      return decideKeyPolicy(command, project.keyPolicy);
  }
}

function standing(
  members: ReadonlyMap<string, Member>,
  { userId, ifMatch }: { readonly userId: string; readonly ifMatch?: number | undefined },
): Member {
  const member = members.get(userId);
  if (member === undefined) throw new Refusal('NOT_FOUND', 'There is no such member.');
  holdVersion(ifMatch, member.revision);
  return member;
}

function decideRemoval(command: RemoveMember, members: ReadonlyMap<string, Member>): ProjectEvent[] {
  const { userId, disposition, to, objection } = command;
  standing(members, command);
  if (disposition === 'transfer') {
    const receiver = to === null || to === userId ? undefined : members.get(to);
    if (receiver === undefined)
      throw new Refusal('MEMBER_UNKNOWN', 'The usage can only go to another member of the project.');
    if (receiver.status === 'suspended')
      throw new Refusal('MEMBER_SUSPENDED', 'A suspended member takes nothing over.');
  }
  if (objection !== null) throw objection;
  return [{ type: 'MemberRemoved', data: { userId, disposition, to: disposition === 'transfer' ? to : null } }];
}

function decideServiceAccess({ type, userId, service }: ChangeServiceAccess, { services }: Member): ProjectEvent[] {
  const has = services.includes(service);
  if (type === 'RevokeService') return has ? [{ type: 'ServiceAccessRevoked', data: { userId, service } }] : [];
  if (has) return [];
  if (services.length >= SERVICES_MAX)
    throw new Refusal('TOO_MANY_ITEMS', `A member has access to at most ${SERVICES_MAX} services.`);
  return [{ type: 'ServiceAccessGranted', data: { userId, service } }];
}

function decidePutMember(command: PutMember, member: Member | undefined): ProjectEvent[] {
  const { userId, role } = command;
  holdVersion(command.ifMatch, member?.revision ?? 0);
  if (member === undefined) {
    refuseWhileSuspended(command.tenantSuspended);
    const person = { ...NOBODY, ...command.profile };
    return [{ type: 'MemberAdded', data: { userId, role }, ...personPart(person) }];
  }
  const events: ProjectEvent[] = [];
  if (member.role !== role) events.push({ type: 'MemberRoleChanged', data: { userId, from: member.role, to: role } });
  const person = changedPerson(command, member);
  if (person !== null) events.push({ type: 'MemberProfileChanged', data: { userId }, ...personPart(person) });
  return events;
}

/** The whole profile after the change, or null if it stays as it is. */
function changedPerson({ profile, known }: PutMember, member: Member): PersonPart | null {
  const given = Object.keys(profile).length;
  if (given === 0) return null;
  const before = member.profileRevision === null ? NOBODY : known?.revision === member.profileRevision && known.person;
  if (before === false) {
    // Another change of this person came between the reading and the decision: what was not given is not known.
    if (given < 2) throw new Refusal('OVERLOADED', 'The member is being changed by another.', { retryAfterSeconds: 1 });
    return { ...NOBODY, ...profile };
  }
  const after = { ...before, ...profile };
  return after.displayName === before.displayName && after.email === before.email ? null : after;
}

const personPart = (person: PersonPart): { private?: { person: PersonPart } } =>
  person.displayName === null && person.email === null ? {} : { private: { person } };

/** A suspended tenant may be tidied up, but nothing is added under it. */
function refuseWhileSuspended(tenantSuspended: boolean): void {
  if (tenantSuspended) throw new Refusal('TENANT_IS_SUSPENDED', 'The tenant is suspended; nothing is added under it.');
}

type MemberEvent = Extract<ProjectEvent, { data: { userId: string } }>;

function evolveMember(member: Member | undefined, event: MemberEvent, meta: EventMeta): Member | undefined {
  const { revision } = meta;
  if (event.type === 'MemberAdded') {
    const { role } = event.data;
    return {
      role,
      status: 'active',
      services: [],
      addedAt: meta.recordedAt,
      revision,
      profileRevision: profileRevision(event, meta),
    };
  }
  if (member === undefined) return impossible(`${event.type} before MemberAdded`);
  switch (event.type) {
    case 'MemberProfileChanged':
      return { ...member, revision, profileRevision: profileRevision(event, meta) };
    case 'MemberRoleChanged':
      return { ...member, revision, role: event.data.to };
    case 'MemberSuspended':
      return { ...member, revision, status: 'suspended' };
    case 'MemberResumed':
      return { ...member, revision, status: 'active' };
    case 'MemberRemoved':
      return undefined;
    case 'ServiceAccessGranted':
      return { ...member, revision, services: [...member.services, event.data.service].sort() };
    case 'ServiceAccessRevoked':
      return { ...member, revision, services: member.services.filter((service) => service !== event.data.service) };
  }
}

/** Sealed or in plain text, the part is there only if a name or an e-mail was given. */
const profileRevision = (event: { private?: { person?: unknown } }, meta: EventMeta): number | null =>
  event.private?.person === undefined ? null : meta.revision;

function evolve(project: Project, event: ProjectEvent, meta: EventMeta, only?: readonly string[]): Project {
  if (event.type === 'ProjectCreated')
    return {
      status: 'active',
      tenantId: meta.tenantId ?? impossible('a project without a tenant'),
      name: event.data.name,
      createdAt: meta.recordedAt,
      revision: meta.revision,
      keyPolicy: null,
      members: new Map(),
    };
  if (project.status === 'absent') return impossible(`${event.type} before ProjectCreated`);
  if (isMemberEvent(event)) {
    const { userId } = event.data;
    if (only !== undefined && !only.includes(userId)) return project;
    const member = evolveMember(project.members.get(userId), event, meta);
    const members = new Map(project.members);
    if (member === undefined) members.delete(userId);
    else members.set(userId, member);
    return { ...project, members };
  }
  switch (event.type) {
    case 'ProjectClosed':
      return { ...project, status: 'closed', revision: meta.revision };
    case 'KeyPolicySet':
    case 'KeyPolicyRemoved':
      return { ...project, keyPolicy: evolveKeyPolicy(event, meta) };
  }
}

const isMemberEvent = (event: ProjectEvent): event is MemberEvent => 'userId' in event.data;

/**
 * The rules of a project. A command is about two members at most, so its fold may keep `only` those: it then costs no
 * more in a project of many. Without it every member is kept.
 */
export const projectDecider = (only?: readonly string[]): Decider<Project, ProjectCommand, ProjectEvent> => ({
  initialState: { status: 'absent' },
  decide,
  evolve: (project, event, meta) => evolve(project, event, meta, only),
});

import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { principalStream, projectStream, tenantStream } from '#libs/contracts';
import { type Decider, type DomainEvent, type Ledger, Refusal } from '#libs/eventsourcing';
import { LEDGER, type RequestContext } from '#libs/platform';
import type { StandingPolicy } from './domain/key-policy.js';
import { principalDecider } from './domain/principal.js';
import { projectDecider } from './domain/project.js';
import { tenantDecider } from './domain/tenant.js';
import { People } from './people.js';
import { type Folded, foldStream } from './standing.js';
import {
  memberView,
  type MemberView,
  principalView,
  type PrincipalView,
  projectView,
  type ProjectView,
  tenantView,
  type TenantView,
} from './tenancy.views.js';
import type { PolicyNow } from './tenant.commands.js';

/** One thing as it stands now, folded from its stream. */

const absent = (what: string): Refusal => new Refusal('NOT_FOUND', `There is no such ${what}.`);

type Standing<State extends { readonly status: string }> = Exclude<State, { readonly status: 'absent' }>;

async function standing<State extends { readonly status: string }, Command, Event extends DomainEvent>(
  ledger: Ledger,
  stream: string,
  decider: Decider<State, Command, Event>,
  what: string,
): Promise<Folded<Standing<State>>> {
  const { state, positionOf } = await foldStream(ledger, stream, decider);
  if (state.status === 'absent') throw absent(what);
  return { state: state as Standing<State>, positionOf };
}

function policyOf(keyPolicy: StandingPolicy | null, positionOf: Folded<unknown>['positionOf']): PolicyNow {
  if (keyPolicy === null) throw new Refusal('NOT_FOUND', 'No key policy is set here; nothing is limited.');
  return { standing: keyPolicy, position: positionOf(keyPolicy.revision) };
}

export class GetTenantQuery extends Query<TenantView> {
  constructor(
    readonly tenantId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class GetTenantKeyPolicyQuery extends Query<PolicyNow> {
  constructor(
    readonly tenantId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class GetProjectQuery extends Query<ProjectView> {
  constructor(
    readonly projectId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class GetProjectKeyPolicyQuery extends Query<PolicyNow> {
  constructor(
    readonly projectId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class GetMemberQuery extends Query<MemberView> {
  constructor(
    readonly projectId: string,
    readonly userId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class GetPrincipalQuery extends Query<PrincipalView> {
  constructor(
    readonly principalId: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

@QueryHandler(GetTenantQuery)
export class GetTenantHandler implements IQueryHandler<GetTenantQuery> {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async execute({ tenantId }: GetTenantQuery): Promise<TenantView> {
    const { state, positionOf } = await standing(this.ledger, tenantStream(tenantId), tenantDecider, 'tenant');
    return tenantView(tenantId, state, positionOf(state.revision));
  }
}

@QueryHandler(GetTenantKeyPolicyQuery)
export class GetTenantKeyPolicyHandler implements IQueryHandler<GetTenantKeyPolicyQuery> {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async execute({ tenantId }: GetTenantKeyPolicyQuery): Promise<PolicyNow> {
    const { state, positionOf } = await standing(this.ledger, tenantStream(tenantId), tenantDecider, 'tenant');
    return policyOf(state.keyPolicy, positionOf);
  }
}

@QueryHandler(GetProjectQuery)
export class GetProjectHandler implements IQueryHandler<GetProjectQuery> {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async execute({ projectId }: GetProjectQuery): Promise<ProjectView> {
    const stream = projectStream(projectId);
    const { state, positionOf } = await standing(this.ledger, stream, projectDecider([]), 'project');
    return projectView(projectId, state, positionOf(state.revision));
  }
}

@QueryHandler(GetProjectKeyPolicyQuery)
export class GetProjectKeyPolicyHandler implements IQueryHandler<GetProjectKeyPolicyQuery> {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async execute({ projectId }: GetProjectKeyPolicyQuery): Promise<PolicyNow> {
    const stream = projectStream(projectId);
    const { state, positionOf } = await standing(this.ledger, stream, projectDecider([]), 'project');
    return policyOf(state.keyPolicy, positionOf);
  }
}

@QueryHandler(GetMemberQuery)
export class GetMemberHandler implements IQueryHandler<GetMemberQuery> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly people: People,
  ) {}

  async execute({ projectId, userId }: GetMemberQuery): Promise<MemberView> {
    const stream = projectStream(projectId);
    const { state, positionOf } = await standing(this.ledger, stream, projectDecider([userId]), 'project');
    const member = state.members.get(userId);
    if (member === undefined) throw absent('member');
    const person = await this.people.at(projectId, member.profileRevision);
    return memberView({ projectId, userId }, member, person, positionOf(member.revision));
  }
}

@QueryHandler(GetPrincipalQuery)
export class GetPrincipalHandler implements IQueryHandler<GetPrincipalQuery> {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async execute({ principalId }: GetPrincipalQuery): Promise<PrincipalView> {
    const stream = principalStream(principalId);
    const { state, positionOf } = await standing(this.ledger, stream, principalDecider, 'principal');
    return principalView(principalId, state, positionOf(state.revision));
  }
}

export const standingQueryHandlers = [
  GetTenantHandler,
  GetTenantKeyPolicyHandler,
  GetProjectHandler,
  GetProjectKeyPolicyHandler,
  GetMemberHandler,
  GetPrincipalHandler,
];

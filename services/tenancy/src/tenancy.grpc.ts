import { Injectable, type OnModuleInit } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { KeyPolicy } from '#libs/contracts';
import { GrpcServer, readFields, type RequestContext, unary, type UnaryMethod, withoutPosition } from '#libs/platform';
import { answered, answeredPolicy } from './answered.js';
import {
  ChangeServiceAccessCommand,
  PutMemberCommand,
  ResumeMemberCommand,
  SuspendMemberCommand,
} from './member.commands.js';
import { PutPrincipalCommand, RemovePrincipalCommand } from './principal.commands.js';
import { CloseProjectCommand, CreateProjectCommand, SetProjectKeyPolicyCommand } from './project.commands.js';
import { OffboardUserCommand, RemoveMemberCommand } from './removal.commands.js';
import {
  GetMemberQuery,
  GetPrincipalQuery,
  GetProjectKeyPolicyQuery,
  GetProjectQuery,
  GetTenantKeyPolicyQuery,
  GetTenantQuery,
} from './standing.queries.js';
import {
  CreateProjectBody,
  CreateTenantBody,
  KeyPolicyBody,
  MemberPath,
  MembersQuery,
  OffboardBody,
  policyOf,
  PrincipalPath,
  PrincipalsQuery,
  profileOf,
  ProjectPath,
  ProjectsQuery,
  PutMemberBody,
  PutPrincipalBody,
  removalOf,
  RemovalQuery,
  ServiceAccessPath,
  TenantPath,
  TenantsQuery,
  UserPath,
} from './tenancy.dto.js';
import { ListMembersQuery, ListPrincipalsQuery, ListProjectsQuery, ListTenantsQuery } from './tenancy.queries.js';
import {
  CreateTenantCommand,
  ResumeTenantCommand,
  SetTenantKeyPolicyCommand,
  SuspendTenantCommand,
} from './tenant.commands.js';

type Methods = Readonly<Record<string, UnaryMethod>>;

/** A message as the DTOs of the HTTP route: the fields that name the thing, and the rest. */
function read<Path extends object, Body extends object>(
  request: unknown,
  path: new () => Path,
  pathFields: readonly (keyof Path & string)[],
  body: new () => Body,
): [Path, Body] {
  const isPath = (name: string): boolean => (pathFields as readonly string[]).includes(name);
  const entries = Object.entries(withoutPosition(request) as object);
  const some = (wanted: boolean): object => Object.fromEntries(entries.filter(([name]) => isPath(name) === wanted));
  return [readFields(path, some(true), 'request'), readFields(body, some(false), 'request')];
}

const readAll = <T extends object>(request: unknown, type: new () => T): T =>
  readFields(type, withoutPosition(request), 'request');

/** Lists have messages of their own, for only so an absent list differs from an empty one. */
interface KeyPolicyMessage extends Omit<KeyPolicy, 'allowedScopes' | 'warnDays'> {
  readonly allowedScopes?: { readonly scopes?: readonly string[] };
  readonly warnDays?: { readonly days?: readonly number[] };
}

function readPolicy(message: unknown): KeyPolicy {
  const { allowedScopes, warnDays, ...rest } = (message ?? {}) as KeyPolicyMessage;
  const policy = {
    ...rest,
    ...(allowedScopes === undefined ? {} : { allowedScopes: allowedScopes.scopes ?? [] }),
    ...(warnDays === undefined ? {} : { warnDays: warnDays.days ?? [] }),
  };
  return policyOf(readFields(KeyPolicyBody, policy, 'request.policy'));
}

function policyMessage({ allowedScopes, warnDays, ...rest }: KeyPolicy): KeyPolicyMessage {
  return {
    ...rest,
    ...(allowedScopes === undefined ? {} : { allowedScopes: { scopes: allowedScopes } }),
    ...(warnDays === undefined ? {} : { warnDays: { days: warnDays } }),
  };
}

/** The commands and queries of the HTTP routes over gRPC (steward.v1.TenancyService). */
@Injectable()
export class TenancyGrpc implements OnModuleInit {
  constructor(
    private readonly server: GrpcServer,
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  onModuleInit(): void {
    this.server.addService('steward/v1/tenancy.proto', 'steward.v1.TenancyService', {
      ...this.tenants(),
      ...this.projects(),
      ...this.members(),
      ...this.principals(),
      ...this.tenantKeyPolicies(),
      ...this.projectKeyPolicies(),
    });
  }

  private tenants(): Methods {
    return {
      createTenant: unary('tenants:write', 'platform', async (request, context) => {
        const { id, name } = readAll(request, CreateTenantBody);
        return answered(context, (await this.commands.execute(new CreateTenantCommand(id, name, context))).view);
      }),
      getTenant: unary('tenants:read', 'tenant', async (request, context) => {
        const { tenantId } = readAll(request, TenantPath);
        return answered(context, await this.queries.execute(new GetTenantQuery(tenantId, context)));
      }),
      listTenants: unary('tenants:read', 'list', (request, context) =>
        this.queries.execute(new ListTenantsQuery(readAll(request, TenantsQuery), context)),
      ),
      suspendTenant: unary('tenants:write', 'tenant', async (request, context) => {
        const { tenantId } = readAll(request, TenantPath);
        return answered(context, (await this.commands.execute(new SuspendTenantCommand(tenantId, context))).view);
      }),
      resumeTenant: unary('tenants:write', 'tenant', async (request, context) => {
        const { tenantId } = readAll(request, TenantPath);
        return answered(context, (await this.commands.execute(new ResumeTenantCommand(tenantId, context))).view);
      }),
    };
  }

  private projects(): Methods {
    return {
      createProject: unary('projects:write', 'tenant', async (request, context) => {
        const [{ tenantId }, { id, name }] = read(request, TenantPath, ['tenantId'], CreateProjectBody);
        const command = new CreateProjectCommand(tenantId, id, name, context);
        return answered(context, (await this.commands.execute(command)).view);
      }),
      getProject: unary('projects:read', 'project', async (request, context) => {
        const { projectId } = readAll(request, ProjectPath);
        return answered(context, await this.queries.execute(new GetProjectQuery(projectId, context)));
      }),
      listProjects: unary('projects:read', 'list', (request, context) =>
        this.queries.execute(new ListProjectsQuery(readAll(request, ProjectsQuery), context)),
      ),
      closeProject: unary('projects:write', 'project', async (request, context) => {
        const { projectId } = readAll(request, ProjectPath);
        return answered(context, (await this.commands.execute(new CloseProjectCommand(projectId, context))).view);
      }),
    };
  }

  private members(): Methods {
    return {
      putMember: unary('members:write', 'member', async (request, context) => {
        const names = ['projectId', 'userId'] as const;
        const [{ projectId, userId }, body] = read(clearing(request), MemberPath, names, PutMemberBody);
        const command = new PutMemberCommand(projectId, userId, body.role, profileOf(body), context);
        return answered(context, (await this.commands.execute(command)).view);
      }),
      getMember: unary('members:read', 'member', async (request, context) => {
        const { projectId, userId } = readAll(request, MemberPath);
        return answered(context, await this.queries.execute(new GetMemberQuery(projectId, userId, context)));
      }),
      listMembers: unary('members:read', 'list', (request, context) => {
        const [{ projectId }, query] = read(request, ProjectPath, ['projectId'], MembersQuery);
        return this.queries.execute(new ListMembersQuery(projectId, query, context));
      }),
      suspendMember: unary('members:write', 'member', async (request, context) => {
        const { projectId, userId } = readAll(request, MemberPath);
        const command = new SuspendMemberCommand(projectId, userId, context);
        return answered(context, (await this.commands.execute(command)).view);
      }),
      removeMember: unary('members:write', 'member', async (request, context) => {
        const names = ['projectId', 'userId'] as const;
        const [{ projectId, userId }, query] = read(request, MemberPath, names, RemovalQuery);
        const command = new RemoveMemberCommand(projectId, userId, removalOf(query, 'request'), context);
        context.answered(await this.commands.execute(command));
        return {};
      }),
      grantServiceAccess: unary('service-access:write', 'member', (request, context) =>
        this.changeServiceAccess('GrantService', request, context),
      ),
      revokeServiceAccess: unary('service-access:write', 'member', (request, context) =>
        this.changeServiceAccess('RevokeService', request, context),
      ),
      offboardUser: unary('members:write', 'user', async (request, context) => {
        const [{ tenantId, userId }, body] = read(request, UserPath, ['tenantId', 'userId'], OffboardBody);
        const removal = removalOf(body, 'request');
        const command = new OffboardUserCommand(tenantId, userId, removal, body.comment ?? null, context);
        const { view, position } = await this.commands.execute(command);
        context.answered({ position });
        return view;
      }),
      resumeMember: unary('members:write', 'member', async (request, context) => {
        const { projectId, userId } = readAll(request, MemberPath);
        const command = new ResumeMemberCommand(projectId, userId, context);
        return answered(context, (await this.commands.execute(command)).view);
      }),
    };
  }

  private async changeServiceAccess(
    type: ChangeServiceAccessCommand['type'],
    request: unknown,
    context: RequestContext,
  ): Promise<object> {
    const { service, ...place } = readAll(request, ServiceAccessPath);
    const command = new ChangeServiceAccessCommand(type, place, service, context);
    return answered(context, (await this.commands.execute(command)).view);
  }

  private principals(): Methods {
    return {
      putPrincipal: unary('principals:write', 'platform', async (request, context) => {
        const [{ principalId }, body] = read(request, PrincipalPath, ['principalId'], PutPrincipalBody);
        const { type, role, tenantId = null } = body;
        const command = new PutPrincipalCommand(principalId, { type, role, tenantId }, context);
        return answered(context, (await this.commands.execute(command)).view);
      }),
      getPrincipal: unary('principals:read', 'principal', async (request, context) => {
        const { principalId } = readAll(request, PrincipalPath);
        return answered(context, await this.queries.execute(new GetPrincipalQuery(principalId, context)));
      }),
      listPrincipals: unary('principals:read', 'list', (request, context) =>
        this.queries.execute(new ListPrincipalsQuery(readAll(request, PrincipalsQuery), context)),
      ),
      removePrincipal: unary('principals:write', 'principal', async (request, context) => {
        const { principalId } = readAll(request, PrincipalPath);
        return answered(context, (await this.commands.execute(new RemovePrincipalCommand(principalId, context))).view);
      }),
    };
  }

  private tenantKeyPolicies(): Methods {
    const set = async (tenantId: string, policy: KeyPolicy | null, context: RequestContext): Promise<object> =>
      policyMessage(
        answeredPolicy(context, await this.commands.execute(new SetTenantKeyPolicyCommand(tenantId, policy, context))),
      );
    return {
      getTenantKeyPolicy: unary('policies:read', 'tenant', async (request, context) => {
        const { tenantId } = readAll(request, TenantPath);
        const found = await this.queries.execute(new GetTenantKeyPolicyQuery(tenantId, context));
        return policyMessage(answeredPolicy(context, found));
      }),
      setTenantKeyPolicy: unary('policies:write', 'tenant', (request, context) => {
        const { policy, ...path } = request as { policy?: object };
        return set(readAll(path, TenantPath).tenantId, readPolicy(policy), context);
      }),
      removeTenantKeyPolicy: unary('policies:write', 'tenant', (request, context) =>
        set(readAll(request, TenantPath).tenantId, null, context),
      ),
    };
  }

  private projectKeyPolicies(): Methods {
    const set = async (projectId: string, policy: KeyPolicy | null, context: RequestContext): Promise<object> =>
      policyMessage(
        answeredPolicy(
          context,
          await this.commands.execute(new SetProjectKeyPolicyCommand(projectId, policy, context)),
        ),
      );
    return {
      getProjectKeyPolicy: unary('policies:read', 'project', async (request, context) => {
        const { projectId } = readAll(request, ProjectPath);
        const found = await this.queries.execute(new GetProjectKeyPolicyQuery(projectId, context));
        return policyMessage(answeredPolicy(context, found));
      }),
      setProjectKeyPolicy: unary('policies:write', 'project', (request, context) => {
        const { policy, ...path } = request as { policy?: object };
        return set(readAll(path, ProjectPath).projectId, readPolicy(policy), context);
      }),
      removeProjectKeyPolicy: unary('policies:write', 'project', (request, context) =>
        set(readAll(request, ProjectPath).projectId, null, context),
      ),
    };
  }
}

/** Protocol buffers have no null: an empty text that came clears, one that did not come leaves as it is. */
function clearing(request: unknown): object {
  return Object.fromEntries(
    Object.entries(request as object).map(([name, value]: [string, unknown]) => [
      name,
      value === '' && (name === 'displayName' || name === 'email') ? null : value,
    ]),
  );
}

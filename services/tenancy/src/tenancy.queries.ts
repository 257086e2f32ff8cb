import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Pool } from 'pg';
import { type Page, POOL, ReadGate, type RequestContext } from '#libs/platform';
import { type List, readPage } from './list-page.js';
import { searchable, tenancyProjection } from './projections/tenancy.projection.js';
import type { MembersQuery, PrincipalsQuery, ProjectsQuery, TenantsQuery } from './tenancy.dto.js';
import type { MemberView, PrincipalView, ProjectView, TenantView } from './tenancy.views.js';

/** The lists of tenancy, each a page of what the caller may see. */

const tenants: List<TenantView> = {
  table: 'tenancy.tenants',
  columns: 'tenant_id as id, name, status, created_at as "createdAt", version, position',
  idColumn: 'tenant_id',
  idOf: ({ id }) => id,
  sorts: {
    id: { sql: 'tenant_id', valueOf: ({ id }) => id },
    name: { sql: 'name', valueOf: ({ name }) => name },
    createdAt: { sql: 'created_at', valueOf: ({ createdAt }) => createdAt },
  },
  tenantColumn: 'tenant_id',
};

const projects: List<ProjectView> = {
  table: 'tenancy.projects',
  columns: 'project_id as id, tenant_id as "tenantId", name, status, created_at as "createdAt", version, position',
  idColumn: 'project_id',
  idOf: ({ id }) => id,
  sorts: {
    id: { sql: 'project_id', valueOf: ({ id }) => id },
    name: { sql: 'name', valueOf: ({ name }) => name },
    createdAt: { sql: 'created_at', valueOf: ({ createdAt }) => createdAt },
  },
  tenantColumn: 'tenant_id',
  projectColumn: 'project_id',
};

const members: List<MemberView> = {
  table: 'tenancy.members',
  columns: `project_id as "projectId", user_id as "userId", role, status, services, display_name as "displayName", email,
    added_at as "addedAt", version, position`,
  idColumn: 'user_id',
  idOf: ({ userId }) => userId,
  sorts: {
    userId: { sql: 'user_id', valueOf: ({ userId }) => userId },
    displayName: { sql: `coalesce(display_name, '')`, valueOf: ({ displayName }) => displayName ?? '' },
    addedAt: { sql: 'added_at', valueOf: ({ addedAt }) => addedAt },
  },
  tenantColumn: 'tenant_id',
  projectColumn: 'project_id',
  userColumn: 'user_id',
};

const principals: List<PrincipalView> = {
  table: 'tenancy.principals',
  columns:
    'principal_id as id, type, role, tenant_id as "tenantId", status, created_at as "createdAt", version, position',
  idColumn: 'principal_id',
  idOf: ({ id }) => id,
  sorts: {
    id: { sql: 'principal_id', valueOf: ({ id }) => id },
    createdAt: { sql: 'created_at', valueOf: ({ createdAt }) => createdAt },
  },
  tenantColumn: 'tenant_id',
};

const searchOf = (q: string | undefined): string | undefined => (q === undefined ? undefined : searchable(q));

export class ListTenantsQuery extends Query<Page<TenantView>> {
  constructor(
    readonly query: TenantsQuery,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class ListProjectsQuery extends Query<Page<ProjectView>> {
  constructor(
    readonly query: ProjectsQuery,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class ListMembersQuery extends Query<Page<MemberView>> {
  constructor(
    readonly projectId: string,
    readonly query: MembersQuery,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class ListPrincipalsQuery extends Query<Page<PrincipalView>> {
  constructor(
    readonly query: PrincipalsQuery,
    readonly context: RequestContext,
  ) {
    super();
  }
}

@QueryHandler(ListTenantsQuery)
export class ListTenantsHandler implements IQueryHandler<ListTenantsQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    private readonly gate: ReadGate,
  ) {}

  async execute({ query, context }: ListTenantsQuery): Promise<Page<TenantView>> {
    await this.gate.reach(context, tenancyProjection.name);
    const { status, q, ...page } = query;
    return readPage(this.pool, tenants, { ...page, access: context.access, filters: { status }, search: searchOf(q) });
  }
}

@QueryHandler(ListProjectsQuery)
export class ListProjectsHandler implements IQueryHandler<ListProjectsQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    private readonly gate: ReadGate,
  ) {}

  async execute({ query, context }: ListProjectsQuery): Promise<Page<ProjectView>> {
    await this.gate.reach(context, tenancyProjection.name);
    const { status, tenantId, q, ...page } = query;
    const filters = { status, tenant_id: tenantId };
    return readPage(this.pool, projects, { ...page, access: context.access, filters, search: searchOf(q) });
  }
}

@QueryHandler(ListMembersQuery)
export class ListMembersHandler implements IQueryHandler<ListMembersQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    private readonly gate: ReadGate,
  ) {}

  async execute({ projectId, query, context }: ListMembersQuery): Promise<Page<MemberView>> {
    await this.gate.reach(context, tenancyProjection.name);
    const { role, status, q, ...page } = query;
    const filters = { project_id: projectId, role, status };
    return readPage(this.pool, members, { ...page, access: context.access, filters, search: searchOf(q) });
  }
}

@QueryHandler(ListPrincipalsQuery)
export class ListPrincipalsHandler implements IQueryHandler<ListPrincipalsQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    private readonly gate: ReadGate,
  ) {}

  async execute({ query, context }: ListPrincipalsQuery): Promise<Page<PrincipalView>> {
    await this.gate.reach(context, tenancyProjection.name);
    const { type, role, tenantId, status, ...page } = query;
    const filters = { type, role, tenant_id: tenantId, status };
    return readPage(this.pool, principals, { ...page, access: context.access, filters });
  }
}

export const listQueryHandlers = [ListTenantsHandler, ListProjectsHandler, ListMembersHandler, ListPrincipalsHandler];

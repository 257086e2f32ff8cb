import { Injectable, type OnModuleInit } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { QuotaScope } from '#libs/contracts';
import { Gatekeeper, GrpcServer, type RequestContext, Targets, unary, type UnaryMethod } from '#libs/platform';
import { CatalogueIndex } from './catalogue/catalogue-index.js';
import { catalogueResourceView, catalogueView } from './catalogue/catalogue.views.js';
import { answeredLimit, answeredPolicy } from './quota-answers.js';
import {
  BulkSetLimitsCommand,
  ChangeLimitCommand,
  ChangeQuotaPolicyCommand,
  type LimitChange,
  SetCatalogueResourceCommand,
} from './quota.commands.js';
import {
  bulkMessage,
  catalogueMessage,
  catalogueResourceMessage,
  fieldsOf,
  inProject,
  limitChangesMessage,
  listOf,
  ownQuotasMessage,
  projectQuotasMessage,
  quotaMessage,
  read,
} from './quota-messages.js';
import { GetLimitQuery, GetOwnQuotasQuery, GetQuotaPolicyQuery, GetQuotasQuery } from './quota.queries.js';
import { QuotaRights } from './quota-rights.js';
import { GetUsageHistoryQuery, ListLimitChangesQuery } from './read-models/report.queries.js';
import { LimitChangesQuery, UsageHistoryQuery } from './read-models/reports.dto.js';
import { bulkOf, catalogueChangeOf, clearingOf, limitOf, scopeOf } from './quota-wish.js';
import {
  BulkSetLimitsBody,
  CatalogueResourcePath,
  ClearLimitBody,
  FreezeBody,
  ProjectPath,
  QuotaPolicyBody,
  QuotasQuery,
  ScopedNameBody,
  SetCatalogueResourceBody,
  SetLimitBody,
} from './quotas.dto.js';
import { bulkLimitsView } from './quotas.views.js';
import { UsageGrpc } from './usage.grpc.js';

type Methods = Readonly<Record<string, UnaryMethod>>;

interface ScopedName {
  readonly projectId: string;
  readonly scope: QuotaScope;
  readonly name: { readonly service: string; readonly resource: string };
}

function scopedName(fields: Record<string, unknown>): [place: ScopedName, rest: Record<string, unknown>] {
  const { projectId, scope, userId, service, resource, ...rest } = fields;
  const named = read(ScopedNameBody, {
    service,
    resource,
    ...(scope === undefined ? {} : { scope }),
    ...(userId === undefined ? {} : { userId }),
  });
  const name = { service: named.service, resource: named.resource };
  return [{ projectId: read(ProjectPath, { projectId }).projectId, scope: scopeOf(named, 'request'), name }, rest];
}

/** The commands and queries of the HTTP routes over gRPC (steward.v1.QuotaService). */
@Injectable()
export class QuotasGrpc implements OnModuleInit {
  constructor(
    private readonly server: GrpcServer,
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly catalogue: CatalogueIndex,
    private readonly rights: QuotaRights,
    private readonly gatekeeper: Gatekeeper,
    private readonly targets: Targets,
    private readonly usage: UsageGrpc,
  ) {}

  onModuleInit(): void {
    this.server.addService('steward/v1/quotas.proto', 'steward.v1.QuotaService', {
      ...this.catalogued(),
      ...this.rows(),
      ...this.limits(),
      ...this.policies(),
      ...this.reports(),
      ...this.usage.methods(),
    });
  }

  private catalogued(): Methods {
    return {
      getCatalogue: unary('catalogue:read', 'list', (_request, context) => {
        const view = catalogueView(this.catalogue.now);
        context.answered({ revision: view.revision });
        return catalogueMessage(view);
      }),
      setCatalogueResource: unary('catalogue:write', 'platform', async (request, context) => {
        const { service, resource, ...fields } = fieldsOf(request);
        const body = read(SetCatalogueResourceBody, fields);
        const change = catalogueChangeOf(read(CatalogueResourcePath, { service, resource }), body, context.ifMatch);
        const set = await this.commands.execute(new SetCatalogueResourceCommand(change, context));
        context.answered({ revision: set.resource.revision, position: set.position });
        return catalogueResourceMessage(catalogueResourceView(set.resource));
      }),
    };
  }

  private rows(): Methods {
    return {
      getQuotas: unary('quotas:read', 'project', async (request, context) => {
        const [projectId, { service }] = inProject(request, QuotasQuery);
        const view = await this.queries.execute(new GetQuotasQuery(projectId, service, context));
        context.answered({ position: view.position });
        return projectQuotasMessage(view);
      }),
      getOwnQuotas: unary('quotas:read', 'self', async (request, context) => {
        const [projectId, { service }] = inProject(request, QuotasQuery);
        const view = await this.queries.execute(new GetOwnQuotasQuery(projectId, service, context));
        context.answered({ position: view.position });
        return ownQuotasMessage(view);
      }),
      getQuota: unary('quotas:read', 'list', async (request, context) => {
        const [{ projectId, scope, name }] = scopedName(fieldsOf(request));
        const { userId } = scope;
        await this.gatekeeper.authorize(context, 'quotas:read', () =>
          userId === null ? this.targets.project(projectId) : this.targets.member(projectId, userId),
        );
        const { view, position } = await this.queries.execute(new GetLimitQuery(projectId, scope, name, context));
        context.answered({ revision: view.revision, position });
        return quotaMessage(view);
      }),
    };
  }

  private limits(): Methods {
    return {
      setQuota: unary('quotas:write-member', 'deferred', (request, context) => {
        const [{ projectId, scope, name }, fields] = scopedName(fieldsOf(request));
        const body = read(SetLimitBody, fields);
        return this.changeLimit(projectId, limitOf(scope, name, body, context.ifMatch), body.reason, context);
      }),
      clearQuota: unary('quotas:write-member', 'deferred', (request, context) => {
        const [{ projectId, scope, name }, fields] = scopedName(fieldsOf(request));
        const body = read(ClearLimitBody, fields);
        return this.changeLimit(projectId, clearingOf(scope, name, body, context.ifMatch), body.reason, context);
      }),
      bulkSetQuotas: unary('quotas:write-member', 'deferred', async (request, context) => {
        const { projectId, items, ...fields } = fieldsOf(request);
        const body = read(BulkSetLimitsBody, { ...fields, items: listOf(items) });
        const place = read(ProjectPath, { projectId });
        const command = new BulkSetLimitsCommand(place.projectId, bulkOf(body), body.reason ?? null, context);
        const { answer, position } = await this.commands.execute(command);
        context.answered({ position });
        return bulkMessage(bulkLimitsView(answer));
      }),
    };
  }

  /** The place of a limit is no thing of the policy's, so the right to it is asked here. */
  private async changeLimit(
    projectId: string,
    change: LimitChange,
    reason: string | undefined,
    context: RequestContext,
  ): Promise<object> {
    await this.rights.maySet(context, projectId, [change]);
    const command = new ChangeLimitCommand(projectId, change, reason ?? null, context);
    return quotaMessage(answeredLimit(context, await this.commands.execute(command)));
  }

  private policies(): Methods {
    const change = async (
      projectId: string,
      wish: ChangeQuotaPolicyCommand['change'],
      context: RequestContext,
    ): Promise<object> =>
      answeredPolicy(context, await this.commands.execute(new ChangeQuotaPolicyCommand(projectId, wish, context)));
    return {
      getQuotaPolicy: unary('quotas:read', 'project', async (request, context) => {
        const { projectId } = read(ProjectPath, fieldsOf(request));
        const { view, revision, position } = await this.queries.execute(new GetQuotaPolicyQuery(projectId, context));
        context.answered({ revision, position });
        return view;
      }),
      setQuotaPolicy: unary('quotas:write', 'project', (request, context) => {
        const [projectId, { overcommit }] = inProject(request, QuotaPolicyBody);
        return change(projectId, { type: 'SetQuotaPolicy', overcommit, ifMatch: context.ifMatch }, context);
      }),
      freezeQuotas: unary('quotas:write', 'project', (request, context) => {
        const [projectId, { mode }] = inProject(request, FreezeBody);
        return change(projectId, { type: 'FreezeQuota', mode }, context);
      }),
      unfreezeQuotas: unary('quotas:write', 'project', (request, context) =>
        change(read(ProjectPath, fieldsOf(request)).projectId, { type: 'UnfreezeQuota' }, context),
      ),
    };
  }

  private reports(): Methods {
    return {
      getUsageHistory: unary('quotas:read', 'deferred', (request, context) => {
        const [projectId, query] = inProject(request, UsageHistoryQuery);
        return this.queries.execute(new GetUsageHistoryQuery(projectId, query, context));
      }),
      listQuotaChanges: unary('quotas:history', 'list', async (request, context) => {
        const [projectId, query] = inProject(request, LimitChangesQuery);
        return limitChangesMessage(await this.queries.execute(new ListLimitChangesQuery(projectId, query, context)));
      }),
    };
  }
}

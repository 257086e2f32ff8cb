import { Injectable, type OnModuleInit } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { QuotaScope } from '#libs/contracts';
import {
  clientStream,
  type ClientStreamMethod,
  Gatekeeper,
  GrpcServer,
  readFields,
  type RequestContext,
  Targets,
  unary,
  type UnaryMethod,
} from '#libs/platform';
import { CatalogueIndex } from './catalogue-index.js';
import { catalogueResourceView, catalogueView } from './catalogue.views.js';
import { answeredLimit, answeredPolicy } from './quota-answers.js';
import {
  BulkSetLimitsCommand,
  ChangeLimitCommand,
  ChangeQuotaPolicyCommand,
  ChangeUsageCommand,
  type LimitChange,
  SetCatalogueResourceCommand,
} from './quota.commands.js';
import {
  allocateMessage,
  batchMessage,
  bulkMessage,
  catalogueMessage,
  catalogueResourceMessage,
  fieldsOf,
  listOf,
  ownQuotasMessage,
  projectQuotasMessage,
  quotaMessage,
  reserveMessage,
} from './quota-messages.js';
import {
  GetLimitQuery,
  GetOwnQuotasQuery,
  GetQuotaPolicyQuery,
  GetQuotasQuery,
  GetReservationQuery,
  ListAllocationsQuery,
  ListReservationsQuery,
} from './quota.queries.js';
import { QuotaRights } from './quota-rights.js';
import {
  allocationOf,
  bulkOf,
  catalogueChangeOf,
  clearingOf,
  commitOf,
  limitOf,
  reservationOf,
  resizeOf,
  scopeOf,
} from './quota-wish.js';
import {
  AllocateBody,
  AllocationsQuery,
  BulkSetLimitsBody,
  CatalogueResourcePath,
  ClearLimitBody,
  CommitBody,
  ExtendBody,
  FreezeBody,
  ProjectPath,
  QuotaPolicyBody,
  QuotasQuery,
  ReservationsQuery,
  ReserveBatchBody,
  ReserveBody,
  ResizeBody,
  ResourceRefQuery,
  ScopedNameBody,
  SetCatalogueResourceBody,
  SetLimitBody,
  UsagePath,
} from './quotas.dto.js';
import { allocationView, bulkLimitsView, reservationView } from './quotas.views.js';
import { ReconcileUsageCommand } from './reconcile/reconcile.command.js';
import { reportLines } from './reconcile/report-messages.js';
import { ReserveBatchCommand } from './reserve-batch.command.js';

type Methods = Readonly<Record<string, UnaryMethod>>;

const read = <T extends object>(type: new () => T, fields: object): T => readFields(type, fields, 'request');

/** The request's project, and the other fields as those of `type`. */
function inProject<Body extends object>(request: unknown, type: new () => Body): [projectId: string, body: Body] {
  const { projectId, ...fields } = fieldsOf(request);
  return [read(ProjectPath, { projectId }).projectId, read(type, fields)];
}

/** The reservation or allocation that the request names, and the other fields as those of `type`. */
function ofUsage<Body extends object>(request: unknown, type: new () => Body): [path: UsagePath, body: Body] {
  const { projectId, id, ...fields } = fieldsOf(request);
  return [read(UsagePath, { projectId, id }), read(type, fields)];
}

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
  ) {}

  onModuleInit(): void {
    this.server.addService('steward/v1/quotas.proto', 'steward.v1.QuotaService', {
      ...this.catalogued(),
      ...this.rows(),
      ...this.limits(),
      ...this.policies(),
      ...this.reservations(),
      ...this.reservationReads(),
      ...this.allocations(),
      reconcile: this.reconcile(),
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

  private reservations(): Methods {
    return {
      reserve: unary('reservations:write', 'deferred', async (request, context) => {
        const [projectId, body] = inProject(request, ReserveBody);
        const command = new ChangeUsageCommand(projectId, reservationOf(body), context);
        const { answer, position } = await this.commands.execute(command);
        context.answered({ position });
        return reserveMessage(answer);
      }),
      reserveBatch: unary('reservations:write', 'deferred', async (request, context) => {
        const { projectId, reservations, ...fields } = fieldsOf(request);
        const body = read(ReserveBatchBody, { ...fields, reservations: listOf(reservations) });
        const place = read(ProjectPath, { projectId });
        const command = new ReserveBatchCommand(place.projectId, body.reservations.map(reservationOf), context);
        const { results, position } = await this.commands.execute(command);
        context.answered({ position });
        return batchMessage(results);
      }),
      commitReservation: unary('reservations:write', 'deferred', async (request, context) => {
        const [{ projectId, id }, body] = ofUsage(request, CommitBody);
        const command = new ChangeUsageCommand(projectId, commitOf(id, body), context);
        const { answer, position } = await this.commands.execute(command);
        context.answered({ position });
        return allocationView(answer);
      }),
      releaseReservation: unary('reservations:write', 'deferred', (request, context) => {
        const { projectId, id } = read(UsagePath, fieldsOf(request));
        return this.changeReservation(projectId, { type: 'ReleaseReservation', id }, context);
      }),
      extendReservation: unary('reservations:write', 'deferred', (request, context) => {
        const [{ projectId, id }, { ttlSeconds }] = ofUsage(request, ExtendBody);
        return this.changeReservation(projectId, { type: 'ExtendReservation', id, ttlSeconds }, context);
      }),
    };
  }

  private async changeReservation(
    projectId: string,
    wish: Extract<ChangeUsageCommand['wish'], { type: 'ReleaseReservation' | 'ExtendReservation' }>,
    context: RequestContext,
  ): Promise<object> {
    const { answer, position } = await this.commands.execute(new ChangeUsageCommand(projectId, wish, context));
    context.answered({ position });
    return reservationView(answer);
  }

  private reservationReads(): Methods {
    return {
      getReservation: unary('reservations:read', 'list', (request, context) => {
        const { projectId, id } = read(UsagePath, fieldsOf(request));
        return this.queries.execute(new GetReservationQuery(projectId, id, context));
      }),
      listReservations: unary('reservations:read', 'list', (request, context) => {
        const [projectId, query] = inProject(request, ReservationsQuery);
        return this.queries.execute(new ListReservationsQuery(projectId, query, context));
      }),
    };
  }

  private allocations(): Methods {
    return {
      allocate: unary('reservations:write', 'deferred', async (request, context) => {
        const [projectId, body] = inProject(request, AllocateBody);
        const command = new ChangeUsageCommand(projectId, allocationOf(body), context);
        const { answer, position } = await this.commands.execute(command);
        context.answered({ position });
        return allocateMessage(answer);
      }),
      resizeAllocation: unary('reservations:write', 'deferred', async (request, context) => {
        const [{ projectId, id }, body] = ofUsage(request, ResizeBody);
        const command = new ChangeUsageCommand(projectId, resizeOf(id, body), context);
        const { answer, position } = await this.commands.execute(command);
        context.answered({ position });
        return allocateMessage(answer);
      }),
      releaseAllocation: unary('reservations:write', 'deferred', async (request, context) => {
        const { projectId, ...fields } = fieldsOf(request);
        const place = read(ProjectPath, { projectId });
        const by =
          'resourceRef' in fields
            ? read(ResourceRefQuery, fields)
            : { id: read(UsagePath, { projectId, ...fields }).id };
        const command = new ChangeUsageCommand(place.projectId, { type: 'ReleaseAllocation', by }, context);
        const { answer, position } = await this.commands.execute(command);
        context.answered({ position });
        return allocationView(answer);
      }),
      listAllocations: unary('reservations:read', 'list', (request, context) => {
        const [projectId, query] = inProject(request, AllocationsQuery);
        return this.queries.execute(new ListAllocationsQuery(projectId, query, context));
      }),
    };
  }

  private reconcile(): ClientStreamMethod {
    return clientStream('reservations:reconcile', 'project', async (messages, context) => {
      const { projectId, lines } = await reportLines(messages);
      const { view, position } = await this.commands.execute(new ReconcileUsageCommand(projectId, lines, context));
      context.answered({ position });
      return view;
    });
  }
}

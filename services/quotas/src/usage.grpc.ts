import { Injectable } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import {
  clientStream,
  type ClientStreamMethod,
  type GrpcMethod,
  type RequestContext,
  unary,
  type UnaryMethod,
} from '#libs/platform';
import { ChangeUsageCommand } from './quota.commands.js';
import { allocateMessage, batchMessage, fieldsOf, inProject, listOf, read, reserveMessage } from './quota-messages.js';
import { GetReservationQuery, ListAllocationsQuery, ListReservationsQuery } from './quota.queries.js';
import { allocationOf, commitOf, reservationOf, resizeOf } from './quota-wish.js';
import {
  AllocateBody,
  AllocationsQuery,
  CommitBody,
  ExtendBody,
  ProjectPath,
  ReservationsQuery,
  ReserveBatchBody,
  ReserveBody,
  ResizeBody,
  ResourceRefQuery,
  UsagePath,
} from './quotas.dto.js';
import { allocationView, reservationView } from './quotas.views.js';
import { ReconcileUsageCommand } from './reconcile/reconcile.command.js';
import { reportLines } from './reconcile/report-messages.js';
import { ReserveBatchCommand } from './reserve-batch.command.js';

type Methods = Readonly<Record<string, UnaryMethod>>;

/** The reservation or allocation that the request names, and the other fields as those of `type`. */
function ofUsage<Body extends object>(request: unknown, type: new () => Body): [path: UsagePath, body: Body] {
  const { projectId, id, ...fields } = fieldsOf(request);
  return [read(UsagePath, { projectId, id }), read(type, fields)];
}

/** The part of steward.v1.QuotaService that is about reservations and what is used. */
@Injectable()
export class UsageGrpc {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  methods(): Readonly<Record<string, GrpcMethod>> {
    return {
      ...this.reservations(),
      ...this.reservationReads(),
      ...this.allocations(),
      reconcile: this.reconcile(),
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

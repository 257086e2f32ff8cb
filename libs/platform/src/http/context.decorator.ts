import {
  createParamDecorator,
  type ExecutionContext,
  Injectable,
  type PipeTransform,
  SetMetadata,
} from '@nestjs/common';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RequestContext } from '../requests/request-context.js';
import { RequestContexts } from '../requests/request-contexts.js';
import { readFields } from '../fields/read-fields.js';
import { NoFields } from '../fields/field-rules.js';

const REFUSES_KEY = 'steward:refuses-idempotency-key';

/** For streamed routes, which their own content makes repeatable: an Idempotency-Key is IDEMPOTENCY_KEY_REFUSED. */
export const RefusesIdempotencyKey = (): MethodDecorator => SetMetadata(REFUSES_KEY, true);

export const refusesIdempotencyKey = (handler: object): boolean => Reflect.getMetadata(REFUSES_KEY, handler) === true;

interface Asked {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly refusesIdempotencyKey: boolean;
  readonly takes: Taken;
}

interface Taken {
  readonly body: boolean;
  readonly query: boolean;
}

@NoFields()
class Nothing {}

/** Makes the context; and refuses a body or a query that the route has no parameter for. */
@Injectable()
export class ContextPipe implements PipeTransform<Asked, Promise<RequestContext>> {
  constructor(private readonly contexts: RequestContexts) {}

  async transform({ request, reply, refusesIdempotencyKey, takes }: Asked): Promise<RequestContext> {
    if (!takes.body) readFields(Nothing, isStream(request.body) ? {} : (request.body ?? {}), 'body');
    if (!takes.query) readFields(Nothing, withoutPosition(request.query), 'query');
    return this.contexts.ofHttp(request, reply, { refusesIdempotencyKey });
  }
}

const isStream = (body: unknown): boolean => typeof body === 'object' && body !== null && 'pipe' in body;

/** Every read takes `minPosition`; it belongs to the context and not to the DTO of the query. */
export function withoutPosition(query: unknown): unknown {
  if (typeof query !== 'object' || query === null || !('minPosition' in query)) return query ?? {};
  return Object.fromEntries(Object.entries(query).filter(([name]) => name !== 'minPosition'));
}

// Nest keeps the name of this metadata in an internal file.
const ROUTE_ARGUMENTS = '__routeArguments__';
const takenBy = new WeakMap<object, Taken>();

function takenOf(context: ExecutionContext): Taken {
  const handler = context.getHandler();
  const known = takenBy.get(handler);
  if (known !== undefined) return known;
  const parameters = Object.keys(
    (Reflect.getMetadata(ROUTE_ARGUMENTS, context.getClass(), handler.name) as object | undefined) ?? {},
  );
  const has = (type: RouteParamtypes): boolean => parameters.some((name) => name.startsWith(`${type}:`));
  const taken = {
    body: has(RouteParamtypes.BODY) || has(RouteParamtypes.REQUEST),
    query: has(RouteParamtypes.QUERY) || has(RouteParamtypes.REQUEST),
  };
  takenBy.set(handler, taken);
  return taken;
}

const ContextParam = createParamDecorator((_data: unknown, context: ExecutionContext): Asked => {
  const http = context.switchToHttp();
  return {
    request: http.getRequest<FastifyRequest>(),
    reply: http.getResponse<FastifyReply>(),
    refusesIdempotencyKey: refusesIdempotencyKey(context.getHandler()),
    takes: takenOf(context),
  };
});

/**
 * The RequestContext of this request, on routes that the guard admits to:
 *
 *     @Post(':keyId/extend')
 *     @HttpCode(200)
 *     @Requires('keys:update', 'key')
 *     @ApiOkResponse({ type: KeyView })
 *     async extend(@Param() path: KeyPath, @Body() body: ExtendKeyBody, @Context() context: RequestContext) {
 *       const done = await this.commands.execute(new ExtendKeyCommand(path.keyId, body, context));
 *       context.answered({ revision: done.revision, position: done.position });
 *       return done.key;
 *     }
 */
export const Context = (): ParameterDecorator => ContextParam(ContextPipe);

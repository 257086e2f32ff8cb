import { applyDecorators } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { FASTIFY_ROUTE_CONFIG_METADATA } from '@nestjs/platform-fastify/constants.js';
import { ApiBody, ApiConsumes } from '@nestjs/swagger';
import { RefusesIdempotencyKey } from './context.decorator.js';
import type { FastifyContextConfig } from 'fastify';
import { BULK_BODY_BYTES_MAX } from './limits.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Another limit than that of every route. */
    bodyBytesMax?: number;
    /** The body is NDJSON and comes as a stream, beyond the limits of size and time. */
    streamed?: boolean;
    /** The access log tells of it at the level `debug` only. */
    quiet?: boolean;
  }
}

/** Adds to what other decorators have said; Nest's own lets the last one win. */
const routeConfig =
  (config: FastifyContextConfig): MethodDecorator =>
  (prototype, name, descriptor: PropertyDescriptor) => {
    const before = Reflect.getMetadata(FASTIFY_ROUTE_CONFIG_METADATA, descriptor.value as object) as object | undefined;
    RouteConfig({ ...before, ...config })(prototype, name, descriptor);
  };

/** A route whose body may have 256 KiB. */
export const TakesBulkBody = (): MethodDecorator => routeConfig({ bodyBytesMax: BULK_BODY_BYTES_MAX });

/** A route that is called so often that the log would hold nothing else. */
export const Quiet = (): MethodDecorator => routeConfig({ quiet: true });

/**
 * A route that takes NDJSON as a stream, beyond the body limit and the request timeout. The body parameter is `unknown`
 * and goes to `ndjsonLines`. An Idempotency-Key is refused: what a streamed route does is repeatable by itself.
 */
export const Streamed = (): MethodDecorator =>
  applyDecorators(
    routeConfig({ streamed: true }),
    RefusesIdempotencyKey(),
    ApiConsumes('application/x-ndjson'),
    ApiBody({ schema: { type: 'string' }, description: 'One JSON object a line.' }),
  );

import type { handleBidiStreamingCall, handleServerStreamingCall, handleUnaryCall } from '@grpc/grpc-js';
import type { RequestContext } from '../requests/request-context.js';
import type { Action } from '../auth/policy.js';
import type { Requirement } from '../auth/requires.js';
import type { TargetKind } from '../auth/target.js';

export interface UnaryMethod {
  readonly kind: 'unary';
  readonly requires: Requirement;
  readonly handle: (request: unknown, context: RequestContext) => Promise<object> | object;
}

export interface StreamMethod {
  readonly kind: 'stream';
  readonly requires: Requirement;
  readonly handle: (request: unknown, context: RequestContext) => AsyncIterable<object>;
}

export interface ClientStreamMethod {
  readonly kind: 'client-stream';
  readonly requires: Requirement;
  readonly handle: (messages: AsyncIterable<unknown>, context: RequestContext) => Promise<object>;
}

/** A handler of grpc-js as it is: it asks the Gatekeeper itself, and nothing stands between it and the wire. */
export interface RawMethod {
  readonly kind: 'raw';
  readonly implementation:
    | handleUnaryCall<unknown, unknown>
    | handleServerStreamingCall<unknown, unknown>
    | handleBidiStreamingCall<unknown, unknown>;
}

export type GrpcMethod = UnaryMethod | StreamMethod | ClientStreamMethod | RawMethod;

/**
 * A method with everything that an HTTP route has: the guard, the context, problems, a deadline. The target is named by
 * the request's own fields (`keyId`, `projectId`, ...). The request is untrusted; read it as the DTO of the HTTP route.
 *
 *     grpc.addService('steward/v1/keys.proto', 'steward.v1.KeyService', {
 *       extendKey: unary('keys:update', 'key', async (request, context) => {
 *         const { keyId, ...body } = request as { keyId: string };
 *         const done = await this.commands.execute(
 *           new ExtendKeyCommand(keyId, readFields(ExtendKeyBody, body, 'request'), context),
 *         );
 *         context.answered({ revision: done.revision, position: done.position });
 *         return done.key;
 *       }),
 *     });
 */
export const unary = (
  action: Action | null,
  target: TargetKind,
  handle: UnaryMethod['handle'],
  options: Pick<Requirement, 'decidesFromMemory'> = {},
): UnaryMethod => ({ kind: 'unary', requires: { action, target, ...options }, handle });

/**
 * As `unary`, with many answers: the next one is made when the caller has taken those before it. It has no deadline but
 * the caller's own; whoever takes nothing for a minute is refused.
 */
export const serverStream = (
  action: Action | null,
  target: TargetKind,
  handle: StreamMethod['handle'],
): StreamMethod => ({ kind: 'stream', requires: { action, target }, handle });

/**
 * As `unary`, with many requests and one answer. The first request names the target, and comes again with the others. It
 * has no deadline but the caller's own; whoever sends nothing for a minute is refused, and so is an idempotency-key.
 */
export const clientStream = (
  action: Action,
  target: TargetKind,
  handle: ClientStreamMethod['handle'],
): ClientStreamMethod => ({ kind: 'client-stream', requires: { action, target }, handle });

export const rawUnary = (implementation: handleUnaryCall<unknown, unknown>): RawMethod => ({
  kind: 'raw',
  implementation,
});

export const rawServerStream = (implementation: handleServerStreamingCall<unknown, unknown>): RawMethod => ({
  kind: 'raw',
  implementation,
});

export const rawBidiStream = (implementation: handleBidiStreamingCall<unknown, unknown>): RawMethod => ({
  kind: 'raw',
  implementation,
});

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  status as rpcCode,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { HealthImplementation } from 'grpc-health-check';
import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { errorCodes } from '#libs/contracts';
import { jcs, Refusal, type TracedWork, tracedWork } from '#libs/eventsourcing';
import type { AppConfig } from '../config/config.js';
import { tokenOf } from '../auth/credentials.js';
import { Gatekeeper } from '../auth/gatekeeper.js';
import type { Drainable } from '../http/shutdown.js';
import { commandsOf, idempotencyKeyOf } from '../requests/idempotency.js';
import { Metrics } from '../telemetry/metrics.js';
import { refusalOf } from '../requests/problem.js';
import type { RequestContext } from '../requests/request-context.js';
import { refuseKey, RequestContexts, revisionOf } from '../requests/request-contexts.js';
import { CONFIG, INSTALLATION_KEY, LOGGER } from '../tokens.js';
import { addressOfPeer, callerAddress, GrpcAnswer, headerOf, idFieldsOf } from './grpc-call.js';
import { arriving, beginningWith, orUnreadable, taken, UNREADABLE, unreadable } from './grpc-streams.js';
import type { ClientStreamMethod, GrpcMethod, StreamMethod, UnaryMethod } from './grpc-methods.js';
import { reflectionOf } from './reflection.js';
import { rpcStatusOf } from './rpc-status.js';

/** Where the .proto files stand, in the sources and beside the built program alike. */
export const PROTO_ROOT = fileURLToPath(new URL('../../../contracts/proto/', import.meta.url));

export const GRPC_MESSAGE_BYTES_MAX = 256 * 1024;
/** Of a call that brings no deadline. */
export const GRPC_DEADLINE_MS = 10_000;

/** What processes say among themselves is nobody else's business. */
const isPublished = (protoFile: string): boolean => !protoFile.startsWith('steward/internal/');

const LOADER = { keepCase: false, longs: Number, enums: String, defaults: false, oneofs: false } as const;

const LIMITS = {
  'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX,
  'grpc.max_concurrent_streams': 100,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_connection_age_ms': 30 * 60_000,
  'grpc.max_connection_age_grace_ms': 10_000,
} as const;

interface Added {
  readonly protoFile: string;
  readonly service: string;
  readonly methods: Readonly<Record<string, GrpcMethod>>;
}

/**
 * The gRPC server, on grpc-js itself: Nest's transport costs half of what it serves. Services add themselves in
 * `onModuleInit`; whoever starts the program calls `listen`. Reflection and health come with it.
 */
@Injectable()
export class GrpcServer implements Drainable {
  private readonly added: Added[] = [];
  private readonly server = new Server(LIMITS);
  private readonly health = new HealthImplementation({ '': 'NOT_SERVING' });

  constructor(
    private readonly gatekeeper: Gatekeeper,
    private readonly contexts: RequestContexts,
    private readonly metrics: Metrics,
    @Inject(INSTALLATION_KEY) private readonly installationKey: Buffer,
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'trustedProxies' | 'tls'>,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** `protoFile` is a path below PROTO_ROOT, or absolute; the names of methods are in camelCase. */
  addService(protoFile: string, service: string, methods: Readonly<Record<string, GrpcMethod>>): void {
    this.added.push({ protoFile, service, methods });
  }

  /** The port it listens on; 0 asks for any. */
  async listen(port: number, host: string): Promise<number> {
    const files = [...new Set(this.added.map(({ protoFile }) => protoFile))];
    const options = { ...LOADER, includeDirs: [PROTO_ROOT] };
    const definitions = loadSync(files, options);
    for (const added of this.added) this.serve(added, definitions);
    reflectionOf(files.filter(isPublished), options).addToServer(this.server);
    this.health.addToServer(this.server);
    const { tls } = this.config;
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [
            { cert_chain: readFileSync(tls.certFile), private_key: readFileSync(tls.keyFile) },
          ]);
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const bound = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync(address, credentials, (error, boundPort) => {
        if (error === null) resolve(boundPort);
        else reject(error);
      });
    });
    this.setServing('SERVING');
    return bound;
  }

  async drain(drainMs: number): Promise<void> {
    this.setServing('NOT_SERVING');
    const late = setTimeout(() => {
      this.server.forceShutdown();
    }, drainMs);
    await new Promise<void>((resolve) => {
      this.server.tryShutdown(() => {
        resolve();
      });
    });
    clearTimeout(late);
  }

  private setServing(serving: 'SERVING' | 'NOT_SERVING'): void {
    for (const name of ['', ...this.added.map(({ service }) => service)]) this.health.setStatus(name, serving);
  }

  private serve({ service, methods }: Added, definitions: PackageDefinition): void {
    const found = definitions[service];
    if (found === undefined || 'format' in found) throw new Error(`No .proto file declares the service ${service}.`);
    const definition: Record<string, ServiceDefinition[string]> = {};
    const handlers: Record<string, UntypedHandleCall> = {};
    for (const [name, method] of Object.entries(found as ServiceDefinition)) {
      const own = name.charAt(0).toLowerCase() + name.slice(1);
      const handler = methods[own];
      if (handler === undefined) throw new Error(`${service}.${name} has no handler.`);
      definition[own] = { ...method, requestDeserialize: orUnreadable(method.requestDeserialize) };
      handlers[own] = this.guarded(method.path, handler);
    }
    this.server.addService(definition, handlers);
  }

  private guarded(path: string, method: GrpcMethod): UntypedHandleCall {
    return (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
      // Streams bring their requests later, one by one.
      if (call.request === UNREADABLE) this.refuse(new GrpcAnswer(call), unreadable(), callback);
      else if (method.kind === 'raw') tracedUntilAnswered(path, call, callback, method.implementation as RawUnary);
      else if (method.kind === 'stream')
        void this.stream(path, method, call as unknown as ServerWritableStream<unknown, unknown>);
      else if (method.kind === 'client-stream')
        void this.collect(path, method, call as unknown as ServerReadableStream<unknown, unknown>, callback);
      else void traced(path, call, (work) => this.run(path, method, call, callback, work));
    };
  }

  private async run(
    path: string,
    { requires, handle }: UnaryMethod,
    call: ServerUnaryCall<unknown, unknown>,
    callback: sendUnaryData<unknown>,
    work: TracedWork | undefined,
  ): Promise<void> {
    const beganMs = performance.now();
    const answer = new GrpcAnswer(call);
    let principalId: string | null = null;
    let code: number = rpcCode.OK;
    try {
      const context = await this.contextOf(path, requires, answer, call.request);
      principalId = context.principal.id;
      const response = await withinDeadline(call, async () => handle(call.request, context));
      callback(null, response, answer.trailers);
    } catch (error) {
      code = this.refuse(answer, error, callback);
    }
    if (work !== undefined) work.status = rpcCode[code];
    this.note(path, code, beganMs, answer.requestId, principalId);
  }

  private async stream(
    path: string,
    { requires, handle }: StreamMethod,
    call: ServerWritableStream<unknown, unknown>,
  ): Promise<void> {
    const beganMs = performance.now();
    const answer = new GrpcAnswer(call);
    let principalId: string | null = null;
    let code: number = rpcCode.OK;
    try {
      const context = await this.contextOf(path, requires, answer, call.request);
      principalId = context.principal.id;
      for await (const message of handle(call.request, context)) {
        if (!call.cancelled && !call.write(message)) await taken(call);
        if (call.cancelled) break;
      }
      if (call.cancelled) code = rpcCode.CANCELLED;
      else call.end(answer.trailers);
    } catch (error) {
      code = this.refuse(answer, error, (status) => {
        call.emit('error', status);
      });
    }
    this.note(path, code, beganMs, answer.requestId, principalId);
  }

  private async collect(
    path: string,
    { requires, handle }: ClientStreamMethod,
    call: ServerReadableStream<unknown, unknown>,
    callback: sendUnaryData<unknown>,
  ): Promise<void> {
    const beganMs = performance.now();
    const answer = new GrpcAnswer(call);
    const messages = arriving(call);
    let principalId: string | null = null;
    let code: number = rpcCode.OK;
    try {
      refuseKey(headerOf(call.metadata, 'idempotency-key'));
      const first = await messages.next();
      const context = await this.contextOf(path, requires, answer, first.value ?? {});
      principalId = context.principal.id;
      callback(null, await handle(beginningWith(first, messages), context), answer.trailers);
    } catch (error) {
      code = this.refuse(answer, error, callback);
    } finally {
      await messages.return(undefined);
    }
    this.note(path, code, beganMs, answer.requestId, principalId);
  }

  private note(path: string, code: number, beganMs: number, requestId: string, principalId: string | null): void {
    const durationMs = performance.now() - beganMs;
    this.metrics.grpcSeconds.observe({ method: path, code: rpcCode[code] ?? String(code) }, durationMs / 1000);
    this.logger.info(
      {
        method: path,
        code: rpcCode[code],
        durationMs: Math.round(durationMs * 100) / 100,
        requestId,
        principalId,
      },
      'call',
    );
  }

  private async contextOf(
    path: string,
    requires: UnaryMethod['requires'],
    answer: GrpcAnswer,
    request: unknown,
  ): Promise<RequestContext> {
    const { call, requestId } = answer;
    const { metadata } = call;
    const header = (name: string): string | undefined => headerOf(metadata, name);
    const ip = callerAddress(addressOfPeer(call.getPeer()), header('x-forwarded-for'), this.config.trustedProxies);
    const ids = idFieldsOf(request);
    const { minPosition: given } = request as { minPosition?: string };
    const position = () =>
      this.contexts.position({
        'request.minPosition': given === '' ? undefined : given,
        'header.Steward-Position': header('steward-position'),
      });
    const { principal, access } = await this.gatekeeper.admit({
      token: tokenOf(header),
      ip,
      requires,
      params: ids,
      minPosition: position,
    });
    const userAgent = header('user-agent')?.slice(0, 512) ?? null;
    return {
      requestId,
      principal,
      access,
      ip,
      userAgent,
      ifMatch: revisionOf(header('if-match')),
      minPosition: await position(),
      deadlineMs: deadlineMsOf(call),
      command: commandsOf({
        principal,
        idempotencyKey: idempotencyKeyOf(header('idempotency-key')),
        commandParts: (key) => ['grpc', principal.tenantId, principal.id, path, jcs(ids), key],
        method: 'POST',
        pathAndQuery: path,
        body: request,
        installationKey: this.installationKey,
        ip,
        userAgent,
      }),
      answered: (given) => {
        answer.answered(given);
      },
    };
  }

  /** Tells the refusal with its details, and gives its gRPC code. */
  private refuse(answer: GrpcAnswer, error: unknown, callback: sendUnaryData<unknown>): number {
    const refusal = refusalOf(error);
    const { requestId, trailers } = answer;
    if (refusal.code === 'INTERNAL') this.logger.error({ err: error, requestId }, 'A call failed unexpectedly.');
    trailers.set('grpc-status-details-bin', rpcStatusOf(refusal, requestId));
    const code = rpcCode[rpcCode[errorCodes[refusal.code].grpc] as keyof typeof rpcCode];
    callback({ code, details: refusal.detail, metadata: trailers });
    return code;
  }
}

/** Tells of the call to whoever makes traces. */
export function traced(
  path: string,
  { metadata }: Pick<ServerUnaryCall<unknown, unknown>, 'metadata'>,
  run: (work: TracedWork | undefined) => Promise<void>,
): Promise<void> {
  if (!tracedWork.start.hasSubscribers) return run(undefined);
  const work: TracedWork = { name: path, kind: 'request', traceparent: headerOf(metadata, 'traceparent') };
  return tracedWork.tracePromise(() => run(work), work);
}

type RawUnary = (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => void;

/** Calls of Steward's own processes go on in their trace; other raw methods are the hot path, and have none. */
function tracedUntilAnswered(
  path: string,
  call: ServerUnaryCall<unknown, unknown>,
  callback: sendUnaryData<unknown>,
  run: RawUnary,
): void {
  if (!tracedWork.start.hasSubscribers || !path.startsWith('/steward.internal.')) {
    run(call, callback);
    return;
  }
  const traceparent = headerOf(call.metadata, 'traceparent');
  const work: TracedWork = { name: path, kind: 'request', traceparent };
  tracedWork.start.runStores(work, () => {
    run(call, (error, ...answer) => {
      const code = error === null ? rpcCode.OK : (error.code ?? rpcCode.UNKNOWN);
      tracedWork.asyncEnd.publish(Object.assign(work, { status: rpcCode[code] }));
      callback(error, ...answer);
    });
  });
}

/** By performance.now(): when the caller of this waits no longer; undefined if it has not said. */
export function deadlineMsOf(call: Pick<ServerUnaryCall<unknown, unknown>, 'getDeadline'>): number | undefined {
  const deadline = Number(call.getDeadline());
  return Number.isFinite(deadline) ? performance.now() + deadline - Date.now() : undefined;
}

/** grpc-js itself ends a call whose own deadline has passed; one without gets ours. */
async function withinDeadline<T>(call: ServerUnaryCall<unknown, unknown>, handle: () => Promise<T>): Promise<T> {
  if (call.getDeadline() !== Infinity) return handle();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Refusal('REQUEST_TIMEOUT', `The call took longer than ${GRPC_DEADLINE_MS} ms.`));
    }, GRPC_DEADLINE_MS);
  });
  try {
    return await Promise.race([handle(), late]);
  } finally {
    clearTimeout(timer);
  }
}

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { DynamicModule, Type } from '@nestjs/common';
import { type HttpAdapterHost, NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, LogController } from 'fastify';
import type { Logger } from 'pino';
import { Refusal, type TracedWork, tracedWork } from '#libs/eventsourcing';
import type { AppConfig } from '../config/config.js';
import { PinoNestLogger } from '../telemetry/logger.js';
import { Metrics } from '../telemetry/metrics.js';
import { serveOpenApi } from './openapi.js';
import { Readiness } from '../telemetry/readiness.js';
import { KnownPaths } from './known-paths.js';
import { HTTP_LIMITS, type HttpLimits } from './limits.js';
import { ProblemFilter, sendProblem } from './problem.filter.js';
import { RequestPipe } from './request.pipe.js';
import { answerStrangeRequests, clientErrorHandler, type InFlightBySocket } from './socket-problems.js';
import { parseStrictJson } from './strict-json.js';
import { parseStrictQuery, refuseFaultOf, refuseFaultyPath } from './strict-query.js';
import './route-options.js';

export interface HttpOptions {
  readonly config: Pick<AppConfig, 'trustedProxies' | 'tls'>;
  readonly logger: Logger;
  /** Other limits than those that ship, for tests. */
  readonly limits?: Partial<HttpLimits>;
}

/**
 * The module as an HTTP application with every limit, check and header of this house, not listening yet:
 *
 *     const app = await createHttpApplication(StewardModule, { config, logger });
 *     assertEveryRouteHasPolicy(app);
 *     await app.listen(config.port, config.host);
 *
 * The module imports TransportModule.
 */
export async function createHttpApplication(
  module: Type | DynamicModule,
  { config, logger, limits: others = {} }: HttpOptions,
): Promise<NestFastifyApplication> {
  const limits = { ...HTTP_LIMITS, ...others };
  const inFlight: InFlightBySocket = new WeakMap();
  const adapter = new FastifyAdapter(fastifyOptions(config, logger, limits, inFlight));
  const fastify = adapter.getInstance<FastifyInstance>();
  const server = fastify.server;
  server.maxConnections = limits.connectionsMax;
  answerStrangeRequests(server);

  const knownPaths = new KnownPaths(fastify);
  fastify.addHook('onRoute', (route) => {
    const { bodyBytesMax } = route.config ?? {};
    if (bodyBytesMax !== undefined) route.bodyLimit = bodyBytesMax;
  });
  addBodyParsers(fastify, limits);

  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    logger: new PinoNestLogger(logger),
    bodyParser: false,
    abortOnError: false,
  });
  app.useGlobalPipes(new RequestPipe());
  app.useGlobalFilters(new ProblemFilter(logger));
  if (tracedWork.start.hasSubscribers) addTracing(fastify);
  addHooks(fastify, { logger, inFlight, knownPaths, metrics: app.get(Metrics), readiness: app.get(Readiness) });
  serveOpenApi(app);
  await app.init();
  knownPaths.refuseOtherMethods();
  return app;
}

const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
} as const;

/** Swagger UI brings its styles inline and draws from data URLs; it loads nothing from elsewhere. */
const READER_HEADERS = {
  ...SECURITY_HEADERS,
  'content-security-policy':
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
} as const;

function fastifyOptions(
  { trustedProxies, tls }: HttpOptions['config'],
  logger: Logger,
  limits: HttpLimits,
  inFlight: InFlightBySocket,
): ConstructorParameters<typeof FastifyAdapter>[0] {
  const node = {
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: limits.headerMsMax,
    requestTimeout: limits.requestMsMax,
    connectionsCheckingInterval: limits.checkEveryMs,
    // Node would answer a missing Host by itself, without a problem document.
    requireHostHeader: false,
  };
  return {
    ...(tls === undefined
      ? { http: node }
      : {
          https: { ...node, cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile), minVersion: 'TLSv1.2' },
        }),
    loggerInstance: logger,
    // A child per request costs more than many a request; lines bear the request's id where it matters.
    childLoggerFactory: () => logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    bodyLimit: limits.bodyBytesMax,
    requestTimeout: limits.requestMsMax,
    keepAliveTimeout: limits.keepAliveMs,
    maxRequestsPerSocket: limits.requestsPerConnectionMax,
    clientErrorHandler: clientErrorHandler(inFlight),
    // What the router itself refuses meets no hook and no filter.
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      reply.headers(SECURITY_HEADERS).header('steward-request-id', request.id);
      sendProblem(logger, error, request, reply);
    },
    routerOptions: { maxParamLength: 256, querystringParser: parseStrictQuery },
  } as ConstructorParameters<typeof FastifyAdapter>[0];
}

function addBodyParsers(fastify: FastifyInstance, limits: HttpLimits): void {
  fastify.removeAllContentTypeParsers();
  const mediaType = (takes: string): Refusal => new Refusal('MEDIA_TYPE', `This route takes ${takes}.`);
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (request.routeOptions.config.streamed === true) {
      done(mediaType('application/x-ndjson'));
      return;
    }
    // Clients that always send a content type send it with nothing, too.
    done(null, body.length === 0 ? undefined : parseStrictJson(body as Buffer));
  });
  fastify.addContentTypeParser('application/x-ndjson', (request, payload, done) => {
    if (request.routeOptions.config.streamed !== true) {
      done(mediaType('application/json'));
      return;
    }
    const { socket } = request.raw;
    socket.setTimeout(limits.stallMsMax);
    // Who has sent everything waits for the answer, however long that takes, and stalls nothing.
    payload.once('end', () => socket.setTimeout(0));
    done(null, payload);
  });
}

const routeOf = (request: FastifyRequest): string => (request.is404 ? 'none' : (request.routeOptions.url ?? 'none'));

interface HookParts {
  readonly logger: Logger;
  readonly inFlight: InFlightBySocket;
  readonly knownPaths: KnownPaths;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
}

function addHooks(fastify: FastifyInstance, { logger, inFlight, knownPaths, metrics, readiness }: HookParts): void {
  // Its lines have the fields below and none that is redacted; to look for those would cost more than the line.
  const requestLog = logger.child({}, { redact: [] });
  fastify.addHook('onRequest', (request, reply, done) => {
    const { config } = request.routeOptions;
    inFlight.set(request.raw.socket, { response: reply.raw, streamed: config.streamed === true });
    const isReader = request.raw.url?.startsWith('/docs') === true;
    reply.headers(isReader ? READER_HEADERS : SECURITY_HEADERS).header('steward-request-id', request.id);
    if (readiness.drainSignal.aborted) reply.header('connection', 'close');
    done(faultOf(request, reply, knownPaths));
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    const { method } = request;
    const route = routeOf(request);
    const { statusCode: status, elapsedTime } = reply;
    metrics.httpSeconds.observe({ method, route, status }, elapsedTime / 1000);
    const level = request.routeOptions.config.quiet === true && status < 500 ? 'debug' : 'info';
    if (requestLog.isLevelEnabled(level))
      requestLog[level](
        {
          method,
          route,
          status,
          durationMs: Math.round(elapsedTime * 100) / 100,
          requestId: request.id,
          principalId: request.admitted?.principal.id ?? null,
        },
        'request',
      );
    done();
  });
}

/**
 * Tells of each request to whoever makes traces. Only once the body has been read: what comes after it runs on behalf of
 * the socket's reader, and would have forgotten whose request it is.
 */
function addTracing(fastify: FastifyInstance): void {
  const begun = new WeakMap<FastifyRequest, TracedWork>();
  fastify.addHook('preValidation', (request, _reply, done) => {
    const { traceparent } = request.headers;
    const work: TracedWork = {
      name: `${request.method} ${routeOf(request)}`,
      kind: 'request',
      traceparent: typeof traceparent === 'string' ? traceparent : undefined,
    };
    begun.set(request, work);
    tracedWork.start.runStores(work, done);
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    const work = begun.get(request);
    if (work !== undefined) tracedWork.asyncEnd.publish(Object.assign(work, { status: reply.statusCode }));
    done();
  });
}

/** What is wrong with a request before its route is asked, bodies aside. */
function faultOf(request: FastifyRequest, reply: FastifyReply, knownPaths: KnownPaths): Error | undefined {
  try {
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1')
      throw new Refusal('HEADER_MALFORMED', 'An HTTP/1.1 request has a Host header.');
    if (request.is404) {
      const { refusal, allow } = knownPaths.refusalOf(
        request.raw.method ?? '',
        (request.raw.url ?? '').split('?')[0] ?? '',
      );
      if (allow !== undefined) reply.header('allow', allow);
      throw refusal;
    }
    refuseFaultOf(request.query);
    refuseFaultyPath(request.params);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/**
 * Registers routes on Fastify itself, outside Nest's pipes, guards and interceptors; the limits, the strict body and the
 * problem documents of every route hold there too. Call it in a provider's `onModuleInit`:
 *
 *     registerRawRoutes(this.adapterHost, (fastify) => {
 *       fastify.post('/v1/keys/verify', { config: { quiet: true } }, (request) => this.verify(request));
 *     });
 */
export function registerRawRoutes(host: HttpAdapterHost, register: (fastify: FastifyInstance) => void): void {
  register((host.httpAdapter as unknown as FastifyAdapter).getInstance<FastifyInstance>());
}

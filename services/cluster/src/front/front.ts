import { readFileSync } from 'node:fs';
import {
  Agent,
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from '#libs/eventsourcing';
import {
  answerStrangeRequests,
  type AppConfig,
  clientErrorHandler,
  HTTP_LIMITS,
  type InFlightBySocket,
  type Logger,
} from '#libs/platform';
import { answerJson, answerProblem } from './answers.js';
import { type ApiDescription, descriptionOf, merged } from './api-description.js';
import { forward } from './forwarding.js';
import { addressOf, type Replica, Replicas } from './replicas.js';
import { RouteTable } from './route-table.js';

export interface FrontOptions {
  readonly config: Pick<AppConfig, 'host' | 'port' | 'trustedProxies' | 'tls'>;
  /** What is routed to; the first service also answers the paths that nobody has. */
  readonly services: Readonly<Record<string, readonly Replica[]>>;
  /** What `/readyz` asks beside them: it has no API. */
  readonly watched: Readonly<Record<string, readonly Replica[]>>;
  readonly logger: Logger;
}

/** A connection is given back before the replica would close it (65 s). */
const IDLE_MS_MAX = 30_000;
const LEARN_AGAIN_MS = 500;
const DRAIN_MS_MAX = 10_000;
const IDLE_CHECK_MS = 50;
/** For the rest of a body whose request was answered already: a client that sends on would hold its connection for ever. */
const REST_MS_MAX = 5_000;

/** One address for many processes: a request goes to the service that has its path, and there to the replica whose turn it is. */
export class Front {
  /** Resolves when the routes of every service are known. */
  readonly learned: Promise<void>;
  private readonly agent = new Agent({ keepAlive: true, timeout: IDLE_MS_MAX, scheduling: 'lifo', maxFreeSockets: 64 });
  private readonly groups: ReadonlyMap<string, Replicas>;
  private readonly watched: readonly Replicas[];
  private table = new RouteTable();
  private readonly inFlight: InFlightBySocket = new WeakMap();
  private readonly stopping = new AbortController();
  private description: ApiDescription | undefined;

  private constructor(
    private readonly options: FrontOptions,
    private readonly server: Server,
  ) {
    const { services, watched, logger } = options;
    const groupsOf = (from: FrontOptions['services']): [string, Replicas][] =>
      Object.entries(from).map(([name, replicas]) => [name, new Replicas(name, replicas, logger)]);
    this.groups = new Map(groupsOf(services));
    this.watched = [...this.groups.values(), ...groupsOf(watched).map(([, replicas]) => replicas)];
    this.learned = this.learn();
    server.maxConnections = HTTP_LIMITS.connectionsMax;
    answerStrangeRequests(server);
    server.on('clientError', clientErrorHandler(this.inFlight));
    server.on('request', this.onRequest);
    server.on('checkContinue', this.onRequest);
  }

  /** Resolves when it listens; until it has learned a service's routes it answers 503 for them. Throws what `listen` does. */
  static async start(options: FrontOptions): Promise<Front> {
    const { config } = options;
    const limits: ServerOptions = {
      maxHeaderSize: HTTP_LIMITS.headerBytesMax,
      headersTimeout: HTTP_LIMITS.headerMsMax,
      // How long a body may take, its replica knows: a stream of lines may take long.
      requestTimeout: 0,
      keepAliveTimeout: HTTP_LIMITS.keepAliveMs,
      requireHostHeader: false,
    };
    const server =
      config.tls === undefined
        ? createServer(limits)
        : createTlsServer({
            ...limits,
            cert: readFileSync(config.tls.certFile),
            key: readFileSync(config.tls.keyFile),
            minVersion: 'TLSv1.2',
          });
    const front = new Front(options, server);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(config.port, config.host, resolve);
      });
      await Promise.all(front.watched.map((replicas) => replicas.watch()));
      return front;
    } catch (error) {
      await front.stop(0);
      throw error;
    }
  }

  get url(): string {
    const { config } = this.options;
    const { port } = this.server.address() as AddressInfo;
    const host = config.host.includes(':') ? `[${config.host}]` : config.host;
    return `${config.tls === undefined ? 'http' : 'https'}://${host}:${port}`;
  }

  /** No new requests; those in flight may finish for `drainMs`. */
  async stop(drainMs = DRAIN_MS_MAX): Promise<void> {
    this.stopping.abort();
    for (const replicas of this.watched) replicas.stop();
    // A connection that was busy when the server closed is idle later, and would be kept alive for a minute.
    const idle = setInterval(() => {
      this.server.closeIdleConnections();
    }, IDLE_CHECK_MS);
    const late = setTimeout(() => {
      this.server.closeAllConnections();
    }, drainMs);
    await new Promise<void>((resolve) => {
      this.server.close(() => {
        resolve();
      });
    });
    clearInterval(idle);
    clearTimeout(late);
    this.agent.destroy();
  }

  private readonly onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    // The replica's own limits end a slow body, so nothing here does.
    this.inFlight.set(request.socket, { response, streamed: true });
    // A client that breaks off is seen at the answer.
    request.on('error', () => undefined);
    response.once('finish', () => {
      if (request.complete) return;
      const late = setTimeout(() => request.complete || request.socket.destroy(), REST_MS_MAX);
      late.unref();
    });
    if (this.stopping.signal.aborted) response.setHeader('connection', 'close');
    this.handle(request, response).catch((error: unknown) => {
      this.options.logger.error({ err: error }, 'A request could not be handed on.');
      answerProblem(request, response, new Refusal('INTERNAL', 'The request failed.'));
    });
  };

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').split('?')[0] ?? '';
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead && path === '/healthz') answerJson(request, response, 200, { alive: true });
    else if (isRead && path === '/readyz') this.answerReadiness(request, response);
    else if (path === '/metrics')
      answerProblem(request, response, new Refusal('NOT_FOUND', 'Each process has metrics of its own.'));
    else if (isRead && path === '/openapi.json' && this.description !== undefined)
      answerJson(request, response, 200, this.description);
    else await this.route(path, request, response);
  }

  private async route(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [first] = this.groups.keys();
    // While a service's routes are not known, a path that nobody has may be its own.
    const service = this.table.serviceOf(path) ?? (this.description === undefined ? undefined : first);
    const replicas = this.groups.get(service ?? '');
    if (replicas === undefined)
      answerProblem(request, response, new Refusal('SERVICE_UNAVAILABLE', 'The services have not started yet.'));
    else await forward(request, response, replicas, { agent: this.agent, ...this.options.config });
  }

  private answerReadiness(request: IncomingMessage, response: ServerResponse): void {
    const checks = Object.fromEntries(
      this.watched.map(({ service, readyCount, all }) => [
        service,
        { ok: readyCount > 0, ready: readyCount, replicas: all.length },
      ]),
    );
    const ready = this.description !== undefined && Object.values(checks).every(({ ok }) => ok);
    answerJson(request, response, ready ? 200 : 503, { ready, checks });
  }

  private async learn(): Promise<void> {
    const known = new Map<Replicas, ApiDescription>();
    const groups = [...this.groups.values()];
    await Promise.all(
      groups.map(async (replicas) => {
        const description = await this.descriptionOf(replicas);
        if (description === undefined) return;
        known.set(replicas, description);
        const table = new RouteTable();
        // In the order of the services, for of two that have a path the first one answers it.
        for (const one of groups) table.add(one.service, Object.keys(known.get(one)?.paths ?? {}));
        this.table = table;
      }),
    );
    const descriptions = groups.flatMap((replicas) => known.get(replicas) ?? []);
    if (descriptions.length === groups.length) this.description = merged(descriptions);
  }

  /** Asks one replica after the other until one answers; undefined if the front stops before. */
  private async descriptionOf({ all, service }: Replicas): Promise<ApiDescription | undefined> {
    for (let n = 0; !this.stopping.signal.aborted; n += 1) {
      const replica = all[n % all.length] as Replica;
      try {
        return await descriptionOf(replica);
      } catch (error) {
        this.options.logger.debug({ err: error, service, replica: addressOf(replica) }, 'No description yet.');
        await sleep(LEARN_AGAIN_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
      }
    }
    return undefined;
  }
}

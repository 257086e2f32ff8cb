import type { Server } from 'node:http';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';
import { Readiness } from '../telemetry/readiness.js';

export const DRAIN_MS_MAX = 10_000;
/** A second signal within this time is the same one: npm passes Ctrl-C on to a process that the terminal has told already. */
const ECHO_MS = 1_000;
const IDLE_CHECK_MS = 50;

/** Another listener that drains with the HTTP server; it must keep to `drainMs` itself. */
export interface Drainable {
  drain(drainMs: number): Promise<void>;
}

export interface ShutdownOptions {
  readonly logger: Logger;
  /** How long requests in flight may take before their connections are broken. */
  readonly drainMs?: number;
  readonly listeners?: readonly Drainable[];
  /** Ends the process; a test gives its own. */
  readonly exit?: (code: number) => void;
}

/**
 * Not ready any more, no new connections, the requests in flight finish, then Nest's destroy hooks (indexes, projections,
 * store, database, in the order of the modules).
 */
export async function closeGracefully(
  app: NestFastifyApplication,
  { drainMs = DRAIN_MS_MAX, listeners = [] }: Pick<ShutdownOptions, 'drainMs' | 'listeners'> = {},
): Promise<void> {
  app.get(Readiness).drain();
  await Promise.all([drainHttp(app.getHttpServer(), drainMs), ...listeners.map((one) => one.drain(drainMs))]);
  await app.close();
}

async function drainHttp(server: Server, drainMs: number): Promise<void> {
  if (!server.listening) return;
  // A connection that was busy when the server closed is idle later, and would be kept alive for a minute.
  const idle = setInterval(() => {
    server.closeIdleConnections();
  }, IDLE_CHECK_MS);
  const late = setTimeout(() => {
    server.closeAllConnections();
  }, drainMs);
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  clearInterval(idle);
  clearTimeout(late);
}

/**
 * Goes down gracefully on SIGTERM and SIGINT and exits 0; 1 if that failed. A further signal, once the echoes of the first
 * have died away, breaks the connections that are still open.
 */
export function closeOnSignals(app: NestFastifyApplication, options: ShutdownOptions): void {
  const { logger, exit = (code) => process.exit(code) } = options;
  let beganMs: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    const nowMs = performance.now();
    if (beganMs !== undefined) {
      if (nowMs - beganMs > ECHO_MS) app.getHttpServer().closeAllConnections();
      return;
    }
    beganMs = nowMs;
    logger.info({ signal }, 'Steward is going down.');
    closeGracefully(app, options).then(
      () => {
        logger.info('Steward has ended.');
        exit(0);
      },
      (error: unknown) => {
        logger.error({ err: error }, 'Steward could not end in order.');
        exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

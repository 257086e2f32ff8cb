import { type DynamicModule, type ForwardReference, Module, type Type } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AuthModule } from '../auth/auth.module.js';
import { assertEveryRouteHasPolicy } from '../auth/requires.js';
import { type AppConfig, ConfigError, loadConfig } from '../config/config.js';
import type { Environment } from '../config/reader.js';
import { GrpcServer } from '../grpc/grpc-server.js';
import { createHttpApplication } from '../http/application.js';
import { closeGracefully, closeOnSignals } from '../http/shutdown.js';
import { openStorage, type Storage, type StorageDuties } from '../storage/storage.js';
import { StorageModule } from '../storage/storage.module.js';
import { createLogger, type Logger } from '../telemetry/logger.js';
import { TelemetryModule } from '../telemetry/telemetry.module.js';
import { TransportModule } from '../transport.module.js';
import { sentencesOf } from './start-errors.js';

/** What a service that runs apart cannot do without, and why. */
const needed = {
  STEWARD_DATABASE_URL: ['databaseUrl', 'the PostgreSQL that all services share'],
  STEWARD_INTERNAL_KEY_FILE: ['internalKey', 'the secret with which the services know one another'],
  STEWARD_KEYS_GRPC_URL: ['keysGrpcUrls', 'where the keys of callers are verified'],
  STEWARD_QUOTAS_GRPC_URL: ['quotasGrpcUrls', 'where it is told what a member uses'],
} as const satisfies Record<string, readonly [keyof AppConfig, string]>;

export interface Parts {
  readonly storage: Storage;
  readonly config: AppConfig;
  readonly logger: Logger;
}

/** A process of Steward: one service, or all of them. */
export interface Program {
  /** Its name in the ready line. */
  readonly service: string;
  readonly needs: readonly (keyof typeof needed)[];
  readonly duties: StorageDuties;
  /** `api`: HTTP and gRPC behind the guard; `health`: what orchestrators and Prometheus ask, over HTTP. */
  readonly serves: 'api' | 'health';
  /** The modules of its own, beside those of the platform. */
  readonly modules: (parts: Parts) => (Type | DynamicModule | ForwardReference)[];
  /** Once the indexes have reached the store's head, and before it listens. */
  readonly beforeListening?: (app: NestFastifyApplication) => Promise<unknown>;
}

export interface RunningProgram {
  readonly app: NestFastifyApplication;
  readonly storage: Storage;
  readonly http: string;
  /** `host:port`; undefined without an API. */
  readonly grpc: string | undefined;
}

@Module({})
class ProgramModule {
  static of({ serves, modules }: Program, parts: Parts): DynamicModule {
    const { storage, config, logger } = parts;
    const platform = serves === 'api' ? [TransportModule, AuthModule] : [TelemetryModule];
    return {
      module: ProgramModule,
      imports: [StorageModule.of(storage, config, logger), ...platform, ...modules(parts)],
    };
  }
}

/** The program as an application that does not listen yet and whose storage is not started. */
export async function createProgram(program: Program, parts: Parts): Promise<NestFastifyApplication> {
  const app = await createHttpApplication(ProgramModule.of(program, parts), parts);
  assertEveryRouteHasPolicy(app);
  return app;
}

/**
 * Opens the storage, follows it to its head, and only then listens. Throws ConfigError for what the program needs and has
 * not, and the named errors of the storage; what it had opened by then is closed.
 */
export async function startProgram(program: Program, config: AppConfig, logger: Logger): Promise<RunningProgram> {
  assertConfigured(program, config);
  let app: NestFastifyApplication | undefined;
  const storage: Storage = await openStorage(config, logger, {
    duties: program.duties,
    onLost: (err) => {
      logger.fatal({ err }, 'Steward cannot go on without its storage.');
      process.exitCode = 1;
      if (app !== undefined) void closeGracefully(app, { drainMs: 0 }).finally(() => process.exit(1));
    },
  });
  try {
    app = await createProgram(program, { storage, config, logger });
    await storage.start();
    await program.beforeListening?.(app);
    await app.listen(config.port, config.host);
    const http = await app.getUrl();
    if (program.serves === 'health') return { app, storage, http, grpc: undefined };
    const grpcPort = await app.get(GrpcServer, { strict: false }).listen(config.grpcPort, config.host);
    return { app, storage, http, grpc: `${config.host}:${grpcPort}` };
  } catch (error) {
    // Closing the application closes the storage with it.
    if (app === undefined) await storage.close();
    else await app.close();
    throw error;
  }
}

function assertConfigured({ service, needs }: Program, config: AppConfig): void {
  const problems = needs.flatMap((name) => {
    const [field, what] = needed[name];
    const value = config[field];
    const isThere = Array.isArray(value) ? value.length > 0 : value !== undefined;
    return isThere ? [] : [`The ${service} service needs ${name}: ${what}.`];
  });
  if (problems.length > 0) throw new ConfigError(problems);
}

/** The environment's configuration and the logger that it asks for. Throws ConfigError. */
export function configured(env: Environment): { readonly config: AppConfig; readonly logger: Logger } {
  const config = loadConfig(env);
  const logger = createLogger({ level: config.logLevel });
  for (const warning of config.warnings) logger.warn(warning);
  return { config, logger };
}

/** Starts the program, says that it is ready, and ends it gracefully on SIGTERM and SIGINT. */
export async function serve(
  program: Program,
  config: AppConfig,
  logger: Logger,
  told: Record<string, string> = {},
): Promise<void> {
  const { app, http, grpc } = await startProgram(program, config, logger);
  const isApi = program.serves === 'api';
  closeOnSignals(app, { logger, listeners: isApi ? [app.get(GrpcServer, { strict: false })] : [] });
  const docs = isApi ? { grpc, docs: `${http}/docs` } : {};
  logger.info({ service: program.service, http, ...docs, ...told }, 'Steward is ready');
}

/** Runs the main function of a program: what keeps it from starting is told in a sentence, and the process exits 1. */
export async function orExplain(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    for (const line of sentencesOf(error)) console.error(line);
    process.exit(1);
  }
}

/** The whole main function of a service that runs apart. */
export function runService(program: Program): Promise<void> {
  return orExplain(async () => {
    if (process.argv.length > 2) throw new ConfigError([`npm run start:${program.service} takes no arguments.`]);
    const { config, logger } = configured(process.env);
    await serve(program, config, logger);
  });
}

import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  type AppConfig,
  assertEveryRouteHasPolicy,
  closeGracefully,
  closeOnSignals,
  createHttpApplication,
  GrpcServer,
  type Logger,
  openStorage,
} from '#libs/platform';
import { AdminBootstrap } from '../../tenancy/src/tenancy.module.js';
import { StewardModule } from './steward.module.js';

export interface RunningSteward {
  readonly app: NestFastifyApplication;
  readonly http: string;
  readonly grpc: string;
}

/**
 * Opens the storage, follows it to its head, makes the first administrator, and only then listens. Throws the named
 * errors of the storage; what it had opened by then is closed.
 */
export async function startSteward(config: AppConfig, logger: Logger): Promise<RunningSteward> {
  let app: NestFastifyApplication | undefined;
  const storage = await openStorage(config, logger, {
    onLost: (err) => {
      logger.fatal({ err }, 'Steward cannot go on without its storage.');
      process.exitCode = 1;
      if (app !== undefined) void closeGracefully(app, { drainMs: 0 }).finally(() => process.exit(1));
    },
  });
  try {
    app = await createHttpApplication(StewardModule.of(storage, config, logger), { config, logger });
    assertEveryRouteHasPolicy(app);
    storage.shredder.start();
    storage.follower.start();
    storage.projections.start();
    await storage.reactors.start();
    await storage.follower.ready;
    await app.get(AdminBootstrap, { strict: false }).ensureBootstrap();

    await app.listen(config.port, config.host);
    const grpcServer = app.get(GrpcServer, { strict: false });
    const grpcPort = await grpcServer.listen(config.grpcPort, config.host);
    closeOnSignals(app, { logger, listeners: [grpcServer] });
    return { app, http: await app.getUrl(), grpc: `${config.host}:${grpcPort}` };
  } catch (error) {
    // Closing the application closes the storage with it.
    if (app === undefined) await storage.close();
    else await app.close();
    throw error;
  }
}

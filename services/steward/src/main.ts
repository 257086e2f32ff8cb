import 'reflect-metadata';
import { ConfigError, createLogger, loadConfig } from '#libs/platform';
import { startSteward } from './steward.js';

try {
  const config = loadConfig(process.env);
  const logger = createLogger({ level: config.logLevel });
  for (const warning of config.warnings) logger.warn(warning);
  const { http, grpc } = await startSteward(config, logger);
  logger.info({ http, grpc, docs: `${http}/docs` }, 'Steward is ready');
} catch (error) {
  // One sentence under the error's name: whoever starts a program wants the cause and no stack.
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const lines = error instanceof ConfigError ? error.problems : [message];
  for (const line of lines) console.error(`${name}: ${line}`);
  process.exit(1);
}

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
  for (const line of sentencesOf(error)) console.error(line);
  process.exit(1);
}

function sentencesOf(error: unknown): string[] {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  if (error instanceof ConfigError) return error.problems.map((problem) => `${name}: ${problem}`);
  if (message.includes('EADDRINUSE'))
    return [`PortInUse: Another program listens there already (${message}). Set STEWARD_PORT or STEWARD_GRPC_PORT.`];
  return [`${name}: ${message}`];
}

import { createLogger, loadConfig, orExplain } from '#libs/platform';
import { readArguments } from './arguments.js';
import { Cluster } from './cluster.js';

/** A second signal within this time is the same one: npm passes Ctrl-C on to a process that the terminal has told already. */
const ECHO_MS = 1_000;
/** Stands for the one that is started: the services' configuration is checked before anything is. */
const TO_COME = 'postgresql:///steward';

await orExplain(async () => {
  const { env } = process;
  const args = readArguments(process.argv.slice(2));
  const isGiven = [env['STEWARD_DATABASE_URL'], env['STEWARD_DATABASE_URL_FILE']].some(Boolean);
  const config = loadConfig(isGiven ? env : { ...env, STEWARD_DATABASE_URL: TO_COME });
  const logger = createLogger({ level: config.logLevel, name: 'cluster' });
  for (const warning of config.warnings) logger.warn(warning);

  const ending = new AbortController();
  const cluster = new Cluster({
    env,
    config,
    args,
    logger,
    onLost: (err) => {
      logger.fatal({ err }, 'The cluster cannot go on without its PostgreSQL.');
      process.exitCode = 1;
      ending.abort();
    },
  });
  let signalledMs: number | undefined;
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => {
      const nowMs = performance.now();
      if (signalledMs === undefined) logger.info({ signal: name }, 'The cluster is going down.');
      else if (nowMs - signalledMs > ECHO_MS) cluster.hurry();
      signalledMs ??= nowMs;
      ending.abort();
    });
  try {
    await cluster.start(ending.signal);
    await new Promise<void>((resolve) => {
      if (ending.signal.aborted) resolve();
      else
        ending.signal.addEventListener('abort', () => {
          resolve();
        });
    });
  } catch (error) {
    // What a signal interrupts has not failed.
    if (signalledMs === undefined) throw error;
  } finally {
    await cluster.stop();
  }
  logger.info('The cluster has ended.');
  process.exit();
});

import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { ConfigError, configured, orExplain, serve } from '#libs/platform';
import { DEV_LOGIN_PORT, startDevLogin } from './dev-login/dev-login.js';
import { stewardProgram } from './steward.program.js';

function readArguments(): { devLoginPort: number | undefined } {
  const options = { 'dev-login': { type: 'boolean' }, 'dev-login-port': { type: 'string' } } as const;
  try {
    const { values } = parseArgs({ options });
    const text = values['dev-login-port'] ?? String(DEV_LOGIN_PORT);
    const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
    if (!(port <= 65_535)) throw new ConfigError(['--dev-login-port must be an integer from 0 to 65535.']);
    return { devLoginPort: values['dev-login'] === true ? port : undefined };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(['npm start takes --dev-login and --dev-login-port and nothing else.']);
  }
}

await orExplain(async () => {
  const { devLoginPort } = readArguments();
  const { config, logger } = configured(process.env);
  const devLogin = devLoginPort === undefined ? [] : [await startDevLogin(config, devLoginPort)];
  for (const { issuer } of devLogin)
    logger.warn({ issuer }, 'Anybody here can sign in as anybody: for development only.');
  const signIn = devLogin[0] === undefined ? {} : { devLogin: devLogin[0].issuer };
  await serve(stewardProgram, { ...config, oidcIssuers: [...config.oidcIssuers, ...devLogin] }, logger, signIn);
});

import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { ConfigError, createLogger, loadConfig } from '#libs/platform';
import { DEV_LOGIN_PORT, startDevLogin } from './dev-login/dev-login.js';
import { startSteward } from './steward.js';

type SystemError = Error & { readonly code?: string; readonly syscall?: string };

/** Codes of a server that does not answer: at the start only the database is dialled. */
const UNREACHABLE = new Set(['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH']);

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

try {
  const { devLoginPort } = readArguments();
  const config = loadConfig(process.env);
  const logger = createLogger({ level: config.logLevel });
  for (const warning of config.warnings) logger.warn(warning);
  const devLogin = devLoginPort === undefined ? [] : [await startDevLogin(config, devLoginPort)];
  for (const { issuer } of devLogin)
    logger.warn({ issuer }, 'Anybody here can sign in as anybody: for development only.');
  const { http, grpc } = await startSteward({ ...config, oidcIssuers: [...config.oidcIssuers, ...devLogin] }, logger);
  const signIn = devLogin[0] === undefined ? {} : { devLogin: devLogin[0].issuer };
  logger.info({ http, grpc, docs: `${http}/docs`, ...signIn }, 'Steward is ready');
} catch (error) {
  // One sentence under the error's name: whoever starts a program wants the cause and no stack.
  for (const line of sentencesOf(error)) console.error(line);
  process.exit(1);
}

function sentencesOf(error: unknown): string[] {
  const { name, message, code, syscall } = (error instanceof Error ? error : new Error(String(error))) as SystemError;
  if (error instanceof ConfigError) return error.problems.map((problem) => `${name}: ${problem}`);
  if (message.includes('EADDRINUSE'))
    return [`PortInUse: Another program listens there already (${message}). Set STEWARD_PORT or STEWARD_GRPC_PORT.`];
  if (syscall === 'listen')
    return [`CannotListen: ${message}. Look at STEWARD_HOST, STEWARD_PORT and STEWARD_GRPC_PORT.`];
  if (syscall === 'getaddrinfo')
    return [`HostUnknown: ${message}. Look at STEWARD_HOST, or at STEWARD_DATABASE_URL if it names that host.`];
  if (code?.startsWith('ERR_OSSL_') === true)
    return [`TlsFilesWrong: ${message}. Look at STEWARD_TLS_CERT_FILE and STEWARD_TLS_KEY_FILE.`];
  if (syscall === 'mkdir') return [`DataDirectoryUnusable: ${message}. Look at STEWARD_DATA_DIR.`];
  // A name with several addresses fails as an AggregateError, whose message is empty.
  if (code !== undefined && UNREACHABLE.has(code))
    return [
      `DatabaseUnreachable: ${message || code}. Look at STEWARD_DATABASE_URL and STEWARD_MIGRATION_DATABASE_URL.`,
    ];
  return [`${name}: ${message}`];
}

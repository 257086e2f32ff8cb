import { ConfigError } from '../config/config.js';

type SystemError = Error & { readonly code?: string; readonly syscall?: string };

/** Codes of a server that does not answer: at the start only the database is dialled. */
const UNREACHABLE = new Set(['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH']);

/** What whoever starts a program is told: one sentence under the error's name, the cause and no stack. */
export function sentencesOf(error: unknown): string[] {
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

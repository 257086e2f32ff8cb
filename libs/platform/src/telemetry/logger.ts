import type { LoggerService } from '@nestjs/common';
import { type DestinationStream, type Logger, pino } from 'pino';
import type { LogLevel } from '../config/config.js';
import { withoutSecrets } from '../requests/secrets-out.js';

export type { Logger } from 'pino';

/** Fields that hold credentials, whoever logs them and however deep they stand within reach of the paths below. */
const SECRET_FIELDS = [
  'authorization',
  'x-api-key',
  'token',
  'secret',
  'password',
  'pepper',
  'hmac',
  'verifier',
  'cookie',
  'set-cookie',
  'connectionString',
];
const REDACTED = SECRET_FIELDS.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`, `*.*.*["${name}"]`]);

/**
 * The one logger of the program. Requests and answers are never logged as they are: whoever logs names the fields that
 * matter, and what is left of a secret in any text of the line is blotted out before it is written.
 */
export function createLogger(options: { level: LogLevel; name?: string }, destination?: DestinationStream): Logger {
  return pino(
    {
      name: options.name ?? 'steward',
      level: options.level,
      base: { name: options.name ?? 'steward' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: '[redacted]' },
      serializers: {
        err: plainError,
        // A whole request or reply in a log line would bring its headers along.
        req: () => undefined,
        res: () => undefined,
      },
      hooks: { streamWrite: withoutSecrets },
    },
    destination ?? pino.destination({ sync: true }),
  );
}

/** How deep the causes of an error are told. */
const CAUSES_MAX = 3;

/**
 * What a reader needs of an error. Drivers hang whole connections on their errors, with hosts, roles and passwords, so
 * nothing passes that is not named here.
 */
function plainError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : undefined;
  const { name, message, stack, cause } = error;
  const { code } = error as { code?: unknown };
  return {
    type: name,
    message,
    ...(typeof code === 'string' ? { code } : {}),
    stack,
    ...(cause === undefined || depth >= CAUSES_MAX ? {} : { cause: plainError(cause, depth + 1) }),
  };
}

/** Nest's own messages through pino. */
export class PinoNestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    // Nest tells every module and route at the start, which nobody reads.
    this.write('debug', message, rest);
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.write('fatal', message, rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.write('error', message, rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.write('warn', message, rest);
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.write('debug', message, rest);
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.write('trace', message, rest);
  }

  /** Nest gives the context last, and a stack before it with an error. */
  private write(level: 'trace' | 'debug' | 'warn' | 'error' | 'fatal', message: unknown, rest: unknown[]): void {
    const texts = rest.filter((one) => typeof one === 'string');
    const context = texts.at(-1);
    const fields = {
      ...(context === undefined ? {} : { context }),
      ...(texts.length > 1 ? { stack: texts[0] } : {}),
      ...(message instanceof Error ? { err: message } : {}),
    };
    this.logger[level](fields, message instanceof Error ? message.message : textOf(message));
  }
}

const textOf = (message: unknown): string => (typeof message === 'string' ? message : JSON.stringify(message));

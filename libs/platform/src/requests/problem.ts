import { HttpException } from '@nestjs/common';
import { errorCodes, type ErrorCode } from '#libs/contracts';
import { asRefusal, type FieldError, Refusal } from '#libs/eventsourcing';
import { isTableMissing } from '#libs/postgres';

/** RFC 9457. `code` is for programs, `detail` for people, `requestId` for the log. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly requestId: string;
  readonly errors?: readonly FieldError[];
}

const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

const NO_ROUTE = ['NOT_FOUND', 'There is no such route; /docs shows all of them.'] as const;
const WRONG_TYPE = [
  'MEDIA_TYPE',
  'This route takes another Content-Type: application/json, unless /docs says otherwise.',
] as const;

/** The refusal of a path that no route has. */
export const noSuchRoute = (): Refusal => new Refusal(...NO_ROUTE);

/** What Fastify and its parsers refuse, in the words of the catalogue. */
const fastifyCodes: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['BODY_TOO_LARGE', 'The body is larger than this route takes.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: WRONG_TYPE,
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['BODY_MALFORMED', 'The body is not as long as Content-Length says.'],
  FST_ERR_BAD_URL: ['HEADER_MALFORMED', 'The path is not well-formed.'],
  FST_ERR_MAX_PARAM_LENGTH: ['NOT_FOUND', 'There is no such thing.'],
  FST_ERR_NOT_FOUND: NO_ROUTE,
};

/** What Nest itself throws, by status. */
const statusCodes: Readonly<Record<number, readonly [ErrorCode, string]>> = {
  400: ['VALIDATION', 'The request is wrong.'],
  401: ['UNAUTHENTICATED', 'No valid credential came with the request.'],
  403: ['FORBIDDEN', 'The caller may not do this.'],
  404: NO_ROUTE,
  405: ['METHOD_NOT_ALLOWED', 'The path exists, the method does not.'],
  408: ['REQUEST_TIMEOUT', 'The request did not arrive in time.'],
  413: ['BODY_TOO_LARGE', 'The body is larger than this route takes.'],
  415: WRONG_TYPE,
  429: ['TOO_MANY_REQUESTS', 'Too many requests came from this address.'],
  503: ['OVERLOADED', 'Try again.'],
};

/** Where projections are run by another process, its first start may come after the first read. */
const notMadeYet = (): Refusal =>
  new Refusal('PROJECTION_LAG', 'The read model has not been made yet.', { retryAfterSeconds: 1 });

/** The refusal that an error amounts to; INTERNAL for what nobody expected, whose message stays here. */
export function refusalOf(error: unknown): Refusal {
  const known = isTableMissing(error) ? notMadeYet() : asRefusal(error);
  if (known instanceof Refusal) return known;
  const { code, statusCode, cause } = (error ?? {}) as { code?: unknown; statusCode?: unknown; cause?: unknown };
  const byCode = typeof code === 'string' ? fastifyCodes[code] : undefined;
  if (byCode !== undefined) return new Refusal(...byCode);
  // Nest wraps what Fastify refuses; the wrapped error tells more than its status.
  const isHttp = error instanceof HttpException;
  if (isHttp && cause instanceof Error) {
    const wrapped = refusalOf(cause);
    if (wrapped.code !== 'INTERNAL') return wrapped;
  }
  const status = isHttp ? error.getStatus() : statusCode;
  const byStatus = typeof status === 'number' ? statusCodes[status] : undefined;
  if (byStatus !== undefined) return new Refusal(...byStatus);
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new Refusal('VALIDATION', 'The request is wrong.');
  return new Refusal('INTERNAL', 'The request failed; the request id names it in the log.');
}

export function problemOf(refusal: Refusal, requestId: string): Problem {
  const { status, title } = errorCodes[refusal.code];
  const { errors, extensions } = refusal.extra;
  return {
    ...extensions,
    type: `/docs/errors#${refusal.code}`,
    title,
    status,
    detail: refusal.detail,
    code: refusal.code,
    requestId,
    ...(errors === undefined ? {} : { errors }),
  };
}

/** The headers that go with the refusal; every 503 says when to try again. */
export function problemHeaders(refusal: Refusal): Record<string, string> {
  const retryAfterSeconds =
    refusal.extra.retryAfterSeconds ?? (errorCodes[refusal.code].status === 503 ? 1 : undefined);
  return {
    'content-type': PROBLEM_TYPE,
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfterSeconds))) }),
    ...(refusal.code === 'UNAUTHENTICATED' ? { 'www-authenticate': 'Bearer realm="steward"' } : {}),
  };
}

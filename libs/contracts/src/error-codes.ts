/**
 * The error catalogue: a stable code, its HTTP status, its gRPC status and its title.
 * docs/errors.md lists each code (a test ties the two); a retired code is never used again.
 */

/** Numbers of google.rpc.Code. */
const grpc = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

export const errorCodes = {
  VALIDATION: { status: 400, grpc: grpc.invalidArgument, title: 'A field of the request is wrong.' },
  BODY_MALFORMED: { status: 400, grpc: grpc.invalidArgument, title: 'The body is not well-formed JSON.' },
  HEADER_MALFORMED: { status: 400, grpc: grpc.invalidArgument, title: 'A header or the request line is malformed.' },
  CURSOR_INVALID: { status: 400, grpc: grpc.invalidArgument, title: 'The cursor does not belong to this list.' },
  POSITION_UNKNOWN: {
    status: 400,
    grpc: grpc.invalidArgument,
    title: 'The position is malformed or beyond the head of the store.',
  },
  IDEMPOTENCY_KEY_REFUSED: { status: 400, grpc: grpc.invalidArgument, title: 'This route takes no Idempotency-Key.' },
  UNAUTHENTICATED: { status: 401, grpc: grpc.unauthenticated, title: 'No valid credential came with the request.' },
  FORBIDDEN: { status: 403, grpc: grpc.permissionDenied, title: 'The caller may not do this.' },
  SCOPE_EXCEEDS_OWNER: {
    status: 403,
    grpc: grpc.permissionDenied,
    title: 'A scope goes beyond what the caller or the owner has.',
  },
  KEY_CANNOT_MANAGE_KEYS: { status: 403, grpc: grpc.permissionDenied, title: 'This key may not manage keys.' },
  NOT_FOUND: { status: 404, grpc: grpc.notFound, title: 'There is no such thing, or it is not yours to see.' },
  METHOD_NOT_ALLOWED: { status: 405, grpc: grpc.unimplemented, title: 'The path exists, the method does not.' },
  TENANT_EXISTS: { status: 409, grpc: grpc.alreadyExists, title: 'The tenant id is taken.' },
  PROJECT_EXISTS: { status: 409, grpc: grpc.alreadyExists, title: 'The project code is taken.' },
  PROJECT_CLOSED: { status: 409, grpc: grpc.failedPrecondition, title: 'The project is closed.' },
  TENANT_IS_SUSPENDED: { status: 409, grpc: grpc.failedPrecondition, title: 'The tenant is suspended.' },
  PRINCIPAL_EXISTS: {
    status: 409,
    grpc: grpc.alreadyExists,
    title: 'The principal id is registered with another type or tenant.',
  },
  PRINCIPAL_REMOVED: {
    status: 409,
    grpc: grpc.failedPrecondition,
    title: 'The principal was removed; its id is not used again.',
  },
  LAST_ADMIN: {
    status: 409,
    grpc: grpc.failedPrecondition,
    title: 'The last platform administrator cannot be removed or demoted.',
  },
  KEY_ID_TAKEN: { status: 409, grpc: grpc.alreadyExists, title: 'The key ID or digest stands already.' },
  KEY_DELETED: { status: 409, grpc: grpc.failedPrecondition, title: 'The key was deleted and cannot be recovered.' },
  KEY_REVOKED: { status: 409, grpc: grpc.failedPrecondition, title: 'The key is revoked; it can only be deleted.' },
  KEY_EXPIRED: { status: 409, grpc: grpc.failedPrecondition, title: 'The key has expired.' },
  KEY_NEVER_EXPIRES: {
    status: 409,
    grpc: grpc.failedPrecondition,
    title: 'The key does not expire, so nothing can be extended.',
  },
  SECRETS_MAX: { status: 409, grpc: grpc.failedPrecondition, title: 'Two secrets are valid already.' },
  SECRET_LAST: { status: 409, grpc: grpc.failedPrecondition, title: 'The last valid secret cannot be retired.' },
  SECRET_UNKNOWN: { status: 404, grpc: grpc.notFound, title: 'The key has no valid secret of that version.' },
  OWNER_UNKNOWN: {
    status: 422,
    grpc: grpc.failedPrecondition,
    title: 'The owner is not an active member or service here.',
  },
  COUNT_MISMATCH: {
    status: 409,
    grpc: grpc.aborted,
    title: 'The filter matches another number of keys than expected.',
  },
  VERSION_CONFLICT: { status: 412, grpc: grpc.aborted, title: 'The thing has changed since the ETag was read.' },
  BODY_TOO_LARGE: { status: 413, grpc: grpc.resourceExhausted, title: 'The body is too large.' },
  MEDIA_TYPE: { status: 415, grpc: grpc.invalidArgument, title: 'The content type is not taken here.' },
  IDEMPOTENCY_MISMATCH: {
    status: 422,
    grpc: grpc.failedPrecondition,
    title: 'The Idempotency-Key was used with another request.',
  },
  POLICY_MAX_LIFETIME: { status: 422, grpc: grpc.failedPrecondition, title: 'The policy allows a shorter life only.' },
  POLICY_MAX_EXTENSION: {
    status: 422,
    grpc: grpc.failedPrecondition,
    title: 'The policy allows a shorter extension only.',
  },
  POLICY_EXPIRY_REQUIRED: { status: 422, grpc: grpc.failedPrecondition, title: 'The policy asks for an expiry.' },
  POLICY_MAX_KEYS: { status: 422, grpc: grpc.failedPrecondition, title: 'The policy allows no more keys.' },
  POLICY_SCOPE_FORBIDDEN: { status: 422, grpc: grpc.failedPrecondition, title: 'The policy does not allow a scope.' },
  POLICY_IP_REQUIRED: {
    status: 422,
    grpc: grpc.failedPrecondition,
    title: 'The policy asks for a list of allowed addresses.',
  },
  EVENT_TOO_LARGE: { status: 413, grpc: grpc.resourceExhausted, title: 'The change is too large for one event.' },
  TOO_MANY_REQUESTS: {
    status: 429,
    grpc: grpc.resourceExhausted,
    title: 'Too many failed attempts from this address.',
  },
  HEADERS_TOO_LARGE: { status: 431, grpc: grpc.resourceExhausted, title: 'The headers are too large.' },
  REQUEST_TIMEOUT: { status: 408, grpc: grpc.deadlineExceeded, title: 'The request did not arrive in time.' },
  INTERNAL: { status: 500, grpc: grpc.internal, title: 'Something broke here; the request id names it in the log.' },
  OVERLOADED: { status: 503, grpc: grpc.unavailable, title: 'Too much is waiting; try again.' },
  STORE_UNAVAILABLE: { status: 503, grpc: grpc.unavailable, title: 'The event store cannot be reached; try again.' },
  OUTCOME_UNKNOWN: {
    status: 503,
    grpc: grpc.unavailable,
    title: 'Whether it was done is not known yet; try again with the same Idempotency-Key.',
  },
  STALE: { status: 503, grpc: grpc.unavailable, title: 'The view of the keys is too old to decide; try again.' },
  DISK_FULL: { status: 503, grpc: grpc.unavailable, title: 'The disk is almost full; reads go on.' },
  PROJECTION_LAG: {
    status: 504,
    grpc: grpc.deadlineExceeded,
    title: 'The read model has not reached the position yet.',
  },
} as const satisfies Record<string, { status: number; grpc: number; title: string }>;

export type ErrorCode = keyof typeof errorCodes;

/** The decision of a verification, always under HTTP 200; only who holds the secret learns more than NOT_FOUND. */
export type VerifyCode =
  | 'VALID'
  | 'MALFORMED'
  | 'NOT_FOUND'
  | 'REVOKED'
  | 'EXPIRED'
  | 'DISABLED'
  | 'NOT_YET_VALID'
  | 'OWNER_INACTIVE'
  | 'TENANT_SUSPENDED'
  | 'WRONG_ENVIRONMENT'
  | 'WRONG_AUDIENCE'
  | 'IP_NOT_ALLOWED'
  | 'INSUFFICIENT_SCOPE'
  | 'POLICY_VIOLATION'
  | 'STALE';

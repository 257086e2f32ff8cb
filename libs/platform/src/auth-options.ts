/** `AuthOptions`. */
export const AUTH_OPTIONS = Symbol('AUTH_OPTIONS');

export interface AuthOptions {
  /** STEWARD_AUTH_FAILURES_PER_MINUTE, per address, 20 unless told otherwise. */
  readonly failuresPerMinute: number;
  /** STEWARD_VERIFY_STALENESS_MAX_MS: past it every route but verify answers 503 STALE. */
  readonly stalenessMaxMs: number;
}

/** What an HTTP connection and a request may take (design.md section 8, notes/reliability.md). */
export interface HttpLimits {
  readonly headerBytesMax: number;
  readonly bodyBytesMax: number;
  /** Until the whole header has arrived. */
  readonly headerMsMax: number;
  /** Until the whole request has arrived. */
  readonly requestMsMax: number;
  readonly checkEveryMs: number;
  readonly keepAliveMs: number;
  /** How long a streamed body may bring nothing. */
  readonly stallMsMax: number;
  readonly connectionsMax: number;
  readonly requestsPerConnectionMax: number;
}

export const HTTP_LIMITS: HttpLimits = {
  headerBytesMax: 8 * 1024,
  bodyBytesMax: 64 * 1024,
  headerMsMax: 5_000,
  requestMsMax: 15_000,
  checkEveryMs: 1_000,
  keepAliveMs: 65_000,
  stallMsMax: 60_000,
  connectionsMax: 4_096,
  requestsPerConnectionMax: 0,
};

export const BULK_BODY_BYTES_MAX = 256 * 1024;

/** What verifiers count and send, in one process straight to the tables and else over Kafka. No event: a crash loses some. */
export const KEY_USAGE_TOPIC = 'steward.keys.usage';

/** How often in one minute one caller was answered with one code about one key. */
export interface KeyUsageCount {
  /** When the minute began, RFC 3339. */
  readonly minute: string;
  /** Null where the bearer proved no key (MALFORMED, NOT_FOUND, STALE), and of what was counted without its key. */
  readonly keyId: string | null;
  readonly tenantId: string | null;
  readonly projectId: string | null;
  /** The principal that asked. */
  readonly service: string;
  /** A VerifyCode, maybe of a newer release. */
  readonly code: string;
  readonly count: number;
}

export interface KeyUse {
  readonly keyId: string;
  /** Of the secret that was shown. */
  readonly version: number;
  /** RFC 3339. */
  readonly at: string;
}

/** What one verifier counted since its batch before. A batch that comes again has the same source and sequence. */
export interface KeyUsageBatch {
  readonly v: 1;
  /** A UUID for the life of one recorder. */
  readonly source: string;
  /** From 1, without gaps. */
  readonly sequence: number;
  readonly counts: readonly KeyUsageCount[];
  /** The last uses that are new, to the minute. */
  readonly lastUses: readonly KeyUse[];
}

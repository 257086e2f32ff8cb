import type { Role, VerifyCode } from '#libs/contracts';
import type { Position } from '#libs/eventsourcing';
import type { MatchedSecret } from './secret-match.js';
import type { IndexedKey } from './verification-index.js';

/** What is told of a key to whoever showed its secret. Read in place, so it is made into an answer at once. */
export interface VerifiedKey {
  readonly keyId: string;
  readonly key: IndexedKey;
  readonly secret: MatchedSecret;
  /** The owner's now, or the last one known of an owner who is not active. */
  readonly role: Role;
  /** What the key may do now; null is all of its owner's. */
  readonly scopes: readonly string[] | null;
  readonly missing: readonly string[] | undefined;
}

export interface Verified {
  readonly code: VerifyCode;
  /** Absent where the bearer proved nothing: MALFORMED, NOT_FOUND and STALE. */
  readonly about: VerifiedKey | undefined;
  /** What the answer was made from. */
  readonly position: Position;
  /** Infinite until the store was reached for the first time. */
  readonly stalenessMs: number;
}

export const timeOf = (ms: number): string | null =>
  ms === Number.POSITIVE_INFINITY ? null : new Date(ms).toISOString();

const jsonTimeOf = (ms: number): string =>
  ms === Number.POSITIVE_INFINITY ? 'null' : `"${new Date(ms).toISOString()}"`;

const NEWEST_SECRET = '{"superseded":false,"retiresAt":null}';

function jsonOf({ keyId, key, secret, role, scopes, missing }: VerifiedKey): string {
  const { row, profile, extras } = key;
  const scopesJson = scopes === profile.scopes ? profile.scopesJson : JSON.stringify(scopes);
  const rotation =
    secret.retiresAtMs === null ? NEWEST_SECRET : `{"superseded":true,"retiresAt":${jsonTimeOf(secret.retiresAtMs)}}`;
  const owner = `{"type":"${row.ownerType}","id":${JSON.stringify(key.ownerId)},"role":"${role}"}`;
  const lacking = missing === undefined ? '' : `,"missing":${JSON.stringify(missing)}`;
  return (
    `"keyId":"${keyId}",${key.place.json},"owner":${owner},"environment":${profile.environmentJson},` +
    `"scopes":${scopesJson},"labels":${extras.labels},"metadata":${extras.metadata},` +
    `"expiresAt":${jsonTimeOf(row.expiresAtMs)},"secretVersion":${secret.version},"rotation":${rotation}${lacking},`
  );
}

/** The answer as JSON, put together from parts that stand ready: stringifying an object costs as much as deciding. */
export function verifyAnswerJson({ code, about, position, stalenessMs }: Verified): string {
  const staleness = Number.isFinite(stalenessMs) ? Math.round(stalenessMs) : 'null';
  const key = about === undefined ? '' : jsonOf(about);
  return `{"valid":${code === 'VALID'},"code":"${code}",${key}"asOf":{"position":"${position}","stalenessMs":${staleness}}}`;
}

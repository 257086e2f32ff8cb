import { createHmac, hash } from 'node:crypto';
import { v5 as uuidV5 } from 'uuid';
import { jcs } from './canonical-json.js';

/** The event to the byte: docs/events.md. Nothing here may ever change for version 1; test/golden holds it. */

export const COMMAND_NAMESPACE = 'cbd64ecd-0b21-4441-8101-21d590aa5950';
export const ENVELOPE_BYTES_MAX = 64 * 1024 - 1;
export const APPEND_BYTES_MAX = 1024 * 1024 - 1;

export type ActorType = 'user' | 'service' | 'project' | 'system';

/** Who did it, in opaque ids. `via` is `key:key_<16>`, `oidc:<issuer>` or `internal`. */
export interface Actor {
  readonly type: ActorType;
  readonly id: string;
  readonly via: string;
  readonly onBehalfOf?: string;
}

/** The private part `actor`: each value or null. */
export interface ActorPart {
  readonly ip: string | null;
  readonly userAgent: string | null;
  readonly comment: string | null;
}

export interface PrivateReference {
  /** The data key's name. */
  readonly key: string;
  /** Hex SHA-256 of iv, ciphertext, tag. */
  readonly hash: string;
}

export interface Envelope {
  readonly v: 1;
  readonly id: string;
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
  readonly schemaVersion: number;
  readonly tenantId: string | null;
  readonly projectId: string | null;
  readonly actor: Actor;
  readonly commandId: string;
  readonly correlationId: string;
  readonly causationId: string | null;
  readonly requestHash: string | null;
  readonly recordedAt: string;
  readonly data: object;
  readonly private: Readonly<Record<string, PrivateReference>>;
  readonly prev: string | null;
}

const NO_CHAIN = Buffer.alloc(32);
const LEAF_TAG = '\0';
const CHAIN_TAG = Buffer.from([0x02]);

/** What every envelope of this actor's events begins with, for canonical JSON puts `actor` and its `id` first. */
export const envelopeStartOf = (actorId: string): string => `{"actor":{"id":${JSON.stringify(actorId)},`;

/**
 * Finds an envelope's own correlationId, in JavaScript and in SQL: canonical JSON puts it before `data`, and what stands
 * before it holds no such name, so it is the first match. Undefined where there is none.
 */
export const CORRELATION_ID_PATTERN = '"correlationId":"([^"]*)"';

export const correlationIdOf = (envelope: string): string | undefined =>
  new RegExp(CORRELATION_ID_PATTERN).exec(envelope)?.[1];

/** SHA-256 of 0x00 and the envelope's UTF-8 bytes. */
export function leafHashOf(envelope: string): Buffer {
  return hash('sha256', LEAF_TAG + envelope, 'buffer');
}

/** SHA-256 of 0x02, the stream's previous chain hash (32 zero bytes for the first event) and the leaf hash. */
export function chainHashOf(previous: Buffer | null, leafHash: Buffer): Buffer {
  return hash('sha256', Buffer.concat([CHAIN_TAG, previous ?? NO_CHAIN, leafHash]), 'buffer');
}

/** `n` counts the command's own events on that stream from 0. */
export function eventIdOf(commandId: string, stream: string, n: number): string {
  return uuidV5(`${stream}/${n}`, commandId);
}

/** The commandId of a request, a due time or a reactor: uuid v5 of the JCS of the parts (docs/events.md, Commands). */
export function commandIdOf(parts: readonly unknown[]): string {
  return uuidV5(jcs(parts), COMMAND_NAMESPACE);
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const KEY_ID_SPACE = 62n ** 16n;

function keyIdFromMac(mac: Buffer): string {
  let rest = mac.readBigUInt64BE(0) * 2n ** 64n + mac.readBigUInt64BE(8);
  rest %= KEY_ID_SPACE;
  let digits = '';
  for (let i = 0; i < 16; i += 1) {
    digits = BASE62.charAt(Number(rest % 62n)) + digits;
    rest /= 62n;
  }
  return `key_${digits}`;
}

/** The ID of a key that this command creates, `key_` and 16 base62 digits. */
export function keyIdOfCommand(installationKey: Buffer, commandId: string): string {
  return keyIdFromMac(createHmac('sha256', installationKey).update(`key\n${commandId}`).digest());
}

/** The ID of a key imported by the SHA-256 digest (32 bytes) of its token. */
export function keyIdOfImport(installationKey: Buffer, digest: Buffer): string {
  return keyIdFromMac(createHmac('sha256', installationKey).update('import\n').update(digest).digest());
}

/** Hex HMAC that tells one request under an Idempotency-Key from another; `body` is already less its private texts. */
export function requestHashOf(installationKey: Buffer, method: string, rawPathAndQuery: string, body: unknown): string {
  return createHmac('sha256', installationKey)
    .update(`${method}\n${rawPathAndQuery}\n${jcs(body)}`)
    .digest('hex');
}

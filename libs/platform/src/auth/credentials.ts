import type { KeyOwner, VerifyCode } from '#libs/contracts';
import type { CallerKey } from './principal.js';

/** A key that is valid now, with what it was made under. */
export interface AuthenticatedKey extends CallerKey {
  readonly ok: true;
  readonly tenantId: string | null;
  readonly projectId: string | null;
  /** With the role at creation, which a project-owned key still acts in. */
  readonly owner: KeyOwner;
}

export interface RefusedKey {
  readonly ok: false;
  readonly code: Exclude<VerifyCode, 'VALID'>;
  /** True if it was decided at the store's head, so that a second look would tell nothing else. */
  readonly isFinal?: boolean;
}

export type Authentication = AuthenticatedKey | RefusedKey;

/**
 * Tells whose a caller's token is, from memory; the keys service implements it, and a client of it elsewhere. Tenant,
 * owner and address are judged by the Gatekeeper; the scopes are those left by the tenant's and the project's policy.
 */
export abstract class CredentialVerifier {
  /**
   * `atHead` asks for what holds at the store's head; whoever verifies in this process has been brought there, or to the
   * request's position, by the Gatekeeper. A client throws a Refusal (503) where it cannot be told.
   */
  abstract authenticate(token: string, atHead: boolean): Promise<Authentication> | Authentication;
}

export interface KeyEntry {
  readonly tenantId: string | null;
  readonly projectId: string | null;
  readonly owner: KeyOwner;
  readonly deleted: boolean;
}

/** Whose a key is, from memory, deleted keys too; the keys service implements it. */
export abstract class KeyDirectory {
  abstract find(keyId: string): KeyEntry | undefined;
}

/** Reads one header or one gRPC metadata entry; undefined where it is absent. */
export type HeaderReader = (name: string) => string | undefined;

/**
 * The token of `Authorization: Bearer` or `X-API-Key`, or null. Another scheme is no credential here. Two different
 * tokens are no credential either: which of them counts would be a guess.
 */
export function tokenOf(header: HeaderReader): string | null {
  const bearer = /^bearer +(\S+) *$/i.exec(header('authorization') ?? '')?.[1];
  const apiKey = header('x-api-key')?.trim();
  if (bearer === undefined) return apiKey === undefined || apiKey === '' ? null : apiKey;
  return apiKey === undefined || apiKey === bearer ? bearer : null;
}

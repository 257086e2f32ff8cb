import type { KeyAttributes, KeyEvent } from '#libs/contracts';
import type { Actor, OpenedEvent, OpenedPart } from '#libs/eventsourcing';

/** Events of keys as an index is fed with them. */

export const START_MS = Date.UTC(2026, 0, 1);
const actor: Actor = { type: 'system', id: 'test', via: 'internal' };
export const timeOf = (ms: number): string => new Date(ms).toISOString();
export const hmacOf = (n: number): string => n.toString(16).padStart(2, '0').repeat(32);

export const attributes: KeyAttributes = {
  keyId: 'key_9DC9pg4cMivLPKBD',
  owner: { type: 'user', id: 'alice', role: 'tenant_user' },
  name: null,
  description: null,
  labels: {},
  metadata: {},
  environment: 'live',
  scopes: null,
  audiences: [],
  ipAllow: [],
  ipDeny: [],
  notBefore: null,
  expiresAt: null,
  canManageKeys: false,
};

let nextId = 0;

export function opened(
  event: KeyEvent,
  revision: number,
  { keyId = attributes.keyId, atMs = START_MS, part }: { keyId?: string; atMs?: number; part?: OpenedPart } = {},
): OpenedEvent {
  nextId += 1;
  const own = 'private' in event ? { value: event.private.verifier } : undefined;
  const verifier = part ?? own;
  return {
    id: `event-${nextId}`,
    stream: `key-${keyId.slice(4)}`,
    revision,
    position: String(nextId).padStart(20, '0'),
    storedAt: timeOf(atMs),
    type: event.type,
    schemaVersion: 1,
    tenantId: 'acme',
    projectId: 'GOV112345',
    actor,
    commandId: `command-${nextId}`,
    correlationId: `command-${nextId}`,
    causationId: null,
    requestHash: null,
    recordedAt: timeOf(atMs),
    data: event.data,
    private: {},
    leafHash: Buffer.alloc(32),
    chainHash: Buffer.alloc(32),
    opened: verifier === undefined ? {} : { verifier },
  };
}

export const created = (changes: Partial<KeyAttributes> = {}, hmac = hmacOf(1)): KeyEvent => ({
  type: 'KeyCreated',
  data: { ...attributes, ...changes, secret: { version: 1, pepperVersion: '1', madeBy: 'steward' } },
  private: { verifier: { hmac } },
});

export const keyIdOf = (n: number): string => `key_${n.toString(36).padStart(16, '0')}`;

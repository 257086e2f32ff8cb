import type { KeyPolicy } from '#libs/contracts';
import { type EventMeta, Refusal } from '#libs/eventsourcing';
import { holdVersion } from './version.js';

/** The rules for keys that a tenant or a project sets for itself; the keys service finds the strictest of both. */

export const POLICY_DAYS_MAX = 3650;
export const POLICY_KEYS_MAX = 1_000_000;
export const WARN_DAYS_ITEMS_MAX = 10;
export const ALLOWED_SCOPES_MAX = 256;

export interface StandingPolicy {
  readonly policy: KeyPolicy;
  readonly revision: number;
}

export type KeyPolicyCommand =
  | { readonly type: 'SetKeyPolicy'; readonly policy: KeyPolicy; readonly ifMatch?: number | undefined }
  | { readonly type: 'RemoveKeyPolicy'; readonly ifMatch?: number | undefined };

export type KeyPolicyEvent =
  { type: 'KeyPolicySet'; data: { policy: KeyPolicy } } | { type: 'KeyPolicyRemoved'; data: Record<string, never> };

export function decideKeyPolicy(command: KeyPolicyCommand, standing: StandingPolicy | null): KeyPolicyEvent[] {
  holdVersion(command.ifMatch, standing?.revision ?? 0);
  switch (command.type) {
    case 'SetKeyPolicy': {
      const policy = canonicalPolicy(command.policy);
      refuseContradictions(policy);
      if (standing !== null && samePolicy(standing.policy, policy)) return [];
      return [{ type: 'KeyPolicySet', data: { policy } }];
    }
    case 'RemoveKeyPolicy':
      return standing === null ? [] : [{ type: 'KeyPolicyRemoved', data: {} }];
  }
}

export function evolveKeyPolicy(event: KeyPolicyEvent, meta: EventMeta): StandingPolicy | null {
  return event.type === 'KeyPolicySet' ? { policy: event.data.policy, revision: meta.revision } : null;
}

/** Scopes sorted by UTF-8 bytes, warnings from the earliest to the last, both without duplicates; absent stays absent. */
function canonicalPolicy(policy: KeyPolicy): KeyPolicy {
  const { allowedScopes, warnDays, ...rest } = policy;
  return {
    ...rest,
    // A scope is ASCII, so the order of code units is the order of bytes.
    ...(allowedScopes === undefined ? {} : { allowedScopes: [...new Set(allowedScopes)].sort() }),
    ...(warnDays === undefined ? {} : { warnDays: [...new Set(warnDays)].sort((a, b) => b - a) }),
  };
}

function refuseContradictions(policy: KeyPolicy): void {
  const { defaultLifetimeDays } = policy;
  const limits = (['maxLifetimeDays', 'maxTotalLifetimeDays'] as const).filter(
    (limit) => defaultLifetimeDays !== undefined && defaultLifetimeDays > (policy[limit] ?? Infinity),
  );
  if (limits.length === 0) return;
  const detail = `The default lifetime is longer than ${limits.join(' and ')} allows.`;
  throw new Refusal('VALIDATION', detail, { errors: [{ location: 'body.defaultLifetimeDays', message: detail }] });
}

function samePolicy(a: KeyPolicy, b: KeyPolicy): boolean {
  const fields = Object.keys(a) as (keyof KeyPolicy)[];
  return (
    fields.length === Object.keys(b).length &&
    fields.every((field) => JSON.stringify(a[field]) === JSON.stringify(b[field]))
  );
}

import type { KeyEvent, KeyOwner } from '#libs/contracts';
import { type EventMeta, Refusal } from '#libs/eventsourcing';
import type { KeyCommand, KeyWish, NewKeyFacts, NewSecret } from '../domain/commands.js';
import { decide } from '../domain/key.js';
import { noPolicy } from '../domain/key-policy.js';
import { evolve, type Key, type KeyState } from '../domain/key-state.js';

/** Commands and states of one key for the tests of its rules, told as given, when, then. */

export const T0 = '2026-01-01T00:00:00.000Z';
export const T1 = '2026-01-31T00:00:00.000Z';
export const day = (n: number): string => new Date(Date.parse(T0) + n * 86_400_000).toISOString();

export const alice: KeyOwner = { type: 'user', id: 'alice', role: 'tenant_user' };
export const bob: KeyOwner = { type: 'user', id: 'bob', role: 'tenant_admin' };
export const secret: NewSecret = { pepperVersion: '1', madeBy: 'steward', hmac: 'ab'.repeat(32) };
export const wish: KeyWish = {
  name: 'night batch',
  description: null,
  labels: {},
  metadata: {},
  environment: 'live',
  scopes: null,
  audiences: [],
  ipAllow: [],
  ipDeny: [],
  notBefore: null,
  canManageKeys: false,
  expiry: { kind: 'at', time: T1 },
};
export const facts: NewKeyFacts = {
  place: 'open',
  owner: alice,
  scopesBeyondOwner: [],
  servicesWithheld: [],
  policy: noPolicy,
  counts: { owner: 0, project: 0 },
  caller: null,
};
export const keyId = 'key_9DC9pg4cMivLPKBD';
export const create = (changes: Partial<KeyWish> = {}, otherFacts: Partial<NewKeyFacts> = {}): KeyCommand => ({
  type: 'CreateKey',
  keyId,
  wish: { ...wish, ...changes },
  secret,
  facts: { ...facts, ...otherFacts },
});
export const importing = (projectId: string): KeyCommand => ({
  type: 'ImportKey',
  tenantId: 'acme',
  projectId,
  keyId,
  wish,
  secret: { ...secret, madeBy: 'client' },
  facts,
});
export const nobody = { policy: noPolicy, counts: { owner: 0, project: 0 }, caller: null };
export const extend = (days: number): KeyCommand => ({ type: 'ExtendKey', by: { days }, ...nobody });
export const extendUntil = (until: string): KeyCommand => ({ type: 'ExtendKey', by: { until }, ...nobody });
export const edit = (edits: Extract<KeyCommand, { type: 'UpdateKey' }>['edits']): KeyCommand => ({
  type: 'UpdateKey',
  edits,
  policy: noPolicy,
  caller: null,
});
export const rotate = (overlapSeconds = 86_400): KeyCommand => ({
  type: 'RotateKey',
  overlapSeconds,
  secret,
  caller: null,
});
export const retire = (version: number): KeyCommand => ({ type: 'RetireSecret', version });
export const disable: KeyCommand = { type: 'DisableKey' };
export const enable: KeyCommand = { type: 'EnableKey', caller: null };
export const revoke: KeyCommand = { type: 'RevokeKey', reason: 'compromised' };
export const remove: KeyCommand = { type: 'DeleteKey', dataKeys: ['key:key_9DC9pg4cMivLPKBD#0123456789abcdef'] };
export const transfer = (owner: KeyOwner | null): KeyCommand => ({ type: 'TransferKey', owner, ...nobody });
export const narrow = { scopes: ['a:read'], expiresAt: day(3), ipAllow: [], ipDeny: [], audiences: [] };

export type Step = readonly [at: string, command: KeyCommand];

export function meta(revision: number, recordedAt: string, projectId: string | null = 'GOV112345'): EventMeta {
  const actor = { type: 'user', id: 'alice', via: 'internal' } as const;
  return { revision, recordedAt, commandId: `c${revision}`, actor, tenantId: 'acme', projectId };
}

export function after(steps: readonly Step[], projectId: string | null = 'GOV112345'): KeyState {
  let state: KeyState = { kind: 'absent' };
  let revision = 0;
  for (const [at, command] of steps)
    for (const event of decide(command, state, at)) state = evolve(state, event, meta((revision += 1), at, projectId));
  return state;
}

export const keyAfter = (...steps: readonly Step[]): Key => after(steps) as Key;

/** given steps, when a command comes at a time, then these events or this refusal. */
export function given(...steps: readonly Step[]) {
  return {
    when: (at: string, command: KeyCommand) => {
      const run = (): KeyEvent[] => decide(command, after(steps), at);
      return {
        gives: (type: KeyEvent['type'], data?: object) => {
          const events = run();
          expect(events.map((event) => event.type)).toEqual([type]);
          if (data !== undefined) expect(events[0]?.data).toEqual(data);
        },
        changesNothing: () => {
          expect(run()).toEqual([]);
        },
        isRefused: (code: string, location?: string) => {
          let refusal: unknown;
          try {
            run();
          } catch (error) {
            refusal = error;
          }
          expect(refusal).toBeInstanceOf(Refusal);
          expect((refusal as Refusal).code).toBe(code);
          if (location !== undefined) expect((refusal as Refusal).extra.errors?.[0]?.location).toBe(location);
        },
      };
    },
  };
}

export const made: Step = [T0, create()];
export const endless: Step = [T0, create({ expiry: { kind: 'never' } })];

import fc from 'fast-check';
import type { KeyEvent } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import type { KeyCommand } from './commands.js';
import { decide } from './key.js';
import { noPolicy } from './key-policy.js';
import { evolve, type Key, type KeyState, statusOf, validSecrets } from './key-state.js';

/** The life of a key told a second time, with numbers and as few words as possible, to hold the decider against. */
class Model {
  expiresMs: number;
  disabled = false;
  revoked = false;
  deleted = false;
  ends = new Map<number, number>([[1, Infinity]]);

  constructor(public nowMs: number) {
    this.expiresMs = nowMs + 10 * DAY_MS;
  }

  valid(): number[] {
    return [...this.ends].filter(([, endMs]) => endMs > this.nowMs).map(([version]) => version);
  }

  private barrier(): string | null {
    if (this.deleted) return 'NOT_FOUND';
    return this.revoked ? 'KEY_REVOKED' : null;
  }

  /** Null if it was done, else the code. */
  run({ kind, value }: Action): string | null {
    const barrier = this.barrier();
    const expired = this.expiresMs <= this.nowMs;
    if (kind === 'delete') {
      if (this.deleted) return 'NOT_FOUND';
      this.deleted = true;
      return null;
    }
    if (kind === 'revoke') {
      if (this.deleted) return 'NOT_FOUND';
      this.revoked = true;
      return null;
    }
    if (barrier !== null) return barrier;
    if (kind === 'extend') {
      if (this.nowMs - this.expiresMs > 7 * DAY_MS) return 'KEY_EXPIRED';
      this.expiresMs = Math.max(this.expiresMs, this.nowMs) + (1 + (value % 20)) * DAY_MS;
      return null;
    }
    if (kind === 'disable' || kind === 'enable') {
      if (this.disabled === (kind === 'disable')) return null;
      if (expired) return 'KEY_EXPIRED';
      this.disabled = !this.disabled;
      return null;
    }
    if (expired) return 'KEY_EXPIRED';
    return kind === 'rotate' ? this.rotate(value) : this.retire(value);
  }

  private rotate(overlapSeconds: number): string | null {
    const valid = this.valid();
    if (valid.length > 1) return 'SECRETS_MAX';
    const newest = Math.max(...this.ends.keys());
    const previous = valid[0] ?? newest;
    const endMs = Math.min(this.nowMs + overlapSeconds * 1000, this.ends.get(previous) ?? 0, this.expiresMs);
    this.ends.set(previous, endMs).set(newest + 1, Infinity);
    return null;
  }

  private retire(value: number): string | null {
    const valid = this.valid();
    const version = 1 + (value % 4);
    if (!valid.includes(version)) return 'SECRET_UNKNOWN';
    if (valid.length === 1) return 'SECRET_LAST';
    this.ends.set(version, this.nowMs);
    return null;
  }

  status(): string {
    if (this.deleted) return 'deleted';
    if (this.revoked) return 'revoked';
    if (this.expiresMs <= this.nowMs) return 'expired';
    return this.disabled ? 'disabled' : 'active';
  }
}

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 0, 1);
interface Action {
  readonly kind: 'extend' | 'rotate' | 'retire' | 'disable' | 'enable' | 'revoke' | 'delete';
  readonly value: number;
  readonly waitMs: number;
}

const secret = { pepperVersion: '1', madeBy: 'steward', hmac: 'ab'.repeat(32) } as const;
const anybody = { policy: noPolicy, counts: { owner: 0, project: 0 }, caller: null };

function commandOf({ kind, value }: Action): KeyCommand {
  switch (kind) {
    case 'extend':
      return { type: 'ExtendKey', by: { days: 1 + (value % 20) }, ...anybody };
    case 'rotate':
      return { type: 'RotateKey', overlapSeconds: value, secret, caller: null };
    case 'retire':
      return { type: 'RetireSecret', version: 1 + (value % 4) };
    case 'disable':
      return { type: 'DisableKey' };
    case 'enable':
      return { type: 'EnableKey', caller: null };
    case 'revoke':
      return { type: 'RevokeKey', reason: 'unused' };
    case 'delete':
      return { type: 'DeleteKey', dataKeys: [] };
  }
}

const timeOf = (ms: number): string => new Date(ms).toISOString();

function born(): KeyState {
  const attributes = { name: null, description: null, labels: {}, metadata: {}, environment: 'live', scopes: null };
  const lists = { audiences: [], ipAllow: [], ipDeny: [], notBefore: null, canManageKeys: false };
  const command: KeyCommand = {
    type: 'CreateKey',
    keyId: 'key_9DC9pg4cMivLPKBD',
    wish: { ...attributes, ...lists, expiry: { kind: 'days', days: 10 } },
    secret,
    facts: {
      ...anybody,
      place: 'open',
      scopesBeyondOwner: [],
      servicesWithheld: [],
      owner: { type: 'user', id: 'alice', role: 'tenant_user' },
    },
  };
  return apply({ kind: 'absent' }, decide(command, { kind: 'absent' }, timeOf(START_MS)), START_MS);
}

function apply(state: KeyState, events: readonly KeyEvent[], ms: number): KeyState {
  const actor = { type: 'user', id: 'alice', via: 'internal' } as const;
  const meta = { revision: 1, recordedAt: timeOf(ms), commandId: 'c', actor, tenantId: 'acme', projectId: 'GOV1' };
  return events.reduce((folded, event) => evolve(folded, event, meta), state);
}

const action: fc.Arbitrary<Action> = fc.record({
  // Ends of a life are rare, or nothing much would ever happen after them.
  kind: fc.oneof(
    { arbitrary: fc.constantFrom<Action['kind']>('extend', 'rotate', 'retire', 'disable', 'enable'), weight: 12 },
    { arbitrary: fc.constantFrom<Action['kind']>('revoke', 'delete'), weight: 1 },
  ),
  value: fc.integer({ min: 0, max: 2_592_000 }),
  waitMs: fc.oneof(fc.constantFrom(0, 1, DAY_MS, 7 * DAY_MS), fc.integer({ min: 0, max: 12 * DAY_MS })),
});

it('agrees with a tiny model under any order of extend, rotate, retire, disable, enable, revoke and delete', () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  process.stdout.write(`key-life.property SEED=${seed}\n`);
  fc.assert(
    fc.property(fc.array(action, { minLength: 1, maxLength: 30 }), (actions) => {
      const model = new Model(START_MS);
      let state = born();
      for (const step of actions) {
        model.nowMs += step.waitMs;
        let refused: string | null = null;
        try {
          state = apply(state, decide(commandOf(step), state, timeOf(model.nowMs)), model.nowMs);
        } catch (error) {
          refused = (error as Refusal).code;
        }
        expect(refused).toBe(model.run(step));
        const key = state as Key;
        expect(statusOf(key, timeOf(model.nowMs))).toBe(model.status());
        expect(key.expiresAt).toBe(timeOf(model.expiresMs));
        expect(validSecrets(key, timeOf(model.nowMs)).map(({ version }) => version)).toEqual(model.valid());
        expect(validSecrets(key, timeOf(model.nowMs)).length).toBeLessThanOrEqual(2);
      }
    }),
    { seed, numRuns: 500 },
  );
});

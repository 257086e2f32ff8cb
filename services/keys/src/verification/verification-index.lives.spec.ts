import fc from 'fast-check';
import type { KeyEvent } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import type { KeyCommand, NewSecret } from '../domain/commands.js';
import { keyDecider } from '../domain/key.js';
import { noPolicy } from '../domain/key-policy.js';
import { type Key, type KeyState } from '../domain/key-state.js';
import { VERIFIER_BYTES } from './key-rows.js';
import { created, hmacOf, keyIdOf, opened, START_MS, timeOf } from './testing/opened-events.js';
import { VerificationIndex } from './verification-index.js';

/** What the index says of a key, in the words of the naive fold. */
function read(index: VerificationIndex, keyId: string, nowMs: number): unknown {
  const key = index.key(keyId);
  if (key === undefined) return undefined;
  const { row, profile, extras, place } = key;
  if (row.deleted) return { ...place, name: undefined, json: undefined, owner: key.owner, deleted: true };
  const { older } = extras;
  return {
    tenantId: place.tenantId,
    projectId: place.projectId,
    owner: key.owner,
    deleted: false,
    imported: row.imported,
    revoked: row.revoked,
    disabled: row.disabled,
    canManageKeys: row.canManageKeys,
    environment: profile.environment,
    scopes: profile.scopes,
    audiences: profile.audiences,
    ipAllow: profile.ipAllow,
    ipDeny: profile.ipDeny,
    labels: JSON.parse(extras.labels) as unknown,
    metadata: JSON.parse(extras.metadata) as unknown,
    notBeforeMs: extras.notBeforeMs,
    expiresAtMs: row.expiresAtMs,
    createdAtMs: row.createdAtMs,
    lifetimeDays: row.lifetimeDays,
    secrets: [
      ...(older !== null && older.retiresAtMs > nowMs
        ? [
            {
              version: older.version,
              pepper: index.pepperVersion(older.pepper),
              verifier: Buffer.from(older.verifier).toString('hex'),
              retiresAtMs: older.retiresAtMs,
            },
          ]
        : []),
      ...(row.hasVerifier
        ? [
            {
              version: row.secretVersion,
              pepper: index.pepperVersion(row.pepper),
              verifier: Buffer.from(row.verifier()).toString('hex'),
              retiresAtMs: null,
            },
          ]
        : []),
    ],
  };
}

/** The same from the decider's own state: nothing of the index is used. */
function expected(state: KeyState, verifiers: ReadonlyMap<number, string>, nowMs: number): unknown {
  if (state.kind === 'absent') return undefined;
  const key: Key = state;
  const { tenantId, projectId, owner } = key;
  if (key.kind === 'deleted') return { tenantId, projectId, name: undefined, json: undefined, owner, deleted: true };
  const msOf = (time: string): number => Date.parse(time);
  return {
    tenantId,
    projectId,
    owner,
    deleted: false,
    imported: key.imported,
    revoked: key.kind === 'revoked',
    disabled: key.disabled,
    canManageKeys: key.canManageKeys,
    environment: key.environment,
    scopes: key.scopes,
    audiences: key.audiences,
    ipAllow: key.ipAllow,
    ipDeny: key.ipDeny,
    labels: key.labels,
    metadata: key.metadata,
    notBeforeMs: key.notBefore === null ? 0 : msOf(key.notBefore),
    expiresAtMs: key.expiresAt === null ? Number.POSITIVE_INFINITY : msOf(key.expiresAt),
    createdAtMs: msOf(key.createdAt),
    lifetimeDays: key.expiresAt === null ? 0 : Math.ceil((msOf(key.expiresAt) - msOf(key.expirySetAt)) / 86_400_000),
    secrets: key.secrets
      .filter((secret) => secret.retiresAt === null || msOf(secret.retiresAt) > nowMs)
      .map((secret) => ({
        version: secret.version,
        pepper: secret.pepperVersion,
        verifier: verifiers.get(secret.version)?.slice(0, 2 * VERIFIER_BYTES),
        retiresAtMs: secret.retiresAt === null ? null : msOf(secret.retiresAt),
      })),
  };
}

const text = fc.constantFrom('', 'a', 'b');
const timeAhead = fc.integer({ min: 60_000, max: 40 * 86_400_000 });
const cidr = fc.constantFrom('10.0.0.0/8', '192.0.2.0/24', '2001:db8::/32');

/** Commands as the service would send them; those that the rules refuse are skipped. */
const command = fc.oneof(
  fc.record({
    type: fc.constant('UpdateKey' as const),
    edits: fc.record(
      {
        name: text,
        labels: fc.dictionary(fc.constantFrom('team', 'app'), text),
        metadata: fc.dictionary(fc.constantFrom('x', 'y'), fc.integer()),
        scopes: fc.option(fc.subarray(['compute:read', 'compute:write', 'storage:*'])),
        audiences: fc.subarray(['compute', 'storage']),
        ipAllow: fc.uniqueArray(cidr),
        ipDeny: fc.uniqueArray(cidr),
        notBefore: fc.option(timeAhead.map((ms) => timeOf(START_MS + ms))),
      },
      { requiredKeys: [] },
    ),
  }),
  fc.record({
    type: fc.constant('ExtendKey' as const),
    days: fc.integer({ min: 1, max: 90 }),
    aheadMs: fc.option(timeAhead),
  }),
  fc.record({ type: fc.constant('RotateKey' as const), overlapSeconds: fc.constantFrom(0, 1, 3_600, 86_400 * 30) }),
  fc.record({ type: fc.constant('RetireSecret' as const), back: fc.nat(2) }),
  fc.record({ type: fc.constant('DisableKey' as const) }),
  fc.record({ type: fc.constant('EnableKey' as const) }),
  fc.record({ type: fc.constant('TransferKey' as const), to: fc.constantFrom('bob', 'carol') }),
  fc.record({ type: fc.constant('UpgradeVerifier' as const), back: fc.nat(1) }),
  fc.record({ type: fc.constant('RecordExpiry' as const) }),
  fc.record({ type: fc.constant('RevokeKey' as const), likely: fc.nat(9) }),
  fc.record({ type: fc.constant('DeleteKey' as const), likely: fc.nat(9) }),
);
type Wish = typeof command extends fc.Arbitrary<infer T> ? T : never;

const newest = (state: KeyState): number => (state.kind === 'absent' ? 0 : (state.secrets.at(-1)?.version ?? 0));
const counts = { owner: 0, project: 0 };

function commandOf(wish: Wish, state: KeyState, nowMs: number, secret: NewSecret): KeyCommand | undefined {
  if (state.kind === 'absent') return undefined;
  const facts = { policy: noPolicy, counts, caller: null };
  switch (wish.type) {
    case 'UpdateKey':
      return { type: 'UpdateKey', edits: wish.edits, policy: noPolicy, caller: null };
    case 'ExtendKey':
      return {
        type: 'ExtendKey',
        by: wish.aheadMs === null ? { days: wish.days } : { until: timeOf(nowMs + wish.aheadMs) },
        ...facts,
      };
    case 'RotateKey':
      return { type: 'RotateKey', overlapSeconds: wish.overlapSeconds, secret, caller: null };
    case 'RetireSecret':
      return { type: 'RetireSecret', version: newest(state) - wish.back };
    case 'DisableKey':
      return { type: 'DisableKey' };
    case 'EnableKey':
      return { type: 'EnableKey', caller: null };
    case 'TransferKey':
      return { type: 'TransferKey', owner: { type: 'user', id: wish.to, role: 'tenant_admin' }, ...facts };
    case 'UpgradeVerifier': {
      const version = newest(state) - wish.back;
      const from = state.secrets.find((one) => one.version === version)?.pepperVersion ?? '';
      return { type: 'UpgradeVerifier', version, from, to: from === '1' ? '2' : '1', hmac: secret.hmac };
    }
    case 'RecordExpiry':
      return { type: 'RecordExpiry', expiresAt: state.expiresAt ?? '' };
    case 'RevokeKey':
      return wish.likely === 0 ? { type: 'RevokeKey', reason: 'other' } : undefined;
    case 'DeleteKey':
      return wish.likely === 0 ? { type: 'DeleteKey', dataKeys: [] } : undefined;
  }
}

function decided(wanted: KeyCommand, state: KeyState, at: string): KeyEvent[] {
  try {
    return keyDecider.decide(wanted, state, at);
  } catch (error) {
    if (error instanceof Refusal) return [];
    throw error;
  }
}

function verifiersAfter(before: ReadonlyMap<number, string>, event: KeyEvent): ReadonlyMap<number, string> {
  if (!('private' in event)) return before;
  const version = 'version' in event.data ? event.data.version : 1;
  return new Map([...before, [version, event.private.verifier.hmac]]);
}

interface Life {
  readonly keyId: string;
  state: KeyState;
  revision: number;
  verifiers: ReadonlyMap<number, string>;
}

describe('the verification index', () => {
  it('equals a naive fold for random lives of three keys, event by event', () => {
    const step = fc.record({
      key: fc.nat(2),
      wish: command,
      passedMs: fc.constantFrom(0, 1_000, 86_400_000, 30 * 86_400_000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), timeAhead, (steps, imported, lifeMs) => {
        const index = new VerificationIndex();
        const lives: Life[] = [0, 1, 2].map((n) => ({
          keyId: keyIdOf(n),
          state: keyDecider.initialState,
          revision: 0,
          verifiers: new Map(),
        }));
        let nowMs = START_MS;
        let hmacs = 0;
        const write = (life: Life, event: KeyEvent): void => {
          life.revision += 1;
          const stored = opened(event, life.revision, { keyId: life.keyId, atMs: nowMs });
          expect(index.apply(stored)).toBe('applied');
          expect(index.apply(stored)).toBe('seen');
          life.state = keyDecider.evolve(life.state, event, stored);
          life.verifiers = verifiersAfter(life.verifiers, event);
        };
        for (const [n, life] of lives.entries()) {
          const expiresAt = n === 0 ? null : timeOf(START_MS + lifeMs * n);
          const first = created({ keyId: life.keyId, expiresAt, labels: n === 2 ? { team: 'x' } : {} });
          write(life, imported && n === 1 ? ({ ...first, type: 'KeyImported' } as KeyEvent) : first);
        }
        for (const { key, wish, passedMs } of steps) {
          nowMs += passedMs;
          const life = lives[key];
          if (life === undefined) throw new Error('There are three keys.');
          hmacs += 1;
          const secret: NewSecret = {
            pepperVersion: hmacs % 3 === 0 ? '2' : '1',
            madeBy: 'steward',
            hmac: hmacOf(hmacs + 16),
          };
          const wanted = commandOf(wish, life.state, nowMs, secret);
          const events = wanted === undefined ? [] : decided(wanted, life.state, timeOf(nowMs));
          for (const event of events) write(life, event);
          for (const one of lives)
            expect(read(index, one.keyId, nowMs)).toEqual(expected(one.state, one.verifiers, nowMs));
        }
        expect(index.size).toBe(3);
      }),
      { numRuns: 300 },
    );
  });
});

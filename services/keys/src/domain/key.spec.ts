import {
  alice,
  create,
  day,
  edit,
  endless,
  extend,
  extendUntil,
  given,
  importing,
  keyAfter,
  keyId,
  made,
  narrow,
  remove,
  revoke,
  secret,
  type Step,
  T0,
  T1,
} from '../testing/given-key.js';
import type { KeyCommand } from './commands.js';
import { decide } from './key.js';
import { noPolicy } from './key-policy.js';
import { maskedOf } from './key-state.js';

describe('creating a key', () => {
  it('writes every field in its normal form and the verifier apart', () => {
    const lists = { scopes: ['b', 'a', 'b'], audiences: ['y', 'x'], ipAllow: ['::/0', '10.0.0.0/8'], ipDeny: [] };
    const [event] = decide(create(lists), { kind: 'absent' }, T0);
    expect(event).toEqual({
      type: 'KeyCreated',
      data: {
        keyId,
        owner: alice,
        name: 'night batch',
        description: null,
        labels: {},
        metadata: {},
        environment: 'live',
        scopes: ['a', 'b'],
        audiences: ['x', 'y'],
        ipAllow: ['10.0.0.0/8', '::/0'],
        ipDeny: [],
        notBefore: null,
        expiresAt: T1,
        canManageKeys: false,
        secret: { version: 1, pepperVersion: '1', madeBy: 'steward' },
      },
      private: { verifier: { hmac: secret.hmac } },
    });
  });

  it('counts a lifetime in days of 86,400,000 ms from the recording', () => {
    expect(keyAfter([T0, create({ expiry: { kind: 'days', days: 30 } })]).expiresAt).toBe(day(30));
  });

  it('takes the policy’s default lifetime only where the wish leaves it open', () => {
    const policy = { ...noPolicy, defaultLifetimeDays: 90 };
    expect(keyAfter([T0, create({ expiry: { kind: 'default' } }, { policy })]).expiresAt).toBe(day(90));
    expect(keyAfter([T0, create({ expiry: { kind: 'never' } }, { policy })]).expiresAt).toBeNull();
    expect(keyAfter([T0, create({ expiry: { kind: 'default' } })]).expiresAt).toBeNull();
  });

  it('refuses an expiry less than 60 s ahead, a start after the end and years without four digits', () => {
    given()
      .when(T0, create({ expiry: { kind: 'at', time: '2026-01-01T00:00:59.999Z' } }))
      .isRefused('VALIDATION', 'body.expiresAt');
    given()
      .when(T0, create({ expiry: { kind: 'at', time: '2026-01-01T00:01:00.000Z' } }))
      .gives('KeyCreated');
    given()
      .when(T0, create({ notBefore: T1 }))
      .isRefused('VALIDATION', 'body.notBefore');
    given()
      .when(T0, create({ expiry: { kind: 'days', days: 4_000_000 } }))
      .isRefused('VALIDATION', 'body.ttlDays');
  });

  it('refuses an unknown owner, a closed project, a suspended tenant and a taken ID', () => {
    given()
      .when(T0, create({}, { owner: null }))
      .isRefused('OWNER_UNKNOWN');
    given()
      .when(T0, create({}, { place: 'projectClosed' }))
      .isRefused('PROJECT_CLOSED');
    given()
      .when(T0, create({}, { place: 'tenantSuspended' }))
      .isRefused('TENANT_IS_SUSPENDED');
    given(made).when(T0, create()).isRefused('KEY_ID_TAKEN');
    given(made, [T0, remove]).when(T0, create()).isRefused('KEY_ID_TAKEN');
  });

  it('holds to the policy, the counts and the caller’s own bounds', () => {
    given()
      .when(T0, create({}, { policy: { ...noPolicy, maxLifetimeDays: 29 } }))
      .isRefused('POLICY_MAX_LIFETIME');
    given()
      .when(T0, create({}, { policy: { ...noPolicy, maxKeysPerOwner: 2 }, counts: { owner: 2, project: 2 } }))
      .isRefused('POLICY_MAX_KEYS');
    given()
      .when(T0, create({}, { caller: narrow }))
      .isRefused('SCOPE_EXCEEDS_OWNER');
    given()
      .when(T0, create({}, { scopesBeyondOwner: ['steward:tenants:write'] }))
      .isRefused('SCOPE_EXCEEDS_OWNER');
  });
});

describe('importing a key', () => {
  const imported: Step = [T0, importing('GOV112345')];

  it('makes a key that says so in its masked form', () => {
    given().when(T0, importing('GOV112345')).gives('KeyImported');
    expect(maskedOf(keyAfter(imported))).toBe('imported_9DC9…');
    expect(maskedOf(keyAfter(made))).toBe('stw_live_9DC9…');
  });

  it('leaves one that stands unchanged, even a revoked one, and never resurrects a deleted one', () => {
    given(imported).when(T1, importing('GOV112345')).changesNothing();
    given(imported, [T0, revoke]).when(T1, importing('GOV112345')).changesNothing();
    given(imported, [T0, remove]).when(T1, importing('GOV112345')).isRefused('KEY_DELETED');
  });

  it('says of a digest that stands elsewhere only that it is taken, deleted or not', () => {
    given(imported).when(T1, importing('GOV000001')).isRefused('KEY_ID_TAKEN');
    given(imported, [T0, remove]).when(T1, importing('GOV000001')).isRefused('KEY_ID_TAKEN');
  });
});

describe('editing a key', () => {
  it('writes the changed fields alone, sorted, with whole values before and after', () => {
    given(made)
      .when(T0, edit({ scopes: ['b', 'a'], name: null, labels: { team: 'ingest' }, description: null }))
      .gives('KeyUpdated', {
        changes: [
          { field: 'labels', from: {}, to: { team: 'ingest' } },
          { field: 'name', from: 'night batch', to: null },
          { field: 'scopes', from: null, to: ['a', 'b'] },
        ],
      });
  });

  it('clears lists and maps by null, and tells all scopes from none', () => {
    const full = { scopes: ['a'], audiences: ['x'], ipAllow: ['10.0.0.0/8'], metadata: { a: 1 } };
    const key = keyAfter(
      [T0, create(full)],
      [T0, edit({ scopes: null, audiences: null, ipAllow: null, metadata: null })],
    );
    expect(key).toMatchObject({ scopes: null, audiences: [], ipAllow: [], metadata: {} });
    expect(keyAfter(made, [T0, edit({ scopes: [] })]).scopes).toEqual([]);
  });

  it('writes nothing when nothing changes, whatever the order of a map or list', () => {
    given([T0, create({ scopes: ['a', 'b'], metadata: { a: 1, b: 2 } })])
      .when(T0, edit({ scopes: ['b', 'a', 'b'], metadata: { b: 2, a: 1 } }))
      .changesNothing();
    given(made).when(T0, edit({})).changesNothing();
  });

  it('holds an edit to the rules about what it changes and to no others', () => {
    const policy = { ...noPolicy, maxLifetimeDays: 1, allowedScopes: ['a:*'], requireIpAllow: true };
    const under = (edits: Parameters<typeof edit>[0]): KeyCommand => ({ ...edit(edits), policy }) as KeyCommand;
    given(made)
      .when(T0, under({ name: 'other' }))
      .gives('KeyUpdated');
    given(made)
      .when(T0, under({ scopes: ['b:read'] }))
      .isRefused('POLICY_SCOPE_FORBIDDEN');
    given([T0, create({ ipAllow: ['10.0.0.0/8'] })])
      .when(T0, under({ ipAllow: [] }))
      .isRefused('POLICY_IP_REQUIRED');
    given(made)
      .when(T0, under({ scopes: ['a:read'] }))
      .gives('KeyUpdated');
  });

  it('refuses scopes that the owner’s role can do nothing with, where scopes are changed', () => {
    const lacking = { scopesBeyondOwner: ['steward:tenants:write'] };
    given(made)
      .when(T0, { ...edit({ scopes: ['steward:tenants:write'] }), ...lacking })
      .isRefused('SCOPE_EXCEEDS_OWNER');
    given(made)
      .when(T0, { ...edit({ name: 'x' }), ...lacking })
      .gives('KeyUpdated');
  });

  it('refuses a start after the end and a caller whose own bounds are narrower', () => {
    given(made)
      .when(T0, edit({ notBefore: T1 }))
      .isRefused('VALIDATION', 'body.notBefore');
    given(made)
      .when(T0, { ...edit({ name: 'x' }), caller: narrow } as KeyCommand)
      .isRefused('SCOPE_EXCEEDS_OWNER');
  });
});

describe('extending a key', () => {
  it('adds whole days to the expiry', () => {
    given(made)
      .when(day(1), extend(30))
      .gives('KeyExtended', { from: T1, to: day(60), days: 30 });
  });

  it('takes an exact time, with days null', () => {
    given(made)
      .when(day(1), extendUntil(day(40)))
      .gives('KeyExtended', { from: T1, to: day(40), days: null });
  });

  it('counts from now on for a key that expired within 7 days', () => {
    given(made)
      .when(day(37), extend(30))
      .gives('KeyExtended', { from: T1, to: day(67), days: 30 });
    given(made).when('2026-02-07T00:00:00.001Z', extend(30)).isRefused('KEY_EXPIRED');
  });

  it('refuses a key that never expires, a shortening, and what lies too near or too far', () => {
    given(endless).when(T0, extend(1)).isRefused('KEY_NEVER_EXPIRES');
    given(made).when(T0, extendUntil(T1)).isRefused('VALIDATION', 'body.until');
    given(made).when(day(30), extendUntil('2026-01-31T00:00:59.000Z')).isRefused('VALIDATION', 'body.until');
    given(made)
      .when(T0, extendUntil(day(30 + 3651)))
      .isRefused('VALIDATION', 'body.until');
    given(made)
      .when(T0, extendUntil(day(30 + 3650)))
      .gives('KeyExtended');
  });

  it('holds to the policy: the length, the life from now, the life in all, and the counts of a key come back', () => {
    const under = (policy: object, by = extend(30), counts = { owner: 5, project: 5 }): KeyCommand =>
      ({ ...by, counts, policy: { ...noPolicy, ...policy } }) as KeyCommand;
    given(made)
      .when(T0, under({ maxExtensionDays: 29 }))
      .isRefused('POLICY_MAX_EXTENSION');
    given(made)
      .when(T0, under({ maxLifetimeDays: 59 }))
      .isRefused('POLICY_MAX_LIFETIME');
    given(made)
      .when(day(1), under({ maxLifetimeDays: 59 }))
      .gives('KeyExtended');
    given(made)
      .when(day(1), under({ maxTotalLifetimeDays: 59 }))
      .isRefused('POLICY_MAX_LIFETIME');
    given(made)
      .when(day(1), under({ maxKeysPerProject: 5 }))
      .gives('KeyExtended');
    given(made)
      .when(day(31), under({ maxKeysPerProject: 5 }))
      .isRefused('POLICY_MAX_KEYS');
  });

  it('never makes a key outlive the key that its caller came with', () => {
    given([T0, create({ scopes: ['a:read'] })])
      .when(T0, { ...extend(1), caller: { ...narrow, expiresAt: T1 } } as KeyCommand)
      .isRefused('FORBIDDEN');
  });
});

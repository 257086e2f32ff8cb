import {
  after,
  alice,
  bob,
  create,
  day,
  disable,
  edit,
  enable,
  endless,
  extend,
  given,
  keyAfter,
  made,
  meta,
  remove,
  retire,
  revoke,
  rotate,
  type Step,
  T0,
  T1,
  transfer,
} from '../testing/given-key.js';
import type { KeyCommand } from './commands.js';
import { decide } from './key.js';
import { noPolicy } from './key-policy.js';
import { dueWarning, evolve, statusOf } from './key-state.js';

describe('rotating a key', () => {
  it('keeps the ID, and the old secret until the end of the overlap', () => {
    given(made).when(T0, rotate(3_600)).gives('KeyRotated', {
      version: 2,
      pepperVersion: '1',
      madeBy: 'steward',
      previousVersion: 1,
      previousRetiresAt: '2026-01-01T01:00:00.000Z',
    });
  });

  it('never lengthens the old secret’s life', () => {
    given(made).when(day(29.5), rotate()).gives('KeyRotated', {
      version: 2,
      pepperVersion: '1',
      madeBy: 'steward',
      previousVersion: 1,
      previousRetiresAt: T1,
    });
    // Version 2 was retired in the overlap, so version 1 is the previous one again, with the end that it had.
    const steps: Step[] = [made, [T0, rotate(3_600)], [T0, retire(2)]];
    const key = keyAfter(...steps, ['2026-01-01T00:30:00.000Z', rotate(86_400)]);
    expect(key.secrets.map(({ version, retiresAt }) => [version, retiresAt])).toEqual([
      [1, '2026-01-01T01:00:00.000Z'],
      [2, T0],
      [3, null],
    ]);
  });

  it('allows two valid secrets and no third, until the overlap has ended', () => {
    given(made, [T0, rotate(3_600)])
      .when('2026-01-01T00:59:59.999Z', rotate())
      .isRefused('SECRETS_MAX');
    given(made, [T0, rotate(3_600)])
      .when('2026-01-01T01:00:00.000Z', rotate())
      .gives('KeyRotated');
    given(made, [T0, rotate(0)])
      .when(T0, rotate())
      .gives('KeyRotated');
  });

  it('still rotates a key whose only secret has run out', () => {
    const steps: Step[] = [made, [T0, rotate(3_600)], [T0, retire(2)]];
    expect(keyAfter(...steps, [day(1), rotate()]).secrets).toHaveLength(3);
  });

  it('works on a disabled key and not on an expired one', () => {
    given(made, [T0, disable]).when(T0, rotate()).gives('KeyRotated');
    given(made).when(T1, rotate()).isRefused('KEY_EXPIRED');
  });
});

describe('retiring a secret', () => {
  it('takes either of two and never the last', () => {
    given(made, [T0, rotate()]).when(T0, retire(1)).gives('KeySecretRetired', { version: 1 });
    given(made, [T0, rotate()]).when(T0, retire(2)).gives('KeySecretRetired', { version: 2 });
    given(made).when(T0, retire(1)).isRefused('SECRET_LAST');
    given(made, [T0, rotate()], [T0, retire(1)])
      .when(T0, retire(2))
      .isRefused('SECRET_LAST');
  });

  it('knows no version that is absent or retired already', () => {
    given(made).when(T0, retire(7)).isRefused('SECRET_UNKNOWN');
    given(made, [T0, rotate()], [T0, retire(1)])
      .when(T0, retire(1))
      .isRefused('SECRET_UNKNOWN');
    given(made, [T0, rotate(60)])
      .when(day(1), retire(1))
      .isRefused('SECRET_UNKNOWN');
  });
});

describe('the states of a key', () => {
  it('disables and enables, and changes nothing the second time', () => {
    given(made).when(T0, disable).gives('KeyDisabled', {});
    given(made, [T0, disable]).when(T0, disable).changesNothing();
    given(made, [T0, disable]).when(T0, enable).gives('KeyEnabled', {});
    given(made).when(T0, enable).changesNothing();
  });

  it('lets a revoked key only be deleted', () => {
    const revoked: Step[] = [made, [T0, revoke]];
    given(made).when(T0, revoke).gives('KeyRevoked', { reason: 'compromised' });
    given(...revoked)
      .when(T0, { type: 'RevokeKey', reason: 'other' })
      .changesNothing();
    for (const command of [edit({ name: 'x' }), extend(1), rotate(), retire(1), disable, enable, transfer(bob)])
      given(...revoked)
        .when(T0, command)
        .isRefused('KEY_REVOKED');
    given(...revoked)
      .when(T0, remove)
      .gives('KeyDeleted', { dataKeys: ['key:key_9DC9pg4cMivLPKBD#0123456789abcdef'] });
  });

  it('lets an expired key be extended, renamed, revoked or deleted and nothing else', () => {
    for (const command of [edit({ scopes: [] }), rotate(), retire(1), disable, transfer(bob)])
      given(made).when(T1, command).isRefused('KEY_EXPIRED');
    given(made, [T0, disable]).when(T1, enable).isRefused('KEY_EXPIRED');
    given(made)
      .when(T1, edit({ name: 'x' }))
      .gives('KeyUpdated');
    given(made).when(T1, extend(1)).gives('KeyExtended');
    given(made).when(T1, revoke).gives('KeyRevoked');
    given(made).when(T1, remove).gives('KeyDeleted');
  });

  it('lets a disabled key do everything', () => {
    for (const command of [edit({ name: 'x' }), extend(1), rotate(), revoke, remove, transfer(bob)])
      expect(decide(command, after([made, [T0, disable]]), T0)).toHaveLength(1);
  });

  it('knows nothing of an absent or deleted key', () => {
    for (const command of [edit({ name: 'x' }), extend(1), rotate(), retire(1), disable, enable, revoke, remove]) {
      given().when(T0, command).isRefused('NOT_FOUND');
      given(made, [T0, remove]).when(T0, command).isRefused('NOT_FOUND');
    }
  });

  it('derives the status from the facts and the time', () => {
    expect(statusOf(keyAfter([T0, create({ notBefore: day(2) })]), T0)).toBe('scheduled');
    expect(statusOf(keyAfter([T0, create({ notBefore: day(2) })]), day(2))).toBe('active');
    expect(statusOf(keyAfter(endless), '2099-01-01T00:00:00.000Z')).toBe('active');
    expect(statusOf(keyAfter(made, [T0, disable]), T0)).toBe('disabled');
    expect(statusOf(keyAfter(made, [T0, disable]), T1)).toBe('expired');
    expect(statusOf(keyAfter(made, [T0, revoke]), T1)).toBe('revoked');
    expect(statusOf(keyAfter(made, [T0, remove]), T1)).toBe('deleted');
  });

  it('has no event before its creation', () => {
    expect(() => evolve({ kind: 'absent' }, { type: 'KeyDisabled', data: {} }, meta(1, T0))).toThrow('KeyDisabled');
  });
});

describe('transferring a key', () => {
  it('writes both owners, and nothing if they are the same', () => {
    given(made).when(T0, transfer(bob)).gives('KeyOwnershipTransferred', { from: alice, to: bob });
    given(made).when(T0, transfer(alice)).changesNothing();
    expect(keyAfter(made, [T0, transfer(bob)]).owner).toEqual(bob);
  });

  it('refuses an owner who is not active here, and a principal’s own key', () => {
    given(made).when(T0, transfer(null)).isRefused('OWNER_UNKNOWN');
    expect(() => decide(transfer(bob), after([made], null), T0)).toThrow('OWNER_UNKNOWN');
  });

  it('counts at the new owner', () => {
    given(made)
      .when(T0, {
        ...transfer(bob),
        policy: { ...noPolicy, maxKeysPerOwner: 1 },
        counts: { owner: 1, project: 9 },
      } as KeyCommand)
      .isRefused('POLICY_MAX_KEYS');
  });
});

describe('what time brings', () => {
  const expire = (expiresAt: string): KeyCommand => ({ type: 'RecordExpiry', expiresAt });
  const warn = (thresholdDays: number, expiresAt = T1): KeyCommand => ({
    type: 'WarnExpiry',
    thresholdDays,
    expiresAt,
  });

  it('records each expiry once, at the true instant, and only after it', () => {
    given(made).when(day(29), expire(T1)).changesNothing();
    given(made).when(day(31), expire(T1)).gives('KeyExpired', { expiresAt: T1 });
    given(made, [day(31), expire(T1)])
      .when(day(32), expire(T1))
      .changesNothing();
    given(made, [day(1), extend(1)])
      .when(day(40), expire(T1))
      .changesNothing();
    given(made, [day(31), expire(T1)], [day(32), extend(1)])
      .when(day(40), expire(day(33)))
      .gives('KeyExpired');
    given(made, [T0, revoke]).when(day(31), expire(T1)).changesNothing();
    given().when(day(31), expire(T1)).changesNothing();
  });

  it('warns once per threshold and expiry', () => {
    given(made).when(day(23), warn(7)).gives('KeyExpiryWarned', { thresholdDays: 7, expiresAt: T1 });
    given(made).when('2026-01-23T23:59:59.999Z', warn(7)).changesNothing();
    given(made, [day(23), warn(7)])
      .when(day(23), warn(7))
      .changesNothing();
    given(made, [day(23), warn(7)])
      .when(day(29), warn(1))
      .gives('KeyExpiryWarned');
    given(made).when(T1, warn(1)).changesNothing();
    given(made)
      .when(day(29), warn(1, day(40)))
      .changesNothing();
    given(made, [T0, remove]).when(day(29), warn(1)).changesNothing();
    given(made, [day(23), warn(7)], [day(24), extend(30)])
      .when(day(53), warn(7, day(60)))
      .gives('KeyExpiryWarned');
  });

  it('skips a threshold that was past when the expiry was set, and of several missed warns of the nearest', () => {
    const key = keyAfter(made);
    expect(dueWarning(key, [30, 7, 1], day(0))).toBeNull();
    expect(dueWarning(key, [30, 7, 1], day(25))).toEqual({ thresholdDays: 7, dueAt: day(23) });
    expect(dueWarning(key, [30, 7, 1], day(29.5))).toEqual({ thresholdDays: 1, dueAt: day(29) });
    expect(dueWarning(key, [30, 7, 1], T1)).toBeNull();
    expect(dueWarning(keyAfter(endless), [30, 7, 1], T1)).toBeNull();
    given(made, [day(29), warn(1)])
      .when(day(29), warn(7))
      .changesNothing();
  });

  it('upgrades the verifier of a standing secret from the pepper that it has', () => {
    const upgrade = (version: number, from: string, to: string): KeyCommand => ({
      type: 'UpgradeVerifier',
      version,
      from,
      to,
      hmac: 'cd'.repeat(32),
    });
    given(made)
      .when(T0, upgrade(1, '1', '2'))
      .gives('KeyVerifierUpgraded', { version: 1, from: '1', to: '2' });
    given(made, [T0, upgrade(1, '1', '2')])
      .when(T0, upgrade(1, '1', '2'))
      .changesNothing();
    expect(keyAfter(made, [T0, upgrade(1, '1', '2')]).secrets[0].pepperVersion).toBe('2');
    given(made)
      .when(T0, upgrade(1, '1', '1'))
      .changesNothing();
    given(made)
      .when(T0, upgrade(2, '1', '2'))
      .changesNothing();
    given(made, [T0, rotate(60)])
      .when(day(1), upgrade(1, '1', '2'))
      .changesNothing();
    given(made, [T0, revoke])
      .when(T0, upgrade(1, '1', '2'))
      .changesNothing();
  });
});

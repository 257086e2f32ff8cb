import { Refusal } from '#libs/eventsourcing';
import {
  brokenRules,
  effectivePolicy,
  holdToCounts,
  holdToExtension,
  holdToPolicy,
  noPolicy,
  policyViolation,
  type PolicySubject,
  scopesUnderPolicy,
} from './key-policy.js';

const T0 = '2026-01-01T00:00:00.000Z';
const DAY_MS = 86_400_000;
const day = (n: number): string => new Date(Date.parse(T0) + n * DAY_MS).toISOString();
const subject: PolicySubject = { createdAt: T0, expirySetAt: T0, expiresAt: day(30), scopes: ['a:read'], ipAllow: [] };

const codeOf = (action: () => void): string | null => {
  try {
    action();
  } catch (error) {
    return (error as Refusal).code;
  }
  return null;
};

describe('several policies', () => {
  it('limit nothing where there is none, and warn 30, 7 and 1 days before', () => {
    expect(effectivePolicy(null, undefined)).toEqual(noPolicy);
    expect(effectivePolicy({})).toEqual(noPolicy);
  });

  it('let the strictest value win, whichever of them has it', () => {
    const tenant = { maxLifetimeDays: 90, maxKeysPerOwner: 5, requireExpiry: true, allowedScopes: ['a:*', 'b:read'] };
    const project = {
      maxLifetimeDays: 365,
      maxKeysPerOwner: 2,
      maxTotalLifetimeDays: 400,
      maxKeysPerProject: 9,
      maxExtensionDays: 30,
      requireIpAllow: true,
      requireExpiry: false,
      allowedScopes: ['a:read', 'c:*', 'b:*'],
    };
    const expected = {
      ...noPolicy,
      maxLifetimeDays: 90,
      maxTotalLifetimeDays: 400,
      maxExtensionDays: 30,
      maxKeysPerOwner: 2,
      maxKeysPerProject: 9,
      requireExpiry: true,
      requireIpAllow: true,
      allowedScopes: ['a:read', 'b:read'],
    };
    expect(effectivePolicy(tenant, project)).toEqual(expected);
    expect(effectivePolicy(project, tenant)).toEqual(expected);
  });

  it('never give a default lifetime that another rule forbids', () => {
    expect(effectivePolicy({ defaultLifetimeDays: 90 }, { maxLifetimeDays: 30 }).defaultLifetimeDays).toBe(30);
    expect(effectivePolicy({ defaultLifetimeDays: 20 }, { maxLifetimeDays: 30 }).defaultLifetimeDays).toBe(20);
    expect(effectivePolicy({ maxLifetimeDays: 30 }).defaultLifetimeDays).toBeNull();
  });

  it('warn at every threshold that either asks for, the longest first', () => {
    expect(effectivePolicy({ warnDays: [1, 14] }, { warnDays: [14, 60] }).warnDays).toEqual([60, 14, 1]);
    expect(effectivePolicy({ warnDays: [] }).warnDays).toEqual([]);
  });
});

describe('a policy', () => {
  it('measures the lifetime from the event that last set the expiry, and the total from the creation', () => {
    const extended = { ...subject, expirySetAt: day(10) };
    expect(brokenRules({ ...noPolicy, maxLifetimeDays: 20 }, subject)).toEqual(['maxLifetimeDays']);
    expect(brokenRules({ ...noPolicy, maxLifetimeDays: 20 }, extended)).toEqual([]);
    expect(brokenRules({ ...noPolicy, maxTotalLifetimeDays: 20 }, extended)).toEqual(['maxTotalLifetimeDays']);
    expect(brokenRules({ ...noPolicy, maxLifetimeDays: 30, maxTotalLifetimeDays: 30 }, subject)).toEqual([]);
  });

  it('takes a key without expiry as longer than any lifetime', () => {
    const endless = { ...subject, expiresAt: null };
    const policy = { ...noPolicy, requireExpiry: true, maxLifetimeDays: 3650, maxTotalLifetimeDays: 3650 };
    expect(brokenRules(policy, endless)).toEqual(['requireExpiry', 'maxLifetimeDays', 'maxTotalLifetimeDays']);
    expect(brokenRules(noPolicy, endless)).toEqual([]);
  });

  it('blocks at verification by lifetime, expiry and addresses, and only narrows scopes', () => {
    const policy = { ...noPolicy, allowedScopes: ['b:*'], requireIpAllow: true };
    expect(brokenRules(policy, subject)).toEqual(['allowedScopes', 'requireIpAllow']);
    expect(policyViolation(policy, subject)).toBe('requireIpAllow');
    expect(policyViolation(policy, { ...subject, ipAllow: ['10.0.0.0/8'] })).toBeNull();
    expect(scopesUnderPolicy(policy, ['a:read', 'b:read'])).toEqual(['b:read']);
    expect(scopesUnderPolicy(policy, null)).toEqual(['b:*']);
    expect(scopesUnderPolicy(noPolicy, ['a:read'])).toEqual(['a:read']);
    expect(scopesUnderPolicy(noPolicy, null)).toBeNull();
  });

  it.each([
    ['POLICY_EXPIRY_REQUIRED', { requireExpiry: true }, { expiresAt: null }],
    ['POLICY_MAX_LIFETIME', { maxLifetimeDays: 29 }, {}],
    ['POLICY_MAX_LIFETIME', { maxTotalLifetimeDays: 29 }, {}],
    ['POLICY_SCOPE_FORBIDDEN', { allowedScopes: ['b:*'] }, {}],
    ['POLICY_SCOPE_FORBIDDEN', { allowedScopes: ['b:*'] }, { scopes: null }],
    ['POLICY_IP_REQUIRED', { requireIpAllow: true }, {}],
  ])('refuses with %s under %j', (code, policy, changes) => {
    expect(
      codeOf(() => {
        holdToPolicy({ ...noPolicy, ...policy }, { ...subject, ...changes });
      }),
    ).toBe(code);
  });

  it('names what it asks for without a limit that is not set', () => {
    expect(
      codeOf(() => {
        holdToPolicy(noPolicy, subject);
      }),
    ).toBeNull();
  });

  it('limits the days of one extension', () => {
    const policy = { ...noPolicy, maxExtensionDays: 30 };
    expect(
      codeOf(() => {
        holdToExtension(policy, 30 * DAY_MS);
      }),
    ).toBeNull();
    expect(
      codeOf(() => {
        holdToExtension(policy, 30 * DAY_MS + 1);
      }),
    ).toBe('POLICY_MAX_EXTENSION');
    expect(
      codeOf(() => {
        holdToExtension(noPolicy, 9_999 * DAY_MS);
      }),
    ).toBeNull();
  });

  it('limits the number of keys of an owner and of a project', () => {
    const policy = { ...noPolicy, maxKeysPerOwner: 2, maxKeysPerProject: 3 };
    expect(
      codeOf(() => {
        holdToCounts(policy, { owner: 1, project: 2 });
      }),
    ).toBeNull();
    expect(
      codeOf(() => {
        holdToCounts(policy, { owner: 2, project: 2 });
      }),
    ).toBe('POLICY_MAX_KEYS');
    expect(
      codeOf(() => {
        holdToCounts(policy, { owner: 1, project: 3 });
      }),
    ).toBe('POLICY_MAX_KEYS');
    expect(
      codeOf(() => {
        holdToCounts(noPolicy, { owner: 1e6, project: 1e6 });
      }),
    ).toBeNull();
  });
});

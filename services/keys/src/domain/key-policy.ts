import { type ErrorCode, type KeyPolicy, scopesWithin } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import { DAY_MS, msBetween } from './key-time.js';
import { intersectScopes } from './scopes.js';

/** The rules that hold for a key: of several policies the strictest value wins. Null limits nothing. */
export interface EffectiveKeyPolicy {
  readonly maxLifetimeDays: number | null;
  readonly defaultLifetimeDays: number | null;
  readonly requireExpiry: boolean;
  readonly maxExtensionDays: number | null;
  readonly maxTotalLifetimeDays: number | null;
  readonly maxKeysPerOwner: number | null;
  readonly maxKeysPerProject: number | null;
  readonly allowedScopes: readonly string[] | null;
  readonly requireIpAllow: boolean;
  /** Days before the expiry, the longest first. */
  readonly warnDays: readonly number[];
}

export const WARN_DAYS_DEFAULT: readonly number[] = [30, 7, 1];

export const noPolicy: EffectiveKeyPolicy = {
  maxLifetimeDays: null,
  defaultLifetimeDays: null,
  requireExpiry: false,
  maxExtensionDays: null,
  maxTotalLifetimeDays: null,
  maxKeysPerOwner: null,
  maxKeysPerProject: null,
  allowedScopes: null,
  requireIpAllow: false,
  warnDays: WARN_DAYS_DEFAULT,
};

function least(...values: readonly (number | null | undefined)[]): number | null {
  const given = values.filter((value) => value !== null && value !== undefined);
  return given.length === 0 ? null : Math.min(...given);
}

/** The tenant's and the project's policy as one. Warnings are given at every threshold that either asks for. */
export function effectivePolicy(...policies: readonly (KeyPolicy | null | undefined)[]): EffectiveKeyPolicy {
  const given = policies.filter((policy) => policy !== null && policy !== undefined);
  const warnDays = given.flatMap((policy) => policy.warnDays ?? []);
  const asksForWarnings = given.some((policy) => policy.warnDays !== undefined);
  const maxLifetimeDays = least(...given.map((policy) => policy.maxLifetimeDays));
  const maxTotalLifetimeDays = least(...given.map((policy) => policy.maxTotalLifetimeDays));
  const defaultLifetimeDays = least(...given.map((policy) => policy.defaultLifetimeDays));
  return {
    maxLifetimeDays,
    maxTotalLifetimeDays,
    // A default that another rule forbids would refuse everyone who leaves the choice to the policy.
    defaultLifetimeDays:
      defaultLifetimeDays === null ? null : least(defaultLifetimeDays, maxLifetimeDays, maxTotalLifetimeDays),
    requireExpiry: given.some((policy) => policy.requireExpiry === true),
    maxExtensionDays: least(...given.map((policy) => policy.maxExtensionDays)),
    maxKeysPerOwner: least(...given.map((policy) => policy.maxKeysPerOwner)),
    maxKeysPerProject: least(...given.map((policy) => policy.maxKeysPerProject)),
    allowedScopes: given.reduce<string[] | null>(
      (allowed, policy) => intersectScopes(allowed, policy.allowedScopes ?? null),
      null,
    ),
    requireIpAllow: given.some((policy) => policy.requireIpAllow === true),
    warnDays: asksForWarnings ? [...new Set(warnDays)].sort((a, b) => b - a) : WARN_DAYS_DEFAULT,
  };
}

/** What the rules look at. */
export interface PolicySubject {
  readonly createdAt: string;
  readonly expiresAt: string | null;
  /** The recordedAt of the event that last set expiresAt. */
  readonly expirySetAt: string;
  readonly scopes: readonly string[] | null;
  readonly ipAllow: readonly string[];
}

export type PolicyRule =
  'requireExpiry' | 'maxLifetimeDays' | 'maxTotalLifetimeDays' | 'allowedScopes' | 'requireIpAllow';

const livesLonger = (from: string, expiresAt: string | null, daysMax: number | null): boolean =>
  daysMax !== null && (expiresAt === null || msBetween(from, expiresAt) > daysMax * DAY_MS);

const broken: Readonly<Record<PolicyRule, (policy: EffectiveKeyPolicy, key: PolicySubject) => boolean>> = {
  requireExpiry: (policy, key) => policy.requireExpiry && key.expiresAt === null,
  maxLifetimeDays: (policy, key) => livesLonger(key.expirySetAt, key.expiresAt, policy.maxLifetimeDays),
  maxTotalLifetimeDays: (policy, key) => livesLonger(key.createdAt, key.expiresAt, policy.maxTotalLifetimeDays),
  allowedScopes: (policy, key) => !scopesWithin(key.scopes, policy.allowedScopes),
  requireIpAllow: (policy, key) => policy.requireIpAllow && key.ipAllow.length === 0,
};

const allRules = Object.keys(broken) as PolicyRule[];
const blockingRules = allRules.filter((rule) => rule !== 'allowedScopes');

/** Every rule that the key breaks as it stands. */
export function brokenRules(policy: EffectiveKeyPolicy, key: PolicySubject): PolicyRule[] {
  return allRules.filter((rule) => broken[rule](policy, key));
}

/** The rule that blocks the key at verification, or null. Scopes never block there: `scopesUnderPolicy` narrows them. */
export function policyViolation(policy: EffectiveKeyPolicy, key: PolicySubject): PolicyRule | null {
  return blockingRules.find((rule) => broken[rule](policy, key)) ?? null;
}

/** The scopes that a key has left under the policy. */
export function scopesUnderPolicy(policy: EffectiveKeyPolicy, scopes: readonly string[] | null): string[] | null {
  return intersectScopes(scopes, policy.allowedScopes);
}

const refusals: Readonly<Record<PolicyRule, { code: ErrorCode; detail: (policy: EffectiveKeyPolicy) => string }>> = {
  requireExpiry: { code: 'POLICY_EXPIRY_REQUIRED', detail: () => 'The policy asks for expiresAt or ttlDays.' },
  maxLifetimeDays: {
    code: 'POLICY_MAX_LIFETIME',
    detail: (policy) => `The policy allows at most ${String(policy.maxLifetimeDays)} days from now.`,
  },
  maxTotalLifetimeDays: {
    code: 'POLICY_MAX_LIFETIME',
    detail: (policy) =>
      `The policy allows at most ${String(policy.maxTotalLifetimeDays)} days from the key's creation.`,
  },
  allowedScopes: {
    code: 'POLICY_SCOPE_FORBIDDEN',
    detail: (policy) => `The policy allows these scopes only: ${String(policy.allowedScopes)}.`,
  },
  requireIpAllow: { code: 'POLICY_IP_REQUIRED', detail: () => 'The policy asks for ipAllow.' },
};

/** Refuses a key that breaks one of the rules, all of them unless told which. */
export function holdToPolicy(
  policy: EffectiveKeyPolicy,
  key: PolicySubject,
  rules: readonly PolicyRule[] = allRules,
): void {
  const rule = rules.find((one) => broken[one](policy, key));
  if (rule !== undefined) throw new Refusal(refusals[rule].code, refusals[rule].detail(policy));
}

export function holdToExtension(policy: EffectiveKeyPolicy, extensionMs: number): void {
  const daysMax = policy.maxExtensionDays;
  if (daysMax !== null && extensionMs > daysMax * DAY_MS)
    throw new Refusal('POLICY_MAX_EXTENSION', `The policy allows at most ${daysMax} days at a time.`);
}

/** How many keys stand beside the one in question; deleted, revoked and expired ones do not count. */
export interface KeyCounts {
  readonly owner: number;
  readonly project: number;
}

export function holdToCounts(policy: EffectiveKeyPolicy, counts: KeyCounts): void {
  const { maxKeysPerOwner, maxKeysPerProject } = policy;
  if (maxKeysPerOwner !== null && counts.owner >= maxKeysPerOwner)
    throw new Refusal('POLICY_MAX_KEYS', `The policy allows ${maxKeysPerOwner} keys per owner in a project.`);
  if (maxKeysPerProject !== null && counts.project >= maxKeysPerProject)
    throw new Refusal('POLICY_MAX_KEYS', `The policy allows ${maxKeysPerProject} keys per project.`);
}

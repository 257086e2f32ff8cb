import type { QuotaItem, QuotaLimit } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import type { CheckAnswer, MemberStanding, SoftWarning, Violation } from './commands.js';
import { AMOUNT_MAX, byName } from './items.js';
import { leftOf, memberLimit, projectLimit, softLimit } from './limits.js';
import type { Scope } from './project-quota.js';
import { scopeOf, type Trial } from './trial.js';

/** Whether somebody may have more: the same rules for a reservation, an allocation, growth and a late commit. */

export const OPEN_PER_PROJECT_MAX = 10_000;
export const OPEN_PER_MEMBER_MAX = 1_000;
export const ENTRIES_MAX = 100_000;

/** Refuses what nobody gets in this project now. */
export function holdOpen({ state }: Trial): void {
  if (state.status === 'closed') throw new Refusal('PROJECT_CLOSED', 'The project’s quota is closed.');
  if (state.frozen !== null)
    throw new Refusal('PROJECT_FROZEN', 'The project’s quota is frozen; what is released is taken back.');
}

export function holdStanding(
  trial: Trial,
  userId: string,
  standing: MemberStanding,
  items: readonly QuotaItem[],
): void {
  // The ledger learns of it a moment later, by a reactor.
  if (standing.member === 'project-closed') throw new Refusal('PROJECT_CLOSED', 'The project is closed.');
  if (standing.member === 'tenant-suspended') throw new Refusal('TENANT_IS_SUSPENDED', 'The tenant is suspended.');
  if (standing.member === 'suspended') throw new Refusal('MEMBER_SUSPENDED', 'The member is suspended.');
  if (standing.member !== 'active')
    throw standing.member === 'removed' || trial.state.members.get(userId)?.removed === true
      ? new Refusal('MEMBER_REMOVED', 'The member has left the project.')
      : new Refusal('MEMBER_UNKNOWN', 'The user is no member of the project.');
  const { services } = standing;
  if (services === 'all') return;
  const denied = items.find(({ service }) => !services.has(service));
  if (denied !== undefined)
    throw new Refusal('SERVICE_NOT_GRANTED', `The member has no access to the service ${denied.service}.`);
}

export function holdRoomForReservation({ state }: Trial, userId: string): void {
  const ofMember = state.members.get(userId)?.open ?? 0;
  if (state.project.open >= OPEN_PER_PROJECT_MAX || ofMember >= OPEN_PER_MEMBER_MAX)
    throw new Refusal(
      'TOO_MANY_OPEN_RESERVATIONS',
      `At most ${OPEN_PER_PROJECT_MAX} reservations are open in a project and ${OPEN_PER_MEMBER_MAX} of a member.`,
    );
}

export function holdRoomForEntry({ state: { project } }: Trial): void {
  if (project.open + project.live >= ENTRIES_MAX)
    throw new Refusal('TOO_MANY_ALLOCATIONS', `A project has at most ${ENTRIES_MAX} allocations.`);
}

interface Asked {
  readonly scope: Scope;
  readonly item: QuotaItem;
  readonly limit: QuotaLimit;
  readonly used: number;
  readonly reserved: number;
}

/** Each item twice: under the project's limit and the member's; by service and resource, the project first. */
function asked({ state, catalogue }: Trial, userId: string, items: readonly QuotaItem[]): Asked[] {
  const member = state.member(userId);
  return [...items].sort(byName).flatMap((item) => {
    const resource = state.resource(item.service, item.resource);
    return [state.project, member].map((scope) => {
      const { limit } =
        scope === member ? memberLimit(state, catalogue, member, resource) : projectLimit(state, catalogue, resource);
      const { used, reserved } = scope.counters[resource.index] ?? { used: 0, reserved: 0 };
      return { scope, item, limit, used, reserved };
    });
  });
}

const violationOf = ({ scope, item, limit, used, reserved }: Asked): Violation[] => {
  if (limit === 'unlimited' || used + reserved + item.amount <= limit) return [];
  const { service, resource, amount } = item;
  const available = Math.max(0, limit - used - reserved);
  return [{ scope: scopeOf(scope), service, resource, limit, used, reserved, requested: amount, available }];
};

function holdSums(all: readonly Asked[]): void {
  for (const { used, reserved, item } of all)
    if (item.amount > AMOUNT_MAX - used - reserved)
      throw new Refusal('AMOUNT_OVERFLOW', `The sum of ${item.service}/${item.resource} would be beyond 2^53-1.`);
}

export const violationsOf = (trial: Trial, userId: string, items: readonly QuotaItem[]): Violation[] =>
  asked(trial, userId, items).flatMap(violationOf);

/** Refuses with all violations, in `extra.extensions.violations`. Under FORCE only what could not be counted is refused. */
export function holdToLimits(
  trial: Trial,
  userId: string,
  items: readonly QuotaItem[],
  mode: 'ENFORCE' | 'FORCE',
): void {
  const all = asked(trial, userId, items);
  holdSums(all);
  if (mode === 'FORCE') return;
  const violations = all.flatMap(violationOf);
  if (violations.length > 0) throw quotaExceeded(violations);
}

export function quotaExceeded(violations: readonly Violation[]): Refusal {
  const told = violations.map(
    ({ scope, service, resource, requested, available }) =>
      `${service}/${resource} of ${scope.userId ?? 'the project'}: ${requested} asked, ${available} left`,
  );
  return new Refusal('QUOTA_EXCEEDED', `${told.join('; ')}.`, { extensions: { violations } });
}

/** The answer to CHECK_ONLY; refuses nothing but what is refused whatever the limits are. */
export function check(trial: Trial, userId: string, items: readonly QuotaItem[]): CheckAnswer {
  const all = asked(trial, userId, items);
  holdSums(all);
  const violations = all.flatMap(violationOf);
  let fits: number | 'unlimited' = 'unlimited';
  for (const { item, limit, used, reserved } of all) {
    const left = leftOf(limit, used, reserved);
    if (left === 'unlimited') continue;
    const times: number = Math.floor(left / item.amount);
    fits = fits === 'unlimited' ? times : Math.min(fits, times);
  }
  return { kind: 'check', allowed: violations.length === 0, violations, fits };
}

/** The soft limits that are passed now, of what was granted. */
export const warningsOf = ({ state }: Trial, userId: string, items: readonly QuotaItem[]): SoftWarning[] =>
  items.flatMap(({ service, resource: name }) => {
    const resource = state.resource(service, name);
    return [state.project, state.member(userId)].flatMap((scope) => {
      const soft = softLimit(state, scope, resource);
      const counter = scope.counters[resource.index];
      if (soft === null || counter === undefined || counter.used + counter.reserved <= soft) return [];
      const { used, reserved } = counter;
      return [{ scope: scopeOf(scope), service, resource: name, soft, used, reserved }];
    });
  });

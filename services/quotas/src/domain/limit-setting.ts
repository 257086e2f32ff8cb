import type { QuotaLimit } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import { holdLimit, knownResource } from './catalogue.js';
import type {
  BulkAnswer,
  BulkSetQuota,
  ClearQuota,
  LimitAnswer,
  LimitWish,
  PolicyAnswer,
  SetQuota,
  SetQuotaPolicy,
  TellOverQuota,
} from './commands.js';
import { governed, limitsOf, touchGoverned } from './evolve.js';
import { AMOUNT_MAX, byText } from './items.js';
import { inheritedLimit, isAbove, limitOfCounter, limitOfScope, projectLimit } from './limits.js';
import { holdNotClosed, policyAnswer } from './project-life.js';
import type { ProjectQuota, Resource } from './project-quota.js';
import type { Trial } from './trial.js';
import { wrongField } from './wrong-field.js';

/** Limits of the project, its member default and its members, and how far members' limits may exceed the project's. */

export const BULK_ITEMS_MAX = 500;

function holdVersion(ifMatch: number | undefined, version: number): void {
  if (ifMatch !== undefined && ifMatch !== version)
    throw new Refusal('VERSION_CONFLICT', `The version is ${version}, not ${ifMatch}.`);
}

type Name = Pick<LimitWish, 'scope' | 'service' | 'resource'>;

function holdWish({ limit, soft }: LimitWish): void {
  if (limit !== 'inherit') holdLimit('limit', limit, 'an integer from 0 to 2^53-1, "unlimited" or "inherit"');
  if (soft === null) return;
  if (limit === 'inherit') throw wrongField('soft', 'cannot be set where the limit is inherited');
  if (!Number.isInteger(soft) || soft < 0 || soft > (limit === 'unlimited' ? AMOUNT_MAX : limit))
    throw wrongField('soft', 'must be an integer from 0 to the limit');
}

/** What is set at the scope itself, null if it is inherited. Nobody becomes a member here by being asked about. */
const ownLimit = (state: ProjectQuota, { scope, service, resource }: Name): QuotaLimit | null =>
  scope.type === 'member' && !state.members.has(scope.userId ?? '')
    ? null
    : (limitsOf(state, scope).get(state.resource(service, resource))?.limit ?? null);

/** Every limit of the scope, and of the members that inherit it, is looked at. */
function isBelowUsage({ state, catalogue }: Trial, { scope, service, resource }: Name): boolean {
  return governed(state, scope, state.resource(service, resource)).some((counter) =>
    isAbove(counter.used + counter.reserved, limitOfCounter(state, catalogue, counter)),
  );
}

/** Sets or clears one limit without the rules that tie it to others and to usage: they are held on what comes of it. */
function apply(trial: Trial, wish: LimitWish, force: boolean): LimitAnswer {
  const { state, catalogue } = trial;
  const { scope, service, resource: name, limit, soft } = wish;
  const { unit } = knownResource(catalogue, wish);
  holdWish(wish);
  const resource = state.resource(service, name);
  const standing = limitsOf(state, scope).get(resource);
  holdVersion(wish.ifMatch, standing?.revision ?? 0);
  const previous = ownLimit(state, wish);
  const before = { limit: previous, effective: limitOfScope(state, catalogue, scope, resource).limit };
  if (limit === 'inherit') {
    if (previous !== null) clear(trial, wish, previous);
  } else if (previous !== limit || (standing?.soft ?? null) !== soft) {
    const belowUsage = governed(state, scope, resource).some(({ used, reserved }) => isAbove(used + reserved, limit));
    trial.emit({
      type: 'QuotaSet',
      data: {
        scope,
        service,
        resource: name,
        unit,
        limit,
        soft,
        previous,
        effective: limit,
        belowUsage,
        forced: force,
        requestId: wish.requestId ?? null,
      },
    });
  }
  return { ...answerOf(trial, wish), before };
}

function answerOf(trial: Trial, { scope, service, resource: name }: Name): Omit<LimitAnswer, 'before'> {
  const { state, catalogue } = trial;
  const resource = state.resource(service, name);
  const standing = limitsOf(state, scope).get(resource);
  const { limit: effective, source } = limitOfScope(state, catalogue, scope, resource);
  return {
    kind: 'limit',
    scope,
    service,
    resource: name,
    unit: knownResource(catalogue, { service, resource: name }).unit,
    after: { limit: standing?.limit ?? null, effective, source },
    soft: standing?.soft ?? null,
    belowUsage: isBelowUsage(trial, { scope, service, resource: name }),
    revision: standing?.revision ?? 0,
  };
}

function clear(trial: Trial, { scope, service, resource }: Name, previous: QuotaLimit): void {
  const { state, catalogue } = trial;
  const { limit: effective, source } = inheritedLimit(state, catalogue, scope, state.resource(service, resource));
  trial.emit({ type: 'QuotaCleared', data: { scope, service, resource, previous, effective, source } });
}

/** The rules on what the limits are now. */
function hold(trial: Trial, name: Name, force: boolean): void {
  const { state, catalogue } = trial;
  const resource = state.resource(name.service, name.resource);
  if (!force && isBelowUsage(trial, name))
    throw new Refusal('QUOTA_BELOW_USAGE', 'More is used and reserved than this limit allows; it takes force.');
  const ofProject = projectLimit(state, catalogue, resource).limit;
  const own = ownLimit(state, name);
  if (name.scope.type !== 'project' && own !== null && own !== 'unlimited' && isAbove(own, ofProject))
    throw new Refusal(
      'MEMBER_ABOVE_PROJECT',
      `The project itself has ${ofProject} of ${name.service}/${name.resource}.`,
    );
  if (state.overcommit === 'partitioned') holdPartition(trial, resource);
}

/** The sum of what members were given of their own; who only inherits has no part of a partitioned project. */
function holdPartition({ state, catalogue }: Trial, resource: Resource): void {
  const ofProject = projectLimit(state, catalogue, resource).limit;
  if (ofProject === 'unlimited') return;
  let left = ofProject;
  for (const { limits } of state.members.values()) {
    const given = limits.get(resource)?.limit ?? 0;
    // Counted down, because a sum of many large limits would not be exact.
    if (given === 'unlimited' || given > left)
      throw new Refusal(
        'PARTITION_EXCEEDED',
        `The members’ limits of ${resource.service}/${resource.resource} exceed the project’s ${ofProject}.`,
      );
    left -= given;
  }
}

export function setQuota(command: SetQuota, trial: Trial): LimitAnswer {
  holdNotClosed(trial);
  const changed = trial.events.length;
  const answer = apply(trial, command, command.force);
  if (trial.events.length > changed) hold(trial, command, command.force);
  return answer;
}

export function clearQuota(command: ClearQuota, trial: Trial): LimitAnswer {
  holdNotClosed(trial);
  knownResource(trial.catalogue, command);
  if (ownLimit(trial.state, command) === null) throw new Refusal('NOT_SET', 'No limit is set here.');
  return setQuota({ ...command, type: 'SetQuota', limit: 'inherit', soft: null }, trial);
}

const nameOf = ({ scope, service, resource }: Name): string =>
  `${scope.type}/${scope.userId ?? ''}/${service}/${resource}`;

export function bulkSetQuota(command: BulkSetQuota, trial: Trial): BulkAnswer {
  const { items, atomic, dryRun, force } = command;
  holdNotClosed(trial);
  if (items.length === 0) throw wrongField('items', 'must not be empty');
  if (items.length > BULK_ITEMS_MAX)
    throw new Refusal('TOO_MANY_ITEMS', `At most ${BULK_ITEMS_MAX} limits are set at once.`);
  if (new Set(items.map(nameOf)).size < items.length) throw wrongField('items', 'must not name a limit twice');
  const before = trial.mark();
  const results = atomic ? together(trial, items, force) : oneByOne(trial, items, force);
  const refused = results.find((result) => result.status === 'refused');
  if (dryRun) trial.backTo(before);
  else if (atomic && refused !== undefined)
    throw new Refusal(refused.code, `Nothing was set: ${refused.detail}`, { extensions: { results } });
  return { kind: 'bulk', results };
}

type Result = BulkAnswer['results'][number];

function attempt<Answer>(run: () => Answer): { readonly done: Answer } | { readonly refused: Result } {
  try {
    return { done: run() };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { refused: { status: 'refused', code: error.code, detail: error.detail } };
  }
}

function oneByOne(trial: Trial, items: readonly LimitWish[], force: boolean): Result[] {
  return items.map((item) => {
    const mark = trial.mark();
    const tried = attempt(() => setQuota({ ...item, type: 'SetQuota', force }, trial));
    if ('done' in tried) return { status: 'done', limit: tried.done };
    trial.backTo(mark);
    return tried.refused;
  });
}

/** All are set before any rule is held, so limits can change places. */
function together(trial: Trial, items: readonly LimitWish[], force: boolean): Result[] {
  const applied = items.map((item) => {
    const eventsBefore = trial.events.length;
    const tried = attempt(() => apply(trial, item, force));
    return { item, tried, isChanged: trial.events.length > eventsBefore };
  });
  return applied.map(({ item, tried, isChanged }): Result => {
    if ('refused' in tried) return tried.refused;
    const held = attempt(() => {
      if (isChanged) hold(trial, item, force);
      return { ...answerOf(trial, item), before: tried.done.before };
    });
    return 'refused' in held ? held.refused : { status: 'done', limit: held.done };
  });
}

export function setQuotaPolicy({ overcommit, ifMatch }: SetQuotaPolicy, trial: Trial): PolicyAnswer {
  const { state } = trial;
  holdNotClosed(trial);
  holdVersion(ifMatch, state.policyRevision);
  if (state.overcommit === overcommit) return policyAnswer(trial);
  trial.emit({ type: 'QuotaPolicySet', data: { overcommit } });
  if (overcommit === 'partitioned') for (const resource of givenResources(state)) holdPartition(trial, resource);
  return policyAnswer(trial);
}

/** The resources of which a member was given a limit of its own, in a fixed order, so that a refusal is always the same. */
const givenResources = (state: ProjectQuota): Resource[] =>
  [...new Set([...state.members.values()].flatMap(({ limits }) => [...limits.keys()]))].sort(
    (a, b) => byText(a.service, b.service) || byText(a.resource, b.resource),
  );

/** The limit counts from its own event on; only the telling goes on, an append at a time, until `untold` is rid of it. */
export function tellOverQuota({ service, resource }: TellOverQuota, trial: Trial): null {
  const { state, touched } = trial;
  const byDefault = { type: 'memberDefault', userId: null } as const;
  touchGoverned(state, touched, byDefault, state.resource(service, resource));
  trial.settle();
  return null;
}

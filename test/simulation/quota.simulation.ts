import { isDeepStrictEqual } from 'node:util';
import type { QuotaItem, QuotaScope } from '#libs/contracts';
import { commandIdOf, Refusal } from '#libs/eventsourcing';
import type { Catalogue } from '../../services/quotas/src/domain/catalogue.js';
import type { QuotaCommand } from '../../services/quotas/src/domain/commands.js';
import { StreamAudit, type Written } from './quota.audit.js';
import { type Asked, Commands, NAMES, timeOf, USERS } from './quota.commands.js';
import type { Amounts } from './quota.grants.js';
import { type Outcome, ReferenceLedger } from './quota.reference.js';

/** The functions under test, so that a planted fault can stand in their place. */
export interface QuotaDomain {
  readonly ProjectQuota: typeof import('../../services/quotas/src/domain/project-quota.js').ProjectQuota;
  readonly execute: typeof import('../../services/quotas/src/domain/decide.js').execute;
  readonly evolve: typeof import('../../services/quotas/src/domain/evolve.js').evolve;
  readonly quotaRow: typeof import('../../services/quotas/src/domain/limits.js').quotaRow;
  readonly snapshotOf: typeof import('../../services/quotas/src/domain/snapshot.js').snapshotOf;
  readonly restored: typeof import('../../services/quotas/src/domain/snapshot.js').restored;
  readonly defaultCatalogue: Catalogue;
}
type State = InstanceType<QuotaDomain['ProjectQuota']>;

const MEMBER_DEFAULTS = { 'container-compute/cpu': 9 };
const START_MS = Date.UTC(2026, 0, 1);
const amountsOf = (items: readonly QuotaItem[]): Amounts =>
  Object.fromEntries(items.map(({ service, resource, amount }) => [`${service}/${resource}`, amount]));

const sorted = (list: readonly unknown[]): string[] => list.map((one) => JSON.stringify(one)).sort();

/** Thrown when the decider and the model, or the stream and the invariants, part ways. */
export class Disagreement extends Error {}

function must(holds: boolean, what: () => string): void {
  if (!holds) throw new Disagreement(what());
}

function catalogueOf({ defaultCatalogue }: QuotaDomain): Catalogue {
  const service = new Map(defaultCatalogue.services.get('container-compute'));
  const cpu = service.get('cpu');
  if (cpu !== undefined) service.set('cpu', { ...cpu, defaultMemberLimit: MEMBER_DEFAULTS['container-compute/cpu'] });
  return { revision: 7, services: new Map(defaultCatalogue.services).set('container-compute', service) };
}

/** One life of one project: batches that are decided before they are written, some of which lose a race or their process. */
export class Simulation {
  commands = 0;
  readonly codes = new Map<string, number>();
  private readonly rememberedMax: number;
  private readonly catalogue: Catalogue;
  private state: State;
  private model: ReferenceLedger;
  private readonly audit = new StreamAudit(MEMBER_DEFAULTS);
  private readonly written: Written[] = [];
  private clockMs = START_MS;
  private readonly asking: Commands;
  /** The last commands and what became of them, for whoever has to find out why. */
  private readonly trace: string[] = [];

  constructor(
    private readonly domain: QuotaDomain,
    private readonly random: () => number,
  ) {
    this.rememberedMax = this.chance(0.3) ? 15 : 1_000_000;
    this.catalogue = catalogueOf(domain);
    this.state = new domain.ProjectQuota(this.rememberedMax);
    this.asking = new Commands(random, () => this.clockMs);
    this.model = new ReferenceLedger(NAMES, MEMBER_DEFAULTS, this.rememberedMax);
  }

  private chance = (probability: number): boolean => this.random() < probability;
  private below = (n: number): number => Math.floor(this.random() * n);
  private pick<Thing>(things: readonly Thing[]): Thing {
    return things[this.below(things.length)] as Thing;
  }

  run(commands: number): void {
    try {
      this.live(commands);
    } catch (error) {
      if (error instanceof Error) error.message += `\nThe commands before:\n${this.trace.slice(-12).join('\n')}`;
      throw error;
    }
  }

  private live(commands: number): void {
    while (this.commands < commands) {
      this.moveClock();
      const size = 1 + this.below(6);
      let batch = Array.from({ length: size }, () => this.asking.next());
      if (this.chance(0.06)) this.loseRace(batch);
      if (this.chance(0.03)) this.crash();
      if (this.chance(0.2)) batch = batch.reverse();
      this.write(batch);
      this.compare();
      if (this.chance(0.03)) this.crash();
      // Whoever got no answer sends the same again.
      if (this.chance(0.1)) this.write(batch);
    }
    this.crash();
  }

  private moveClock(): void {
    const jumpMs = this.pick([0, 0, 1, 900, 1_000, 10_000, 60_000, 600_000]);
    this.clockMs += this.chance(0.05) ? -jumpMs : this.chance(0.01) ? 25 * 3_600_000 : jumpMs;
  }

  private nowMs(): number {
    return Math.max(this.clockMs, this.state.recordedAt === '' ? 0 : Date.parse(this.state.recordedAt));
  }

  /** Decided, then not written: the state must be what it was, to the last detail. */
  private loseRace(batch: readonly Asked[]): void {
    const before = this.picture(this.state);
    this.state.journal.begin();
    this.batch(batch, () => undefined);
    this.state.journal.undo();
    this.state.journal.confirm();
    must(this.picture(this.state) === before, () => 'A batch that was undone left something behind.');
  }

  private write(batch: readonly Asked[]): void {
    this.state.journal.begin();
    const commits: (() => void)[] = [];
    this.batch(batch, (commit) => commits.push(commit));
    this.state.journal.confirm();
    for (const commit of commits) commit();
  }

  private batch(batch: readonly Asked[], onDecided: (commit: () => void) => void): void {
    const nowMs = this.nowMs();
    const at = timeOf(nowMs);
    for (let due = this.state.nextDue(at); due !== undefined; due = this.state.nextDue(at))
      onDecided(this.decide({ type: 'ExpireReservation', ...due }, at).commit);
    onDecided(() => {
      this.model.expire(nowMs);
    });
    for (const asked of batch) {
      const { outcome, answer, commit, events } = this.decide(asked.command, at);
      onDecided(() => {
        commit();
        const expected = asked.expected(this.model, nowMs);
        if (events > 0) this.model.forget(nowMs);
        this.judge(asked.command, expected, outcome, answer);
      });
      this.commands += 1;
    }
  }

  private decide(command: QuotaCommand, at: string) {
    const commandId = commandIdOf(['simulation', this.commands, command.type, this.state.revision]);
    const moment = { at, catalogue: this.catalogue, commandId, requestHash: null };
    let outcome: Outcome = { code: 'DONE' };
    let answer: unknown = null;
    let own: Written[] = [];
    try {
      const firstRevision = this.state.revision + 1;
      const decision = this.domain.execute(command, this.state, moment);
      answer = decision.answer;
      own = decision.events.map((event, n) => ({
        ...{ event, recordedAt: at, commandId, requestHash: null },
        revision: firstRevision + n,
      }));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      outcome = { code: error.code, violations: this.violationsOf(error.extra.extensions?.['violations']) };
    }
    const commit = (): void => {
      this.written.push(...own);
      this.audit.append(own);
    };
    return { outcome, answer, commit, events: own.length };
  }

  private violationsOf = (violations: unknown): string[] =>
    [...((violations ?? []) as { scope: QuotaScope; service: string; resource: string }[])].map(
      ({ scope, service, resource }) => `${scope.userId ?? ''} ${service}/${resource}`,
    );

  private judge(command: QuotaCommand, expected: Outcome, outcome: Outcome, answer: unknown): void {
    const said = answer as { replayed?: boolean; kind?: string; items?: QuotaItem[]; violations?: unknown } | null;
    const code =
      outcome.code !== 'DONE'
        ? outcome.code
        : said?.kind === 'check'
          ? 'CHECKED'
          : said?.replayed === true
            ? 'AGAIN'
            : 'DONE';
    this.codes.set(`${command.type} ${code}`, (this.codes.get(`${command.type} ${code}`) ?? 0) + 1);
    this.trace.push(`${code} ${JSON.stringify(command)}`);
    const describe = (): string =>
      `${JSON.stringify(command)}: ${code}, expected ${JSON.stringify(expected)}, answered ${JSON.stringify(answer)}`;
    must(code === expected.code, describe);
    const violations = code === 'CHECKED' ? this.violationsOf(said?.violations) : outcome.violations;
    if (expected.violations !== undefined) must(isDeepStrictEqual(violations, expected.violations), describe);
    if (expected.amounts !== undefined)
      must(isDeepStrictEqual(amountsOf(said?.items ?? []), expected.amounts), describe);
  }

  /** The whole page of quotas, as the decider and the model see it. */
  private compare(): void {
    const removed = [...this.state.members.values()].flatMap((member) => (member.removed ? (member.userId ?? '') : []));
    must(isDeepStrictEqual(removed.sort(), [...this.model.removed].sort()), () => `Removed are ${removed.join(' ')}.`);
    for (const name of NAMES) {
      const [service, resource] = name.split('/') as [string, string];
      for (const user of [null, ...USERS]) {
        const row = this.domain.quotaRow(this.state, this.catalogue, user, { service, resource, unit: '' });
        const used = this.model.used(user, name);
        const reserved = this.model.held(user, name);
        const limit = this.model.limit(user, name);
        const left = Math.min(
          limit - used - reserved,
          this.model.limit(null, name) - this.model.used(null, name) - this.model.held(null, name),
        );
        const expected = {
          used,
          reserved,
          limit: limit === Infinity ? 'unlimited' : limit,
          available: left === Infinity ? 'unlimited' : Math.max(0, left),
          over: used + reserved > limit,
        };
        const found = {
          used: row.used,
          reserved: row.reserved,
          limit: row.limit,
          available: row.available,
          over: row.over,
        };
        must(
          isDeepStrictEqual(found, expected),
          () => `${user ?? 'project'} ${name}: ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`,
        );
      }
    }
  }

  /** The process dies: what comes back is folded from the stream, with and without a snapshot, and is the same. */
  private crash(): void {
    const { domain, rememberedMax } = this;
    const folded = new domain.ProjectQuota(rememberedMax);
    const cut = this.below(this.written.length + 1);
    let resumed = folded;
    for (const [n, { event, ...meta }] of this.written.entries()) {
      if (n === cut) {
        const snapshot = JSON.parse(JSON.stringify(domain.snapshotOf(folded))) as ReturnType<typeof domain.snapshotOf>;
        resumed = domain.restored(snapshot, rememberedMax) as State;
      }
      domain.evolve(folded, event, meta);
      if (resumed !== folded) domain.evolve(resumed, event, meta);
    }
    must(this.picture(folded) === this.picture(this.state), () => 'A fold is not the state that was left.');
    must(this.picture(resumed) === this.picture(folded), () => 'I11: a snapshot and its tail are not the fold.');
    this.state = this.chance(0.5) ? resumed : folded;
  }

  /** All of a state as text, in an order that does not depend on how it came about. */
  private picture(state: State): string {
    const { entries, scopes, memberDefaults, goneRefs, reports, commands, ...rest } = this.domain.snapshotOf(state);
    const sums = [state.project, ...state.members.values()].flatMap(({ userId, open, live, counters }) => [
      ...(open + live === 0 ? [] : [{ userId, open, live }]),
      ...counters.flatMap((counter) => {
        if (counter === undefined || counter.used + counter.reserved === 0) return [];
        const { used, reserved, resource } = counter;
        return [{ userId, name: `${resource.service}/${resource.resource}`, used, reserved }];
      }),
    ]);
    const named = scopes.map(({ limits, over, ...scope }) => ({
      ...scope,
      limits: sorted(limits),
      over: sorted(over),
    }));
    const lists = [entries, named, memberDefaults, goneRefs, reports, commands, sums];
    const indexes = [[...state.liveByRef], [...state.openRefs]];
    return JSON.stringify([rest, [...lists, ...indexes].map(sorted), state.nextExpiry() ?? null]);
  }
}

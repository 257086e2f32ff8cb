import type { QuotaItem, QuotaScope } from '#libs/contracts';
import { commandIdOf } from '#libs/eventsourcing';
import type { MemberStanding, QuotaCommand, RequestMode } from '../../services/quotas/src/domain/commands.js';
import type { Amounts } from './quota.grants.js';
import type { Outcome, ReferenceLedger, ReportLine } from './quota.reference.js';

/** A command as the model and the decider take it. */
export interface Asked {
  readonly command: QuotaCommand;
  readonly expected: (model: ReferenceLedger, nowMs: number) => Outcome;
}

export const NAMES = ['container-compute/cpu', 'container-compute/gpu', 'virtual-compute/floating_ip'];
export const USERS = ['u0', 'u1', 'u2', 'u3'];

export const timeOf = (ms: number): string => new Date(ms).toISOString();

const itemsOf = (amounts: Amounts): QuotaItem[] =>
  Object.entries(amounts).map(([name, amount]) => {
    const [service, resource] = name.split('/') as [string, string];
    return { service, resource, amount };
  });

const scopeOf = (scope: string): QuotaScope =>
  scope === 'project'
    ? { type: 'project', userId: null }
    : scope === 'default'
      ? { type: 'memberDefault', userId: null }
      : { type: 'member', userId: scope };

/** Makes commands that mostly make sense, about few members, resources and names, so that they get in each other's way. */
export class Commands {
  private ids: string[] = [];
  private sent: Asked[] = [];
  private sequence = 0;

  constructor(
    private readonly random: () => number,
    private readonly clockMs: () => number,
  ) {}

  private chance = (probability: number): boolean => this.random() < probability;
  private below = (n: number): number => Math.floor(this.random() * n);
  private pick<Thing>(things: readonly Thing[]): Thing {
    return things[this.below(things.length)] as Thing;
  }

  next(): Asked {
    if (this.sent.length > 0 && this.chance(0.12)) return this.pick(this.sent);
    const asked = this.make();
    this.sent.push(asked);
    if (this.sent.length > 60) this.sent.shift();
    return asked;
  }

  private make(): Asked {
    const dice = this.random();
    if (dice < 0.3) return this.granting();
    if (dice < 0.44) return this.committing();
    if (dice < 0.53) return this.releasing();
    if (dice < 0.59) return this.extending();
    if (dice < 0.66) return this.resizing();
    if (dice < 0.75) return this.freeing();
    if (dice < 0.89) return this.limiting();
    if (dice < 0.93) return this.reporting();
    if (dice < 0.96) return this.governing();
    return this.removing();
  }

  private newId(): string {
    const ms =
      this.clockMs() -
      (this.chance(0.05) ? this.below(2 * 86_400_000) : 0) +
      (this.chance(0.05) ? 250_000 + this.below(100_000) : 0);
    const hex = ms.toString(16).padStart(12, '0');
    const id = `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${Math.floor(this.random() * 2 ** 47)
      .toString(16)
      .padStart(12, '0')}`;
    this.ids.push(id);
    if (this.ids.length > 40) this.ids.shift();
    return id;
  }

  private anyId = (): string => (this.ids.length === 0 || this.chance(0.05) ? this.newId() : this.pick(this.ids));
  private ref = (): string | null => (this.chance(0.6) ? `vm/${this.below(8)}` : null);
  private standing = (): MemberStanding => ({ member: this.chance(0.95) ? 'active' : 'unknown', services: 'all' });

  private amounts(): Amounts {
    const names = NAMES.filter(() => this.chance(0.5));
    return Object.fromEntries(
      (names.length === 0 ? [this.pick(NAMES)] : names).map((name) => [name, 1 + this.below(4)]),
    );
  }

  private granting(): Asked {
    const isReservation = this.chance(0.75);
    const [user, amounts, ref, standing] = [this.pick(USERS), this.amounts(), this.ref(), this.standing()];
    const id = this.chance(0.92) ? this.newId() : this.anyId();
    const body = `body of ${id}${this.chance(0.1) ? ' changed' : ''}`;
    const mode: RequestMode = this.chance(0.06) ? 'FORCE' : this.chance(0.06) ? 'CHECK_ONLY' : 'ENFORCE';
    const ttlSeconds = this.pick([1, 10, 60, 900, 3_600]);
    const asked = {
      id,
      userId: user,
      items: itemsOf(amounts).reverse(),
      mode,
      resourceRef: ref,
      bodyHash: body,
      standing,
    };
    const wish = {
      id,
      user,
      amounts,
      body,
      mode,
      ref,
      isMember: standing.member === 'active',
      ttlMs: ttlSeconds * 1_000,
    };
    return {
      command: isReservation ? { type: 'Reserve', ...asked, ttlSeconds, labels: {} } : { type: 'Allocate', ...asked },
      expected: (model, nowMs) => model.grant(isReservation ? 'reserve' : 'allocate', wish, nowMs),
    };
  }

  private committing(): Asked {
    const id = this.anyId();
    const [amounts, ref, standing] = [
      this.chance(0.4) ? this.amounts() : null,
      this.chance(0.3) ? this.ref() : null,
      this.standing(),
    ];
    const onExpired = this.pick(['fail', 'reacquire', 'reacquire', 'force'] as const);
    const items = amounts === null ? null : itemsOf(amounts);
    return {
      command: { type: 'CommitReservation', id, items, resourceRef: ref, onExpired, standing },
      expected: (model, nowMs) =>
        model.commit({ id, amounts, ref, onExpired, isMember: standing.member === 'active' }, nowMs),
    };
  }

  private releasing(): Asked {
    const id = this.anyId();
    return { command: { type: 'ReleaseReservation', id }, expected: (model, nowMs) => model.release(id, nowMs) };
  }

  private extending(): Asked {
    const [id, ttlSeconds] = [this.anyId(), this.pick([1, 900, 7_200, 86_400])];
    return {
      command: { type: 'ExtendReservation', id, ttlSeconds },
      expected: (model, nowMs) => model.extend(id, ttlSeconds * 1_000, nowMs),
    };
  }

  private resizing(): Asked {
    const [id, amounts, standing] = [this.anyId(), this.amounts(), this.standing()];
    return {
      command: { type: 'ResizeAllocation', id, items: itemsOf(amounts), mode: 'ENFORCE', standing },
      expected: (model, nowMs) => model.resize(id, amounts, standing.member === 'active', nowMs),
    };
  }

  private freeing(): Asked {
    const [id, ref] = [this.anyId(), `vm/${this.below(8)}`];
    const isById = this.chance(0.6);
    return {
      command: { type: 'ReleaseAllocation', by: isById ? { id } : { resourceRef: ref } },
      expected: (model, nowMs) => model.free(isById ? { id } : { ref }, nowMs),
    };
  }

  private limiting(): Asked {
    const wishes = Array.from({ length: this.chance(0.2) ? 3 : 1 }, () => ({
      scope: this.pick(['project', 'default', ...USERS]),
      name: this.pick(NAMES),
      limit: this.chance(0.2) ? null : this.chance(0.12) ? Infinity : this.below(this.chance(0.5) ? 30 : 14),
    })).filter((wish, n, all) => all.findIndex(({ scope, name }) => scope === wish.scope && name === wish.name) === n);
    const force = this.chance(0.3);
    const items = wishes.map(({ scope, name, limit }) => {
      const [service, resource] = name.split('/') as [string, string];
      return {
        scope: scopeOf(scope),
        ...{ service, resource, soft: null },
        limit: limit === null ? ('inherit' as const) : limit === Infinity ? ('unlimited' as const) : limit,
      };
    });
    const [first] = items;
    return {
      command:
        items.length === 1 && first !== undefined
          ? { type: 'SetQuota', ...first, force }
          : { type: 'BulkSetQuota', items, atomic: true, dryRun: false, force },
      expected: (model) => model.setLimits(wishes, force),
    };
  }

  private reporting(): Asked {
    const lines: ReportLine[] = Array.from({ length: 8 }, (_, n) => ({ ref: `vm/${n}`, user: this.pick(USERS) }))
      .filter(() => this.chance(0.5))
      .map((line) => ({ ...line, amounts: this.amounts() }));
    const names = this.chance(0.3) ? [this.pick(NAMES)] : null;
    const seen = lines.flatMap((line) => {
      const looked = Object.fromEntries(Object.entries(line.amounts).filter(([name]) => names?.includes(name) ?? true));
      return Object.keys(looked).length === 0 ? [] : [{ ...line, amounts: looked }];
    });
    const observedMs = this.clockMs() - this.pick([0, 0, 1_000, 60_000, 2 * 86_400_000]);
    const sequence = this.chance(0.85) ? (this.sequence += 1) : Math.max(1, this.sequence);
    const salt = this.random();
    const newId = (ref: string): string => commandIdOf(['adopted', salt, ref]);
    return {
      command: {
        type: 'Reconcile',
        ...{ source: 'compute', observedAt: timeOf(observedMs), sequence, userId: null, dryRun: false, partsDone: 0 },
        resources:
          names?.map((name) => ({ service: name.split('/')[0] ?? '', resource: name.split('/')[1] ?? '' })) ?? null,
        entries: seen.map(({ ref, user, amounts }) => ({ resourceRef: ref, userId: user, items: itemsOf(amounts) })),
        newAllocationId: newId,
      },
      expected: (model, nowMs) => model.reconcile({ observedMs, sequence, names, lines: seen }, newId, nowMs),
    };
  }

  private governing(): Asked {
    if (this.chance(0.4)) {
      const partitioned = this.chance(0.5);
      return {
        command: { type: 'SetQuotaPolicy', overcommit: partitioned ? 'partitioned' : 'shared' },
        expected: (model) => model.setPolicy(partitioned),
      };
    }
    const frozen = this.chance(0.75) ? null : this.pick(['hold', 'drain'] as const);
    return {
      command: frozen === null ? { type: 'UnfreezeQuota' } : { type: 'FreezeQuota', mode: frozen },
      expected: (model) => {
        model.frozen = frozen;
        return { code: 'DONE' };
      },
    };
  }

  private removing(): Asked {
    const [userId, to] = [this.pick(USERS), this.pick(USERS)];
    const disposition = this.chance(0.5) && to !== userId ? 'transfer' : 'orphan';
    return {
      command: {
        ...{ type: 'RemoveQuotaMember', userId, disposition, force: true, partsDone: 0 },
        to: disposition === 'transfer' ? to : null,
      },
      expected: (model, nowMs) => {
        model.remove(userId, disposition, disposition === 'transfer' ? to : null, nowMs);
        return { code: 'DONE' };
      },
    };
  }
}

import { isDeepStrictEqual } from 'node:util';
import type { ProjectQuotaEvent, QuotaItem } from '#libs/contracts';

/** An event as it stands in the stream. */
export interface Written {
  readonly event: ProjectQuotaEvent;
  readonly revision: number;
  readonly recordedAt: string;
  readonly commandId: string;
  readonly requestHash: string | null;
}

interface Thing {
  userId: string;
  items: readonly QuotaItem[];
  state: 'open' | 'live' | 'over';
}

const nameOf = ({ service, resource }: { service: string; resource: string }): string => `${service}/${resource}`;

/** Items that come from another realm, as a planted fault's do, are never deeply equal; their text is. */
const textOf = (items: readonly QuotaItem[]): string => items.map((item) => `${nameOf(item)} ${item.amount}`).join();

/** Reads the stream alone, knowing nothing of commands, and throws at the first event that breaks an invariant. */
export class StreamAudit {
  private readonly things = new Map<string, Thing>();
  private readonly sums = new Map<string, { used: number; reserved: number }>();
  private readonly limits = new Map<string, number | 'unlimited'>();
  private readonly over = new Set<string>();
  private last = '';
  private revision = 0;
  private isPartitioned = false;

  constructor(private readonly memberDefaults: Readonly<Record<string, number>>) {}

  /** The events of one append by one command. */
  append(written: readonly Written[]): void {
    for (const { event, revision, recordedAt } of written) {
      this.must(revision === this.revision + 1, 'revisions are dense');
      this.must(recordedAt >= this.last, 'I10: time never runs back');
      this.revision = revision;
      this.last = recordedAt;
      this.event(event, recordedAt);
    }
    const isAbove = [...this.sums].filter(([key, { used, reserved }]) => used + reserved > this.limitOf(key));
    this.must(
      isDeepStrictEqual(new Set(isAbove.map(([key]) => key)), this.over),
      'I9: who is above a limit is said to be so in the same append',
    );
    if (this.isPartitioned) this.partition();
  }

  private partition(): void {
    for (const [key, ofProject] of this.limits) {
      const [scope, name] = key.split(' ');
      if (scope !== 'project' || ofProject === 'unlimited') continue;
      let sum = 0;
      for (const [other, limit] of this.limits) {
        const [user, resource] = other.split(' ');
        if (resource === name && user !== 'project' && user !== 'default')
          sum += limit === 'unlimited' ? Infinity : limit;
      }
      this.must(sum <= ofProject, 'I13: members together have no more than a partitioned project');
    }
  }

  private must(holds: boolean, what: string): void {
    if (!holds) throw new Error(`Revision ${this.revision} breaks an invariant: ${what}.`);
  }

  private limitOf(key: string): number {
    const [user, name] = key.split(' ') as [string, string];
    const limit =
      user === ''
        ? this.limits.get(`project ${name}`)
        : (this.limits.get(`${user} ${name}`) ?? this.limits.get(`default ${name}`) ?? this.memberDefaults[name]);
    return limit === undefined || limit === 'unlimited' ? Infinity : limit;
  }

  private count(userId: string, items: readonly QuotaItem[], used: number, reserved: number): void {
    for (const item of items)
      for (const key of [`${userId} ${nameOf(item)}`, ` ${nameOf(item)}`]) {
        const before = this.sums.get(key) ?? { used: 0, reserved: 0 };
        const after = { used: before.used + used * item.amount, reserved: before.reserved + reserved * item.amount };
        this.must(after.used >= 0 && after.reserved >= 0, 'I2: nothing is below zero');
        this.sums.set(key, after);
      }
  }

  private enforced(userId: string, items: readonly QuotaItem[]): void {
    for (const item of items)
      for (const key of [`${userId} ${nameOf(item)}`, ` ${nameOf(item)}`]) {
        const { used, reserved } = this.sums.get(key) ?? { used: 0, reserved: 0 };
        this.must(used + reserved <= this.limitOf(key), 'I1, I12: what is enforced stays within the limit');
      }
  }

  private thing(id: string, state: Thing['state']): Thing {
    const thing = this.things.get(id);
    if (thing?.state !== state)
      throw new Error(`Revision ${this.revision} breaks an invariant: ${id} is not ${state}.`);
    return thing;
  }

  private event({ type, data }: ProjectQuotaEvent, recordedAt: string): void {
    switch (type) {
      case 'QuotaReserved':
        this.must(!this.things.has(data.reservationId), 'I4: an id is granted once');
        this.things.set(data.reservationId, { userId: data.userId, items: data.items, state: 'open' });
        this.count(data.userId, data.items, 0, 1);
        if (data.mode === 'ENFORCE') this.enforced(data.userId, data.items);
        return;
      case 'ReservationCommitted':
        this.committed(data);
        return;
      case 'ReservationReleased':
      case 'ReservationExpired': {
        const thing = this.thing(data.reservationId, 'open');
        if (type === 'ReservationExpired') this.must(data.expiresAt <= recordedAt, 'I10: nothing expires early');
        thing.state = 'over';
        this.count(thing.userId, thing.items, 0, -1);
        return;
      }
      case 'AllocationRecorded':
        this.must(!this.things.has(data.allocationId), 'I4: an id is granted once');
        this.things.set(data.allocationId, { userId: data.userId, items: data.items, state: 'live' });
        this.count(data.userId, data.items, 1, 0);
        if (data.mode === 'ENFORCE') this.enforced(data.userId, data.items);
        return;
      case 'AllocationResized':
        this.resized(data.allocationId, data.before, data.after);
        return;
      case 'AllocationReleased':
        this.released(data.allocationId, data.items);
        return;
      case 'UsageReconciled':
        for (const one of data.removed) this.released(one.allocationId, one.items);
        for (const one of data.resized) this.resized(one.allocationId, one.before, one.after);
        for (const { allocationId, userId, items } of data.adopted) {
          this.must(!this.things.has(allocationId), 'I4: an id is granted once');
          this.things.set(allocationId, { userId, items, state: 'live' });
          this.count(userId, items, 1, 0);
        }
        return;
      case 'QuotaMemberUsageTransferred':
        for (const [ids, state] of [
          [data.reservations, 'open'],
          [data.allocations, 'live'],
        ] as const)
          for (const id of ids) {
            const thing = this.thing(id, state);
            const [used, reserved] = state === 'live' ? [1, 0] : [0, 1];
            this.count(data.from, thing.items, -used, -reserved);
            this.count(data.to, thing.items, used, reserved);
            thing.userId = data.to;
          }
        return;
      case 'ReservationExtended':
        this.thing(data.reservationId, 'open');
        return;
      case 'ProjectQuotaOpened':
      case 'QuotaPolicySet':
        this.isPartitioned = data.overcommit === 'partitioned';
        return;
      case 'QuotaSet':
      case 'QuotaCleared':
      case 'QuotaMemberRemoved':
      case 'OverQuotaEntered':
      case 'OverQuotaCleared':
        this.limit({ type, data } as ProjectQuotaEvent);
        return;
      case 'ProjectQuotaFrozen':
      case 'ProjectQuotaUnfrozen':
      case 'ProjectQuotaClosed':
      case 'QuotaMemberClosed':
        return;
    }
  }

  private committed(data: Extract<ProjectQuotaEvent, { type: 'ReservationCommitted' }>['data']): void {
    const thing = this.thing(data.reservationId, data.late ? 'over' : 'open');
    const left = new Map(thing.items.map((item) => [nameOf(item), item.amount]));
    for (const item of [...data.items, ...data.returned])
      left.set(nameOf(item), (left.get(nameOf(item)) ?? 0) - item.amount);
    this.must(
      [...left.values()].every((amount) => amount === 0),
      'I5: committed and returned are what was reserved',
    );
    if (!data.late) this.count(thing.userId, thing.items, 0, -1);
    this.count(thing.userId, data.items, 1, 0);
    thing.state = 'live';
    thing.items = data.items;
  }

  private resized(id: string, before: readonly QuotaItem[], after: readonly QuotaItem[]): void {
    const thing = this.thing(id, 'live');
    this.must(textOf(thing.items) === textOf(before), 'a resize starts from what is');
    this.count(thing.userId, before, -1, 0);
    this.count(thing.userId, after, 1, 0);
    thing.items = after;
  }

  private released(id: string, items: readonly QuotaItem[]): void {
    const thing = this.thing(id, 'live');
    this.must(textOf(thing.items) === textOf(items), 'a release gives back what is');
    this.count(thing.userId, items, -1, 0);
    thing.state = 'over';
  }

  private limit({ type, data }: ProjectQuotaEvent): void {
    if (type === 'QuotaSet' || type === 'QuotaCleared') {
      const scope = data.scope.type === 'member' ? (data.scope.userId ?? '') : data.scope.type.replace('memberD', 'd');
      const key = `${scope} ${nameOf(data)}`;
      if (type === 'QuotaSet') this.limits.set(key, data.limit);
      else this.limits.delete(key);
    } else if (type === 'QuotaMemberRemoved') {
      for (const key of [...this.limits.keys()]) if (key.startsWith(`${data.userId} `)) this.limits.delete(key);
    } else if (type === 'OverQuotaEntered' || type === 'OverQuotaCleared') {
      const key = `${data.scope.userId ?? ''} ${nameOf(data)}`;
      this.must(this.over.has(key) === (type === 'OverQuotaCleared'), 'I9: entered and cleared take turns');
      if (type === 'OverQuotaEntered') this.over.add(key);
      else this.over.delete(key);
    }
  }
}

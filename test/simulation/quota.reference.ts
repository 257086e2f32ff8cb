import { type Amounts, type Grant, same, timeIn } from './quota.grants.js';

/**
 * The ledger told a second time, as slowly and plainly as possible: a list of grants that is added up again for every
 * question. It shares no code and no idea of data with the decider. Amounts by `service/resource`, times in ms.
 */

/** What became of a command: done, told again, or the code (and violations) it is refused with. */
export interface Outcome {
  readonly code: string;
  readonly violations?: readonly string[];
  readonly amounts?: Amounts;
}

export interface ReportLine {
  readonly ref: string;
  readonly user: string;
  readonly amounts: Amounts;
}

const DAY = 86_400_000;
const DONE: Outcome = { code: 'DONE' };
const refused = (code: string): Outcome => ({ code });

export class ReferenceLedger {
  grants: Grant[] = [];
  limits = new Map<string, number | null>();
  over = new Set<string>();
  removed = new Set<string>();
  frozen: string | null = null;
  partitioned = false;
  sequence = 0;
  /** Ids whose grant is over, in that order. */
  private past: { readonly grant: Grant; readonly ms: number }[] = [];
  private gone: Grant[] = [];
  private newestForgottenMs = 0;
  private forgottenRefMs = -1;

  constructor(
    readonly names: readonly string[],
    private readonly memberDefaults: Amounts,
    private readonly rememberedMax: number,
  ) {}

  private add(user: string | null, name: string, state: 'open' | 'live'): number {
    let sum = 0;
    for (const grant of this.grants)
      if (grant.state === state && (user === null || grant.user === user)) sum += grant.amounts[name] ?? 0;
    return sum;
  }

  used = (user: string | null, name: string): number => this.add(user, name, 'live');
  held = (user: string | null, name: string): number => this.add(user, name, 'open');

  limit(user: string | null, name: string): number {
    if (user === null) return this.limits.get(`project ${name}`) ?? Infinity;
    return (
      this.limits.get(`${user} ${name}`) ?? this.limits.get(`default ${name}`) ?? this.memberDefaults[name] ?? Infinity
    );
  }

  users(): string[] {
    return [...new Set(this.grants.map((grant) => grant.user))];
  }

  private find(id: string): Grant | undefined {
    return this.grants.find((grant) => grant.id === id);
  }

  private end(grant: Grant, state: 'released' | 'expired', nowMs: number): void {
    if (grant.state === 'live' && grant.ref !== null)
      this.gone = [...this.gone.filter(({ ref }) => ref !== grant.ref), grant];
    grant.state = state;
    grant.overMs = nowMs;
    this.past.push({ grant, ms: nowMs });
  }

  /** After every command that changed something: what is over for a day, or beyond the number, is forgotten. */
  forget(nowMs: number): void {
    while (this.past.length > 0) {
      const { grant: oldest, ms } = this.past[0] as { grant: Grant; ms: number };
      if (this.past.length <= this.rememberedMax && nowMs - ms < DAY) return;
      this.past.shift();
      const isOver = oldest.state === 'released' || oldest.state === 'expired';
      if (!isOver || oldest.overMs !== ms || !this.grants.includes(oldest)) continue;
      this.grants = this.grants.filter((grant) => grant !== oldest);
      this.newestForgottenMs = Math.max(this.newestForgottenMs, timeIn(oldest.id));
      if (this.gone.includes(oldest)) {
        this.gone = this.gone.filter((grant) => grant !== oldest);
        this.forgottenRefMs = Math.max(this.forgottenRefMs, oldest.overMs);
      }
    }
  }

  expire(nowMs: number): void {
    const due = this.grants.filter((grant) => grant.state === 'open' && grant.endsMs <= nowMs);
    due.sort((a, b) => a.endsMs - b.endsMs || (a.id < b.id ? -1 : 1));
    for (const grant of due) {
      this.end(grant, 'expired', nowMs);
      this.forget(nowMs);
    }
  }

  private violations(user: string, amounts: Amounts): string[] {
    return Object.keys(amounts)
      .sort()
      .flatMap((name) =>
        [null, user].flatMap((scope) => {
          const wanted = this.used(scope, name) + this.held(scope, name) + (amounts[name] ?? 0);
          return wanted > this.limit(scope, name) ? [`${scope ?? ''} ${name}`] : [];
        }),
      );
  }

  private barrier(user: string, isMember: boolean): Outcome | null {
    if (this.frozen !== null) return refused('PROJECT_FROZEN');
    if (!isMember) return refused(this.removed.has(user) ? 'MEMBER_REMOVED' : 'MEMBER_UNKNOWN');
    return null;
  }

  private beyond(user: string, amounts: Amounts): Outcome | null {
    const violations = this.violations(user, amounts);
    return violations.length === 0 ? null : { code: 'QUOTA_EXCEEDED', violations };
  }

  private idRefused(id: string, nowMs: number): Outcome | null {
    const ms = timeIn(id);
    const isIn = ms > nowMs - DAY && ms <= nowMs + 300_000 && ms > this.newestForgottenMs;
    return isIn ? null : refused('ID_TOO_OLD');
  }

  grant(
    kind: 'reserve' | 'allocate',
    wish: {
      id: string;
      user: string;
      amounts: Amounts;
      body: string;
      ttlMs: number;
      mode: string;
      ref: string | null;
      isMember: boolean;
    },
    nowMs: number,
  ): Outcome {
    const { id, user, amounts, body, mode, ref } = wish;
    const before = this.find(id);
    if (before !== undefined && mode !== 'CHECK_ONLY') {
      const wasReserved = before.reserved !== null;
      if (before.body !== body || wasReserved !== (kind === 'reserve')) return refused('IDEMPOTENCY_MISMATCH');
      return { code: 'AGAIN', amounts: wasReserved ? (before.reserved as Amounts) : before.amounts };
    }
    const barred = (mode === 'CHECK_ONLY' ? null : this.idRefused(id, nowMs)) ?? this.barrier(user, wish.isMember);
    if (barred !== null) return barred;
    if (kind === 'allocate' && this.liveFor(ref) !== undefined) return refused('RESOURCE_REF_TAKEN');
    const beyond = this.beyond(user, amounts);
    if (mode === 'CHECK_ONLY')
      return beyond === null ? { code: 'CHECKED', violations: [] } : { ...beyond, code: 'CHECKED' };
    if (mode === 'ENFORCE' && beyond !== null) return beyond;
    this.removed.delete(user);
    const isReservation = kind === 'reserve';
    this.grants.push({
      ...{
        id,
        user,
        amounts,
        body,
        ref,
        reservedRef: ref,
        madeMs: nowMs,
        endsMs: nowMs + wish.ttlMs,
        knownMs: nowMs,
        overMs: 0,
      },
      state: isReservation ? 'open' : 'live',
      reserved: isReservation ? amounts : null,
      committed: null,
    });
    return { code: 'DONE', amounts };
  }

  private liveFor(ref: string | null): Grant | undefined {
    return ref === null ? undefined : this.grants.find((grant) => grant.state === 'live' && grant.ref === ref);
  }

  commit(
    wish: { id: string; amounts: Amounts | null; ref: string | null; onExpired: string; isMember: boolean },
    nowMs: number,
  ): Outcome {
    const grant = this.find(wish.id);
    if (grant?.reserved === undefined || grant.reserved === null) return refused('RESERVATION_NOT_FOUND');
    const amounts = wish.amounts ?? grant.reserved;
    if (grant.committed !== null) {
      const isSame = same(amounts, grant.committed.amounts) && (wish.ref ?? grant.reservedRef) === grant.committed.ref;
      return isSame ? { code: 'AGAIN', amounts: grant.amounts } : refused('ALREADY_COMMITTED');
    }
    const reserved = grant.reserved;
    if (Object.entries(amounts).some(([name, amount]) => amount > (reserved[name] ?? 0)))
      return refused('EXCEEDS_RESERVED');
    if (grant.state === 'released') return refused('ALREADY_RELEASED');
    if (grant.state === 'expired' && wish.onExpired === 'fail') return refused('RESERVATION_EXPIRED');
    if (grant.state === 'expired' && wish.onExpired === 'reacquire') {
      const barred = this.barrier(grant.user, wish.isMember) ?? this.beyond(grant.user, amounts);
      if (barred !== null) return barred;
    } else if (this.frozen === 'drain') return refused('PROJECT_FROZEN');
    const ref = wish.ref ?? grant.ref;
    if (this.liveFor(ref) !== undefined) return refused('RESOURCE_REF_TAKEN');
    Object.assign(grant, { state: 'live', amounts, committed: { amounts, ref }, ref, knownMs: nowMs });
    return { code: 'DONE', amounts };
  }

  release(id: string, nowMs: number): Outcome {
    const grant = this.find(id);
    if (grant?.reserved === undefined || grant.reserved === null) return refused('RESERVATION_NOT_FOUND');
    if (grant.committed !== null) return refused('ALREADY_COMMITTED');
    if (grant.state !== 'open') return { code: 'AGAIN', amounts: grant.reserved };
    this.end(grant, 'released', nowMs);
    return { code: 'DONE', amounts: grant.reserved };
  }

  extend(id: string, ttlMs: number, nowMs: number): Outcome {
    const grant = this.find(id);
    if (grant?.reserved === undefined || grant.reserved === null) return refused('RESERVATION_NOT_FOUND');
    if (grant.committed !== null) return refused('ALREADY_COMMITTED');
    if (grant.state === 'released') return refused('ALREADY_RELEASED');
    if (grant.state === 'expired') return refused('RESERVATION_EXPIRED');
    if (this.frozen === 'drain') return refused('PROJECT_FROZEN');
    if (nowMs + ttlMs > grant.madeMs + DAY) return refused('TTL_TOO_LONG');
    if (nowMs + ttlMs <= grant.endsMs) return { code: 'AGAIN', amounts: grant.reserved };
    grant.endsMs = nowMs + ttlMs;
    return { code: 'DONE', amounts: grant.reserved };
  }

  resize(id: string, amounts: Amounts, isMember: boolean, nowMs: number): Outcome {
    const grant = this.find(id);
    if (grant?.state !== 'live') return refused('ALLOCATION_NOT_FOUND');
    if (same(grant.amounts, amounts)) return { code: 'AGAIN', amounts };
    const growth = Object.fromEntries(
      Object.entries(amounts)
        .map(([name, amount]) => [name, amount - (grant.amounts[name] ?? 0)] as const)
        .filter(([, amount]) => amount > 0),
    );
    if (Object.keys(growth).length > 0) {
      const barred = this.barrier(grant.user, isMember) ?? this.beyond(grant.user, growth);
      if (barred !== null) return barred;
    }
    Object.assign(grant, { amounts, knownMs: nowMs });
    return { code: 'DONE', amounts };
  }

  free(by: { id: string } | { ref: string }, nowMs: number): Outcome {
    const grant = 'id' in by ? this.find(by.id) : (this.liveFor(by.ref) ?? this.gone.find(({ ref }) => ref === by.ref));
    if (grant === undefined) return refused('ALLOCATION_NOT_FOUND');
    const wasLive = grant.reserved === null || grant.committed !== null;
    if (!wasLive) return refused('ALLOCATION_NOT_FOUND');
    if (grant.state !== 'live') return { code: 'AGAIN', amounts: grant.amounts };
    grant.knownMs = nowMs;
    this.end(grant, 'released', nowMs);
    return { code: 'DONE', amounts: grant.amounts };
  }

  /** `scope` is project, default or a user; null = inherit. One list is set together, then judged together. */
  setLimits(wishes: readonly { scope: string; name: string; limit: number | null }[], force: boolean): Outcome {
    const before = new Map(this.limits);
    const changed = wishes.filter(({ scope, name, limit }) => {
      const isChanged = (this.limits.get(`${scope} ${name}`) ?? null) !== limit;
      if (isChanged) this.limits.set(`${scope} ${name}`, limit);
      return isChanged;
    });
    for (const wish of changed) {
      const code = this.judge(wish, force);
      if (code === null) continue;
      this.limits = before;
      return refused(code);
    }
    return DONE;
  }

  private judge({ scope, name }: { scope: string; name: string }, force: boolean): string | null {
    const all = this.users();
    const hasOwn = (user: string): boolean => (this.limits.get(`${user} ${name}`) ?? null) !== null;
    const judged: (string | null)[] =
      scope === 'project' ? [null] : scope === 'default' ? all.filter((user) => !hasOwn(user)) : [scope];
    const below = judged.some((user) => this.used(user, name) + this.held(user, name) > this.limit(user, name));
    if (below && !force) return 'QUOTA_BELOW_USAGE';
    const own = this.limits.get(`${scope} ${name}`) ?? null;
    const project = this.limit(null, name);
    if (scope !== 'project' && own !== null && own !== Infinity && own > project) return 'MEMBER_ABOVE_PROJECT';
    return this.partitioned && this.isOverPartition(name) ? 'PARTITION_EXCEEDED' : null;
  }

  private isOverPartition(name: string): boolean {
    let sum = 0;
    for (const [key, limit] of this.limits)
      if (key.endsWith(` ${name}`) && !/^(?:project|default) /.test(key)) sum += limit ?? 0;
    return sum > this.limit(null, name);
  }

  setPolicy(partitioned: boolean): Outcome {
    if (partitioned && this.names.some((name) => this.isOverPartition(name))) return refused('PARTITION_EXCEEDED');
    this.partitioned = partitioned;
    return DONE;
  }

  remove(user: string, disposition: string, to: string | null, nowMs: number): void {
    const theirs = this.grants.filter(
      (grant) => grant.user === user && (grant.state === 'open' || grant.state === 'live'),
    );
    const hasLimits = [...this.limits.keys()].some((key) => key.startsWith(`${user} `));
    if (theirs.length === 0 && !hasLimits) return;
    this.removed.add(user);
    for (const key of [...this.limits.keys()]) if (key.startsWith(`${user} `)) this.limits.delete(key);
    theirs.sort((a, b) => (a.id < b.id ? -1 : 1));
    for (const grant of theirs)
      if (disposition === 'transfer' && to !== null && !this.removed.has(to)) grant.user = to;
      else if (grant.state === 'open') this.end(grant, 'released', nowMs);
  }

  reconcile(
    report: { observedMs: number; sequence: number; names: readonly string[] | null; lines: readonly ReportLine[] },
    newId: (ref: string) => string,
    nowMs: number,
  ): Outcome & { readonly changed: readonly string[] } {
    const { observedMs, sequence, names, lines } = report;
    // A clock that jumped back since the report was made leaves its observation ahead.
    if (observedMs > nowMs + 5 * 60_000) return { ...refused('OBSERVED_IN_FUTURE'), changed: [] };
    if (sequence <= this.sequence || observedMs <= nowMs - DAY || observedMs <= this.forgottenRefMs)
      return { ...refused('STALE_REPORT'), changed: [] };
    const looked = (name: string): boolean => names === null || names.includes(name);
    const unseen = (amounts: Amounts): Amounts =>
      Object.fromEntries(Object.entries(amounts).filter(([name]) => !looked(name)));
    const changed: string[] = [];
    const adopt = (ref: string, user: string, amounts: Amounts): void => {
      this.grants.push({
        ...{
          id: newId(ref),
          user,
          amounts,
          body: null,
          ref,
          reservedRef: null,
          madeMs: nowMs,
          endsMs: 0,
          knownMs: observedMs,
          overMs: 0,
        },
        ...{ state: 'live', reserved: null, committed: null },
      });
    };
    const refs = new Set([
      ...lines.map(({ ref }) => ref),
      ...this.grants.flatMap(({ state, ref }) => (state === 'live' && ref !== null ? ref : [])),
    ]);
    for (const ref of [...refs].sort()) {
      const line = lines.find((one) => one.ref === ref);
      const live = this.liveFor(ref);
      if (live === undefined && line !== undefined) {
        const isOpen = this.grants.some((grant) => grant.state === 'open' && grant.ref === ref);
        const isNewer = this.gone.some((grant) => grant.ref === ref && grant.knownMs > observedMs);
        if (isOpen || isNewer) continue;
        adopt(ref, line.user, line.amounts);
        changed.push(ref);
      }
      if (live === undefined) continue;
      const whole = { ...unseen(live.amounts), ...line?.amounts };
      const user = line?.user ?? live.user;
      if ((same(whole, live.amounts) && user === live.user) || live.knownMs > observedMs) continue;
      changed.push(ref);
      live.knownMs = observedMs;
      if (user === live.user && Object.keys(whole).length > 0) live.amounts = whole;
      else {
        this.end(live, 'released', nowMs);
        if (line !== undefined) adopt(ref, user, whole);
      }
    }
    if (changed.length > 0) this.sequence = sequence;
    return { ...DONE, changed };
  }

  /** The scopes that are above their limit now: `<user or nothing> <name>`. */
  aboveLimit(): string[] {
    return this.names.flatMap((name) =>
      [null, ...this.users()].flatMap((user) =>
        this.used(user, name) + this.held(user, name) > this.limit(user, name) ? [`${user ?? ''} ${name}`] : [],
      ),
    );
  }
}

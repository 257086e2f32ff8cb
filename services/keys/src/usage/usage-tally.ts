import type { KeyUsageCount, VerifyCode } from '#libs/contracts';

export const MINUTE_MS = 60_000;

/** Where a counted key stands. */
export interface CountedPlace {
  readonly tenantId: string | null;
  readonly projectId: string | null;
}

/** The key that a decision is about, as the verifier has it at hand. */
export interface CountedKey {
  readonly keyId: string;
  readonly key: { readonly place: CountedPlace };
  readonly secret: { readonly version: number };
}

interface Row {
  readonly code: VerifyCode;
  readonly service: string;
  count: number;
  /** The row after it: most keys have one, and a list would be most of their price. */
  next: Row | undefined;
}

/** The last use of one secret. */
interface Use {
  readonly version: number;
  atMs: number;
  next: Use | undefined;
}

/** Of one key in one minute; without an ID of what is counted without its key. */
interface Counter {
  readonly keyId: string | null;
  readonly place: CountedPlace;
  rows: Row | undefined;
  uses: Use | undefined;
}

interface Minute {
  readonly startMs: number;
  readonly keys: Map<string, Counter>;
  /** By the caller: decisions that are about no key. */
  readonly keyless: Map<string, Counter>;
  /** By the project: what was counted when there was no room for the key. */
  readonly crowded: Map<string, Counter>;
}

export interface TalliedUse {
  readonly keyId: string;
  readonly version: number;
  readonly atMs: number;
}

export interface Tallied {
  readonly counts: readonly KeyUsageCount[];
  readonly uses: readonly TalliedUse[];
}

const NOWHERE: CountedPlace = { tenantId: null, projectId: null };

const counter = (keyId: string | null, place: CountedPlace): Counter => ({
  keyId,
  place,
  rows: undefined,
  uses: undefined,
});

/**
 * Counts in memory what was decided since it was last taken. Counting costs one look-up. From `rowsMax` rows on what needs a
 * new row is counted without its key, so that the sums by minute, project, caller and code stay exact, and last uses are
 * left out; from twice as many on it is dropped, and only how much.
 */
export class UsageTally {
  /** What waits here. */
  rows = 0;
  /** Decisions that stand nowhere for want of room, ever. */
  dropped = 0;
  private minutes = new Map<number, Minute>();
  private current: Minute | undefined;

  constructor(private readonly rowsMax: number) {}

  /** A decision of verify; `about` is undefined where it is about no key. */
  decided(about: CountedKey | undefined, code: VerifyCode, service: string, atMs: number): void {
    const minute = this.minuteOf(atMs);
    if (about === undefined) {
      this.add(minute, this.keyless(minute, service), code, service);
      return;
    }
    const { keyId, key } = about;
    const found = minute.keys.get(keyId) ?? this.open(minute, keyId, key.place);
    this.add(minute, found, code, service);
    if (code === 'VALID') this.use(found, about.secret.version, atMs);
  }

  /** A use of the key that no caller asked about: by its own bearer, at Steward itself. */
  used({ keyId, key, secret }: CountedKey, atMs: number): void {
    const minute = this.minuteOf(atMs);
    this.use(minute.keys.get(keyId) ?? this.open(minute, keyId, key.place), secret.version, atMs);
  }

  /** Everything that was counted; from now on it counts from nothing. */
  take(): Tallied {
    const counts: KeyUsageCount[] = [];
    const uses: TalliedUse[] = [];
    for (const { startMs, keys, keyless, crowded } of this.minutes.values()) {
      const minute = new Date(startMs).toISOString();
      for (const counters of [keys, keyless, crowded])
        for (const { keyId, place, rows, uses: used } of counters.values()) {
          const { tenantId, projectId } = place;
          for (let row = rows; row !== undefined; row = row.next) {
            const { service, code, count } = row;
            counts.push({ minute, keyId, tenantId, projectId, service, code, count });
          }
          for (let use = used; use !== undefined && keyId !== null; use = use.next)
            uses.push({ keyId, version: use.version, atMs: use.atMs });
        }
    }
    this.minutes = new Map();
    this.current = undefined;
    this.rows = 0;
    return { counts, uses };
  }

  private minuteOf(atMs: number): Minute {
    const startMs = atMs - (atMs % MINUTE_MS);
    if (this.current?.startMs === startMs) return this.current;
    const minute = this.minutes.get(startMs) ?? {
      startMs,
      keys: new Map<string, Counter>(),
      keyless: new Map<string, Counter>(),
      crowded: new Map<string, Counter>(),
    };
    this.minutes.set(startMs, minute);
    this.current = minute;
    return minute;
  }

  private open({ keys }: Minute, keyId: string, place: CountedPlace): Counter {
    const opened = counter(keyId, place);
    if (this.rows < this.rowsMax) keys.set(keyId, opened);
    return opened;
  }

  private keyless({ keyless }: Minute, service: string): Counter {
    const known = keyless.get(service);
    if (known !== undefined) return known;
    const opened = counter(null, NOWHERE);
    if (this.rows < 2 * this.rowsMax) keyless.set(service, opened);
    return opened;
  }

  private add(minute: Minute, to: Counter, code: VerifyCode, service: string): void {
    for (let row = to.rows; row !== undefined; row = row.next)
      if (row.code === code && row.service === service) {
        row.count += 1;
        return;
      }
    if (this.rows >= this.rowsMax) {
      if (to.keyId !== null) {
        this.add(minute, this.crowded(minute, to.place), code, service);
        return;
      }
      if (this.rows >= 2 * this.rowsMax) {
        this.dropped += 1;
        return;
      }
    }
    this.rows += 1;
    to.rows = { code, service, count: 1, next: to.rows };
  }

  private crowded({ crowded }: Minute, place: CountedPlace): Counter {
    const name = `${place.tenantId ?? ''}/${place.projectId ?? ''}`;
    const known = crowded.get(name);
    if (known !== undefined) return known;
    const opened = counter(null, place);
    if (this.rows < 2 * this.rowsMax) crowded.set(name, opened);
    return opened;
  }

  private use(to: Counter, version: number, atMs: number): void {
    for (let use = to.uses; use !== undefined; use = use.next)
      if (use.version === version) {
        use.atMs = Math.max(atMs, use.atMs);
        return;
      }
    if (this.rows >= this.rowsMax) return;
    this.rows += 1;
    to.uses = { version, atMs, next: to.uses };
  }
}

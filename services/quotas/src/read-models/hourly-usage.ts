/**
 * Usage by the hour. Only hours in which something changed are kept; what lies between carries the last level on. Times
 * are ms since the epoch in UTC, and an integral is amount x ms, exact whatever its size.
 */

export const HOUR_MS = 3_600_000;

export interface Level {
  readonly used: number;
  readonly reserved: number;
}

/** An hour of one counter: its level at the last change, the most it was, and the integrals up to that change. */
export interface UsageHour extends Level {
  readonly startMs: number;
  readonly changedMs: number;
  readonly usedMax: number;
  readonly reservedMax: number;
  readonly usedMs: bigint;
  readonly reservedMs: bigint;
}

const NOTHING: Level = { used: 0, reserved: 0 };

const area = (amount: number, ms: number): bigint => BigInt(amount) * BigInt(ms);

const begun = ({ used, reserved }: Level, startMs: number): UsageHour => ({
  startMs,
  changedMs: startMs,
  used,
  reserved,
  usedMax: used,
  reservedMax: reserved,
  usedMs: 0n,
  reservedMs: 0n,
});

/** The hour of a change, after it. `last` is the counter's last hour, null if nothing was counted before. */
export function hourAfter(last: UsageHour | null, atMs: number, change: Level): UsageHour {
  const startMs = atMs - (atMs % HOUR_MS);
  const hour = last?.startMs === startMs ? last : begun(last ?? NOTHING, startMs);
  const used = hour.used + change.used;
  const reserved = hour.reserved + change.reserved;
  if (used < 0 || reserved < 0) throw new Error('Less than nothing would be used or reserved.');
  const ms = atMs - hour.changedMs;
  const isSameMoment = ms === 0;
  return {
    startMs,
    changedMs: atMs,
    used,
    reserved,
    usedMax: Math.max(hour.usedMax, used),
    reservedMax: Math.max(hour.reservedMax, reserved),
    usedMs: isSameMoment ? hour.usedMs : hour.usedMs + area(hour.used, ms),
    reservedMs: isSameMoment ? hour.reservedMs : hour.reservedMs + area(hour.reserved, ms),
  };
}

/** A piece of the course: the level at its end, the most within it, and amount x seconds, rounded down. */
export interface UsageBucket extends Level {
  readonly startMs: number;
  readonly endMs: number;
  readonly usedMax: number;
  readonly reservedMax: number;
  readonly usedSeconds: bigint;
  readonly reservedSeconds: bigint;
}

export interface BucketRange {
  /** A whole number of hours since the epoch, as `toMs` is. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Of whole hours. */
  readonly stepMs: number;
  /** No bucket begins after it, and the one that holds it ends with it. */
  readonly nowMs: number;
}

/** The buckets of a range from the hours within it and the last one before it, in the order of time. */
export function bucketsOf(hours: readonly UsageHour[], { fromMs, toMs, stepMs, nowMs }: BucketRange): UsageBucket[] {
  const buckets: UsageBucket[] = [];
  // Another process may have written by a clock that is a little ahead.
  const presentMs = Math.max(nowMs, hours.at(-1)?.changedMs ?? 0);
  let level: Level = NOTHING;
  let next = 0;
  for (let hour = hours[next]; hour !== undefined && hour.startMs < fromMs; hour = hours[next]) {
    level = hour;
    next += 1;
  }
  for (let startMs = fromMs; startMs < toMs && startMs <= presentMs; startMs += stepMs) {
    const endMs = Math.min(startMs + stepMs, presentMs);
    let cursorMs = startMs;
    let [usedMax, reservedMax] = [level.used, level.reserved];
    let [usedMs, reservedMs] = [0n, 0n];
    const stay = (untilMs: number): void => {
      usedMs += area(level.used, untilMs - cursorMs);
      reservedMs += area(level.reserved, untilMs - cursorMs);
      cursorMs = untilMs;
    };
    for (let hour = hours[next]; hour !== undefined && hour.startMs < startMs + stepMs; hour = hours[next]) {
      stay(hour.startMs);
      usedMax = Math.max(usedMax, hour.usedMax);
      reservedMax = Math.max(reservedMax, hour.reservedMax);
      usedMs += hour.usedMs;
      reservedMs += hour.reservedMs;
      cursorMs = hour.changedMs;
      level = hour;
      next += 1;
    }
    stay(endMs);
    const { used, reserved } = level;
    const seconds = { usedSeconds: usedMs / 1_000n, reservedSeconds: reservedMs / 1_000n };
    buckets.push({ startMs, endMs, used, reserved, usedMax, reservedMax, ...seconds });
  }
  return buckets;
}

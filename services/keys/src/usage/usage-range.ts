import { validationRefusal } from '#libs/platform';

/** How many buckets one answer has at most: a day by the minute. */
export const BUCKETS_MAX = 1_500;

const HOUR_MS = 3_600_000;
const STEP_MS = { minute: 60_000, hour: HOUR_MS, day: 24 * HOUR_MS } as const;
const STEPS_DEFAULT = { minute: 60, hour: 24, day: 30 } as const;

/** What lies behind cannot be written as RFC 3339, and PostgreSQL would not read it. */
const TIME_MS_MAX = Date.UTC(9999, 11, 31, 23);

export type UsageStep = keyof typeof STEP_MS;

export interface UsageRange {
  readonly step: UsageStep;
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Whole buckets of UTC: the one that holds `from` is the first, the one before `to` or holding it the last. Refuses with
 * VALIDATION what is no range or has too many buckets.
 */
export function usageRange(
  { step, from, to }: { readonly step: UsageStep; readonly from: string | undefined; readonly to: string | undefined },
  nowMs: number,
): UsageRange {
  const stepMs = STEP_MS[step];
  const floor = (ms: number): number => ms - (ms % stepMs);
  const endMs = to === undefined ? nowMs : Date.parse(to);
  const toMs = Math.min(endMs === floor(endMs) ? endMs : floor(endMs) + stepMs, TIME_MS_MAX);
  const fromMs = from === undefined ? Math.max(0, toMs - STEPS_DEFAULT[step] * stepMs) : floor(Date.parse(from));
  if (fromMs >= toMs) throw validationRefusal([{ location: 'query.from', message: 'must be before query.to' }]);
  const buckets = Math.ceil((toMs - fromMs) / stepMs);
  if (buckets > BUCKETS_MAX)
    throw validationRefusal([
      {
        location: 'query.from',
        message: `asks for ${buckets} buckets, and one answer has at most ${BUCKETS_MAX}: ask for a shorter time or a longer step`,
      },
    ]);
  return { step, fromMs, toMs };
}

/** The whole hours that the range touches. */
export const wholeHours = ({ fromMs, toMs }: UsageRange): readonly [fromMs: number, toMs: number] => [
  fromMs - (fromMs % HOUR_MS),
  Math.ceil(toMs / HOUR_MS) * HOUR_MS,
];

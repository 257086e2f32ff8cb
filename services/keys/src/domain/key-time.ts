import { Refusal } from '#libs/eventsourcing';

/** Times are RFC 3339 UTC with ms, of fixed width, so they compare as text. */

export const DAY_MS = 86_400_000;
/** An expiry closer than this would be over before its key reaches anyone. */
export const LIFE_MS_MIN = 60_000;
/** How long after its expiry a key can still be extended. */
export const EXTENSION_GRACE_MS = 7 * DAY_MS;
export const EXTENSION_DAYS_MAX = 3650;
/** Beyond the year 9999 a time has no four-digit form and would no longer sort as text. */
const TIME_MS_MAX = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

export const msBetween = (from: string, to: string): number => Date.parse(to) - Date.parse(from);

export function addMs(time: string, ms: number, field: string): string {
  const sum = Date.parse(time) + ms;
  if (sum > TIME_MS_MAX) throw wrongField(field, 'lies beyond the year 9999');
  return new Date(sum).toISOString();
}

/** The earliest of the times; null stands for never. */
export function earliest(first: string, ...others: readonly (string | null)[]): string {
  return others.reduce<string>((least, time) => (time !== null && time < least ? time : least), first);
}

export function wrongField(field: string, message: string): Refusal {
  return new Refusal('VALIDATION', `body.${field} ${message}.`, { errors: [{ location: `body.${field}`, message }] });
}

import { Refusal } from '#libs/eventsourcing';
import { wrongField } from './wrong-field.js';

/** Times are RFC 3339 UTC with ms, of fixed width, so they compare as text. */

export const HOUR_MS = 3_600_000;
/** How long what is over is remembered: resolved ids and commands. */
export const MEMORY_MS = 24 * HOUR_MS;
/** How far a client's clock may run ahead. */
export const AHEAD_MS_MAX = 5 * 60_000;

export const addMs = (time: string, ms: number): string => new Date(Date.parse(time) + ms).toISOString();

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The time in a UUIDv7, ms since the epoch; null for any other text. */
export const embeddedMs = (id: string): number | null =>
  UUID_V7.test(id) ? parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : null;

/**
 * Refuses an id that the ledger may have known and forgotten, so that none is ever granted twice.
 * `forgottenMs` is the newest time embedded in a forgotten id.
 */
export function holdIdToWindow(id: string, at: string, forgottenMs: number): void {
  const ms = embeddedMs(id);
  if (ms === null) throw wrongField('id', 'must be a UUIDv7 in lower case');
  const nowMs = Date.parse(at);
  if (ms <= nowMs - MEMORY_MS || ms <= forgottenMs)
    throw new Refusal('ID_TOO_OLD', 'The id may have been used and forgotten; look it up, or make a new one.');
  if (ms > nowMs + AHEAD_MS_MAX)
    throw new Refusal('ID_TOO_OLD', 'The id’s time lies more than 5 minutes ahead; the clock that made it is wrong.');
}

import type { Position } from '#libs/eventsourcing';

/** A place in the server's transaction log, in bytes. */
export interface LogPosition {
  readonly commit: bigint;
  readonly prepare: bigint;
}

const DIGITS = 20;
const LARGEST = 2n ** 63n - 1n;

const padded = (part: bigint): string => String(part).padStart(DIGITS, '0');

/** `<commit 20 digits>-<prepare 20 digits>`: text sorts as the log does. */
export const positionOf = ({ commit, prepare }: LogPosition): Position => `${padded(commit)}-${padded(prepare)}`;

/** No record stands at the very beginning of a log, for the server's own epoch record is there. */
export const ORIGIN: Position = positionOf({ commit: 0n, prepare: 0n });

export const FARTHEST: Position = positionOf({ commit: LARGEST, prepare: LARGEST });

export const logPositionOf = (position: Position): LogPosition => ({
  commit: BigInt(position.slice(0, DIGITS)),
  prepare: BigInt(position.slice(DIGITS + 1)),
});

export function isPosition(text: string): boolean {
  if (!/^\d{20}-\d{20}$/.test(text)) return false;
  const { commit, prepare } = logPositionOf(text);
  return commit <= LARGEST && prepare <= LARGEST;
}

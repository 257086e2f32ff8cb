import type { ReportedUsage, ReportSlice } from '../domain/commands.js';
import { byText } from '../domain/items.js';

/** Compared in one go, in some tens of milliseconds: whoever else waits for the project waits that long. */
export const SLICE_REFS_MAX = 1_000;

export interface EntriesOfSlice extends Omit<ReportSlice, 'ignoredBefore'> {
  readonly entries: readonly ReportedUsage[];
}

/**
 * A report cut into slices that together are about every resource there is, each about so many of those that the report
 * or the ledger knows. Always at least one.
 */
export function* slicesOf(
  reported: readonly ReportedUsage[],
  known: readonly string[],
  refsMax = SLICE_REFS_MAX,
): Generator<EntriesOfSlice, void, undefined> {
  const entries = [...reported].sort((a, b) => byText(a.resourceRef, b.resourceRef));
  const refs = [...new Set([...reported.map(({ resourceRef }) => resourceRef), ...known])].sort(byText);
  let after: string | null = null;
  let from = 0;
  for (let end = refsMax; end < refs.length; end += refsMax) {
    const upTo = refs[end - 1] as string;
    let to = from;
    while (to < entries.length && (entries[to] as ReportedUsage).resourceRef <= upTo) to += 1;
    yield { entries: entries.slice(from, to), after, upTo };
    after = upTo;
    from = to;
  }
  yield { entries: entries.slice(from), after, upTo: null };
}

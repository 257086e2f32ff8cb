import { Inject, Injectable } from '@nestjs/common';
import { projectQuotaStream, type ProjectQuotaEvent } from '#libs/contracts';
import type { Ledger, Position } from '#libs/eventsourcing';
import { LEDGER } from '#libs/platform';
import { AHEAD_MS_MAX, addMs } from '../domain/id-time.js';
import type { Reconcile, ReconcileAnswer } from '../domain/commands.js';

type Reconciled = Extract<ProjectQuotaEvent, { type: 'UsageReconciled' }>['data'];

export type Differences = Pick<ReconcileAnswer, 'adopted' | 'removed' | 'resized' | 'ignoredNewer'>;

export interface TakenReport {
  readonly differences: Differences;
  readonly position: Position;
}

const PAGE = 500;

/** What a report that was taken before has changed, from its events alone: whoever missed the answer asks again. */
@Injectable()
export class TakenReports {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  /** Undefined if this sequence of the source was taken with another report, or by nobody. */
  async find(
    projectId: string,
    { source, sequence, observedAt }: Pick<Reconcile, 'source' | 'sequence' | 'observedAt'>,
  ): Promise<TakenReport | undefined> {
    const { store, codec } = this.ledger;
    const filter = { stream: projectQuotaStream(projectId), types: ['UsageReconciled'] };
    const differences = { adopted: [], removed: [], resized: [], ignoredNewer: [] } as MutableDifferences;
    let last: Position | undefined;
    // A report is written no earlier than its observation, give or take the reporter's clock.
    let after = await store.positionAt(new Date(Date.parse(addMs(observedAt, -AHEAD_MS_MAX)) - 1));
    for (let caughtUp = false; !caughtUp;) {
      const page = await store.readAll({ after, limit: PAGE, filter });
      for (const stored of page.events) {
        const data = codec.decode(stored).data as unknown as Reconciled;
        if (data.source !== source || data.sequence !== sequence || data.observedAt !== observedAt) continue;
        add(differences, data);
        last = stored.position;
      }
      ({ position: after, caughtUp } = page);
    }
    return last === undefined ? undefined : { differences, position: last };
  }
}

type Mutable<List> = List extends readonly (infer One)[] ? One[] : never;
export type MutableDifferences = { -readonly [Kind in keyof Differences]: Mutable<Differences[Kind]> };

function add(to: MutableDifferences, { adopted, removed, resized, ignoredNewer }: Reconciled): void {
  for (const { resourceRef, items } of adopted) to.adopted.push({ resourceRef, before: [], after: items });
  for (const { resourceRef, items } of removed) to.removed.push({ resourceRef, before: items, after: [] });
  for (const { resourceRef, before, after } of resized) to.resized.push({ resourceRef, before, after });
  to.ignoredNewer.push(...ignoredNewer);
}

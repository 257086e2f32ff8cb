import type { ProjectQuotaEvent, QuotaScope } from '#libs/contracts';
import type { Catalogue } from './catalogue.js';
import { evolve } from './evolve.js';
import { isAbove, limitOfCounter } from './limits.js';
import { byScopeThenName, type Counter, type ProjectQuota, type Scope, type Touched } from './project-quota.js';

/** What surrounds a decision: the recordedAt that its events will bear, and the facts that are no part of the stream. */
export interface Moment {
  readonly at: string;
  readonly catalogue: Catalogue;
  readonly commandId: string;
  readonly requestHash: string | null;
}

interface TrialMark {
  readonly journal: number;
  readonly events: number;
}

export const scopeOf = (scope: Scope): QuotaScope =>
  scope.userId === null ? { type: 'project', userId: null } : { type: 'member', userId: scope.userId };

/**
 * One decision under way. Every event is folded as soon as it is decided, so the rules that follow see it; whoever runs
 * the trial undoes it all if it is refused.
 */
export class Trial {
  readonly events: ProjectQuotaEvent[] = [];
  private readonly touched: Touched = { counters: new Set(), orphans: new Set() };

  constructor(
    readonly state: ProjectQuota,
    readonly moment: Moment,
  ) {
    state.touched = this.touched;
  }

  get at(): string {
    return this.moment.at;
  }

  get catalogue(): Catalogue {
    return this.moment.catalogue;
  }

  emit(event: ProjectQuotaEvent): void {
    if (this.state.status === 'absent')
      this.write({
        type: 'ProjectQuotaOpened',
        data: { catalogueRevision: this.catalogue.revision, overcommit: this.state.overcommit },
      });
    this.write(event);
  }

  /** A moment of this trial to which it can go back. */
  mark(): TrialMark {
    return { journal: this.state.journal.mark(), events: this.events.length };
  }

  backTo({ journal, events }: TrialMark): void {
    this.state.journal.undo(journal);
    this.events.length = events;
  }

  private write(event: ProjectQuotaEvent): void {
    const { at: recordedAt, commandId, requestHash } = this.moment;
    evolve(this.state, event, { revision: this.state.revision + 1, recordedAt, commandId, requestHash });
    this.events.push(event);
  }

  /** What the decision has brought above its limit, or back under it, is said in the same append. */
  settle(): void {
    const { state, catalogue } = this;
    const crossed = [...this.touched.counters].filter((counter) => this.isOver(counter) !== counter.over);
    for (const counter of crossed.sort(byScopeThenName)) {
      const { used, reserved, resource, over } = counter;
      const { service, resource: name } = resource;
      const limit = limitOfCounter(state, catalogue, counter);
      this.emit({
        type: over ? 'OverQuotaCleared' : 'OverQuotaEntered',
        data: { scope: scopeOf(counter.scope), service, resource: name, limit, used, reserved },
      });
    }
    for (const userId of this.endedOrphans()) this.emit({ type: 'QuotaMemberClosed', data: { userId } });
  }

  private isOver(counter: Counter): boolean {
    return isAbove(counter.used + counter.reserved, limitOfCounter(this.state, this.catalogue, counter));
  }

  /** Who ended before is not told of again, whatever else touches a counter that it has left behind. */
  private endedOrphans(): string[] {
    const ended = [...this.touched.orphans].filter(({ removed, open, live }) => removed && open + live === 0);
    return ended.flatMap(({ userId }) => userId ?? []).sort();
  }
}

import { randomUUID } from 'node:crypto';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { v5 as uuidV5 } from 'uuid';
import { type Position, Refusal } from '#libs/eventsourcing';
import type { NdjsonLine, RequestContext } from '#libs/platform';
import { CatalogueIndex } from '../catalogue/catalogue-index.js';
import type { Reconcile } from '../domain/commands.js';
import { itemsOf, type ProjectQuota } from '../domain/project-quota.js';
import { REPORT_PARTS_MAX } from '../domain/reconcile.js';
import { QuotaRights } from '../quota-rights.js';
import { QuotaLedgers } from '../writer/quota-ledgers.js';
import type { DifferenceView, ReconciledView } from './reconcile.dto.js';
import { slicesOf } from './report-slices.js';
import { holdReport, readReport, type Report } from './report-reader.js';
import { type Differences, type MutableDifferences, TakenReports } from './taken-report.js';

/** Each is held in memory as a whole. */
const REPORTS_AT_ONCE_MAX = 8;
/** A report of the largest size has some 200 slices. */
const APPENDS_MAX = 10_000;

export interface Reconciled {
  readonly view: ReconciledView;
  readonly position: Position | null;
}

/**
 * Holds a report of what really runs against the ledger. The same report sent again is answered as before; one that broke
 * off, wherever it did, is sent again and goes on.
 */
export class ReconcileUsageCommand extends Command<Reconciled> {
  constructor(
    readonly projectId: string,
    readonly lines: AsyncIterable<NdjsonLine>,
    readonly context: RequestContext,
  ) {
    super();
  }
}

interface Found {
  readonly differences: Differences;
  readonly position: Position | null;
}

/** The report as a command, but for what each append adds. */
type ReportWish = Omit<Reconcile, 'slice' | 'partsDone' | 'newAllocationId'>;

@CommandHandler(ReconcileUsageCommand)
export class ReconcileUsageHandler implements ICommandHandler<ReconcileUsageCommand> {
  private reading = 0;

  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly rights: QuotaRights,
    private readonly catalogue: CatalogueIndex,
    private readonly taken: TakenReports,
  ) {}

  async execute({ projectId, lines, context }: ReconcileUsageCommand): Promise<Reconciled> {
    if (this.reading >= REPORTS_AT_ONCE_MAX)
      throw new Refusal('OVERLOADED', 'Too many reports are being taken.', { retryAfterSeconds: 5 });
    this.reading += 1;
    try {
      const report = await readReport(lines);
      await this.rights.catalogueHas(namesIn(report));
      holdReport(report, this.catalogue.now);
      const { differences, position } = await this.reconcile(projectId, wishOf(report), context);
      return { view: await this.viewOf(projectId, differences), position };
    } finally {
      this.reading -= 1;
    }
  }

  private async reconcile(projectId: string, wish: ReportWish, context: RequestContext): Promise<Found> {
    try {
      return await this.writeInParts(projectId, wish, context);
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== 'STALE_REPORT' || wish.dryRun) throw error;
      const taken = await this.taken.find(projectId, wish);
      if (taken === undefined) throw error;
      return taken;
    }
  }

  private async writeInParts(projectId: string, wish: ReportWish, context: RequestContext): Promise<Found> {
    const differences: MutableDifferences = { adopted: [], removed: [], resized: [], ignoredNewer: [] };
    const request = context.command();
    let { commandId } = request;
    let partsMax = REPORT_PARTS_MAX;
    let partsDone = 0;
    let position: Position | null = null;
    let appends = 0;
    const known = await this.ledgers.look(projectId, ({ liveByRef }) => [...liveByRef.keys()]);
    for (const { entries, ...range } of slicesOf(wish.entries, known))
      for (let complete = false; !complete; commandId = randomUUID()) {
        if ((appends += 1) > APPENDS_MAX)
          throw new Refusal('OVERLOADED', 'The project changes faster than the report is taken.', {
            retryAfterSeconds: 1,
          });
        const ofAppend = commandId;
        const newAllocationId = (resourceRef: string): string => uuidV5(resourceRef, ofAppend);
        const slice = { ...range, ignoredBefore: differences.ignoredNewer };
        const command = { ...wish, entries, slice, partsDone, partsMax, newAllocationId };
        const outcome = await this.ledgers
          .run(projectId, command, { ...request, commandId })
          .catch((error: unknown) => {
            if (error instanceof Refusal && error.code === 'EVENT_TOO_LARGE' && partsMax > 1) return null;
            throw error;
          });
        if (outcome === null) {
          partsMax = Math.floor(partsMax / 2);
          continue;
        }
        const { answer } = outcome;
        ({ partsDone } = answer);
        ({ position } = outcome);
        // It was another slice that was written then, so this one is compared again.
        if (outcome.replayed) continue;
        ({ complete } = answer);
        for (const kind of ['adopted', 'removed', 'resized'] as const)
          for (const one of answer[kind]) differences[kind].push(one);
        for (const ref of answer.ignoredNewer) differences.ignoredNewer.push(ref);
      }
    // Parts may have been written before: by a request that broke off, or by the same report sent twice at once.
    const taken = partsDone > 0 ? await this.taken.find(projectId, wish) : undefined;
    const { ignoredNewer } = differences;
    return { differences: taken === undefined ? differences : { ...taken.differences, ignoredNewer }, position };
  }

  private async viewOf(projectId: string, { ignoredNewer: refs, ...changed }: Differences): Promise<ReconciledView> {
    const ignoredNewer =
      refs.length === 0 ? [] : await this.ledgers.look(projectId, (state) => refs.map((ref) => leftAlone(state, ref)));
    return {
      adopted: [...changed.adopted],
      removed: [...changed.removed],
      resized: [...changed.resized],
      ignoredNewer,
    };
  }
}

function leftAlone(state: ProjectQuota, resourceRef: string): DifferenceView {
  const entry = state.entries.get(state.liveByRef.get(resourceRef) ?? '');
  const items = entry?.kind === 'live' ? itemsOf(entry.lines) : [];
  return { resourceRef, before: items, after: items };
}

function namesIn({ header, entries }: Report): { readonly service: string; readonly resource: string }[] {
  const names = new Map<string, { readonly service: string; readonly resource: string }>();
  for (const { items } of [...entries, { items: header.resources ?? [] }])
    for (const { service, resource } of items) names.set(`${service}/${resource}`, { service, resource });
  return [...names.values()];
}

const wishOf = ({ header, entries }: Report): ReportWish => ({
  type: 'Reconcile',
  source: header.source,
  observedAt: header.observedAt,
  sequence: header.sequence,
  userId: header.userId ?? null,
  resources: header.resources ?? null,
  entries,
  dryRun: header.dryRun ?? false,
});

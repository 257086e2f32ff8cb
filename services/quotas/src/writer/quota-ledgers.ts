import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { asRefusal, type CommandContext, type Ledger, type Position, Refusal } from '#libs/eventsourcing';
import { AccessIndex, AcknowledgedPositions, LEDGER, type Principal } from '#libs/platform';
import { CatalogueIndex } from '../catalogue/catalogue-index.js';
import type { QuotaCommand } from '../domain/commands.js';
import type { ProjectQuota } from '../domain/project-quota.js';
import { OwnerClient } from '../forwarding/owner-client.js';
import type { QuotaOutcome, Terms } from './mailbox.js';
import { ProjectWriter } from './project-writer.js';
import { QuotaMetrics } from './quota-metrics.js';
import { QuotaSnapshots } from './quota-snapshots.js';
import { WRITER_LIMITS } from './writer-limits.js';

/** The writers of this process, by project; those that nobody asks for are unloaded. */
@Injectable()
export class QuotaLedgers implements OnModuleDestroy {
  /** The least recently used first. */
  private readonly writers = new Map<string, ProjectWriter>();

  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly access: AccessIndex,
    private readonly catalogue: CatalogueIndex,
    private readonly metrics: QuotaMetrics,
    private readonly snapshots: QuotaSnapshots,
    private readonly owners: OwnerClient,
    @Inject(AcknowledgedPositions) private readonly acknowledged: AcknowledgedPositions,
  ) {}

  /**
   * Decided by the process that the project belongs to, which asks again what `principal` may; without one, unless the
   * program itself does it, decided here, on these terms. Refuses with what the rules refuse, NOT_FOUND,
   * IDEMPOTENCY_MISMATCH, EVENT_TOO_LARGE, OVERLOADED and the store's codes.
   */
  async run<Command extends QuotaCommand>(
    projectId: string,
    command: Command,
    context: CommandContext,
    principal: Principal | null = null,
    terms: Terms = {},
  ): Promise<QuotaOutcome<Command['type']>> {
    const answered = await this.owners
      .run(projectId, command, context, principal, terms.deadlineMs)
      .catch((error: unknown) => {
        throw asRefusal(error);
      });
    if (answered === undefined) return this.runHere(projectId, command, context, terms);
    if (answered.position !== null) this.acknowledged.note(this.tenantOf(projectId), answered.position);
    return answered;
  }

  /** As `run`, and decided by this process whoever the project belongs to. */
  runHere<Command extends QuotaCommand>(
    projectId: string,
    command: Command,
    context: CommandContext,
    terms: Terms = {},
  ): Promise<QuotaOutcome<Command['type']>> {
    return this.writer(projectId).run(command, context, terms);
  }

  /** What memory holds of the project now, confirmed or not: whoever acts on it holds the command to it. */
  peek<Seen>(projectId: string, see: (state: ProjectQuota) => Seen): Seen | undefined {
    return this.writer(projectId).peek(see);
  }

  /**
   * Reads the project's confirmed state, in which what is due has expired and all that stands in the stream up to
   * `minPosition`. `see` must neither wait nor change it.
   */
  look<Seen>(
    projectId: string,
    see: (state: ProjectQuota, position: Position | null) => Seen,
    minPosition?: Position,
  ): Promise<Seen> {
    return this.writer(projectId).look(see, minPosition);
  }

  /** True if the command was done before, or the id was granted: then it is answered as it was, whatever has changed. */
  wasDone(projectId: string, { commandId }: Pick<CommandContext, 'commandId'>, id?: string): Promise<boolean> {
    return this.look(
      projectId,
      ({ commands, entries }) => commands.has(commandId) || (id !== undefined && entries.has(id)),
    );
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all([...this.writers.values()].map((writer) => writer.close()));
  }

  private writer(projectId: string): ProjectWriter {
    const writer = this.writers.get(projectId) ?? this.opened(projectId);
    this.writers.delete(projectId);
    this.writers.set(projectId, writer);
    return writer;
  }

  private opened(projectId: string): ProjectWriter {
    const tenantId = this.tenantOf(projectId);
    if (this.writers.size >= WRITER_LIMITS.idleProjectsMax) this.unloadOne();
    return new ProjectWriter({
      ledger: this.ledger,
      scope: { tenantId, projectId },
      catalogue: () => this.catalogue.now,
      limits: WRITER_LIMITS,
      snapshots: this.snapshots,
      watch: this.metrics,
      owns: () => this.owners.isOwn(projectId),
    });
  }

  private tenantOf(projectId: string): string {
    const project = this.access.project(projectId);
    if (project === undefined) throw new Refusal('NOT_FOUND', 'There is no such project.');
    return project.tenantId;
  }

  private unloadOne(): void {
    for (const [projectId, writer] of this.writers) {
      if (!writer.isIdle) continue;
      this.writers.delete(projectId);
      void writer.close();
      return;
    }
  }
}

import { randomUUID } from 'node:crypto';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Command, CommandBus, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { Pool } from 'pg';
import { Counter } from 'prom-client';
import { keyStream } from '#libs/contracts';
import { type Clock, type CommandContext, commandIdOf, type Position } from '#libs/eventsourcing';
import { CLOCK, type Logger, LOGGER, Metrics, POOL, READ_WAIT_MS_MAX, ReadModels } from '#libs/platform';
import { isTableMissing, Lease, LEASE_TIMES, LeaseSession } from '#libs/postgres';
import type { KeyCommand } from './domain/commands.js';
import { dueWarning } from './domain/key-state.js';
import { inParallel } from './in-parallel.js';
import { KeyFacts, type KeyPlaceIds } from './key-facts.js';
import { KeyWriter } from './key-writer.js';
import { KEY_DEADLINES } from './projections/key-deadlines.projection.js';

export const TICK_MS = 1_000;
const BATCH_KEYS_MAX = 500;
const CONCURRENCY_MAX = 8;
const LEASE = 'keys:expiry';

/** What time brings to a key, told by the part of the program that watches it. */
export class TimeCommand extends Command<{ readonly written: boolean; readonly position: Position | null }> {
  constructor(
    readonly keyId: string,
    readonly place: KeyPlaceIds,
    readonly command: Extract<KeyCommand, { type: 'RecordExpiry' | 'WarnExpiry' | 'UpgradeVerifier' }>,
    readonly context: CommandContext,
  ) {
    super();
  }
}

@CommandHandler(TimeCommand)
export class TimeHandler implements ICommandHandler<TimeCommand> {
  constructor(private readonly writer: KeyWriter) {}

  async execute({ keyId, place, command, context }: TimeCommand) {
    const { events, replayed, position } = await this.writer.write(keyId, place, command, { context });
    return { written: events.length > 0 && !replayed, position };
  }
}

/** The same moment of the same key is the same command, whichever process notices it and however often. */
export function contextOfTime(
  part: string,
  keyId: string,
  cause: string,
  subject: string,
  dueAt: string,
): CommandContext {
  const commandId = commandIdOf(['time', keyStream(keyId), cause, subject, dueAt]);
  return {
    commandId,
    correlationId: commandId,
    causationId: null,
    requestHash: null,
    actor: { type: 'system', id: part, via: 'internal' },
    actorPart: null,
  };
}

interface DeadlineRow {
  readonly key_id: string;
  readonly tenant_id: string | null;
  readonly project_id: string | null;
  readonly expires_at: Date;
  readonly expiry_set_at: Date;
  readonly warned_days: number | null;
}

/**
 * Writes KeyExpired after the fact and KeyExpiryWarned at each threshold. What is due stands in the read model of
 * deadlines, so a restart catches up; one process at a time looks, and a second one could do no harm.
 */
@Injectable()
export class ExpiryScheduler implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly owner = randomUUID();
  private readonly session: LeaseSession;
  private readonly warnings: Counter<'days'>;
  private readonly expiries: Counter;
  private lease: Lease | undefined;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private stopped = false;

  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly commands: CommandBus,
    private readonly readModels: ReadModels,
    private readonly facts: KeyFacts,
    metrics: Metrics,
  ) {
    this.session = new LeaseSession(pool);
    const registers = [metrics.registry];
    this.warnings = new Counter({
      name: 'steward_key_expiry_warnings_total',
      help: 'Warnings of expiries written by this process, by their days.',
      labelNames: ['days'] as const,
      registers,
    });
    this.expiries = new Counter({
      name: 'steward_key_expiries_total',
      help: 'Expiries written by this process.',
      registers,
    });
  }

  onApplicationBootstrap(): void {
    this.next();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
    await this.lease?.release().catch(() => undefined);
    this.session.close();
  }

  private next(): void {
    if (this.stopped) return;
    this.timer = setTimeout(() => {
      this.running = this.tick().finally(() => {
        this.next();
      });
    }, TICK_MS);
    this.timer.unref();
  }

  private async tick(): Promise<void> {
    try {
      if (this.lease === undefined || this.lease.signal.aborted)
        this.lease = await Lease.tryAcquire(this.session, LEASE, this.owner, LEASE_TIMES);
      if (this.lease !== undefined) await this.run(this.lease.signal);
    } catch (err) {
      this.logger.warn({ err }, 'Expiries wait for the database; they are tried again.');
    }
  }

  /** Everything that is due now, in pieces; ends early when the signal aborts. Answers how many events it wrote. */
  async run(signal: AbortSignal): Promise<number> {
    let written = 0;
    for (const piece of [() => this.recordExpiries(), () => this.warn()]) {
      for (;;) {
        if (signal.aborted || this.stopped) return written;
        const done = await piece();
        written += done.written;
        if (done.found < BATCH_KEYS_MAX) break;
        // Else the next look would find the same keys again.
        if (done.position === null || !(await this.readModels.reach(KEY_DEADLINES, done.position, READ_WAIT_MS_MAX)))
          return written;
      }
    }
    return written;
  }

  private async recordExpiries() {
    const rows = await this.due('not expiry_recorded and expires_at <= $1 order by expires_at');
    return this.issue(rows, ({ key_id: keyId, expires_at }) => {
      const expiresAt = expires_at.toISOString();
      return {
        command: { type: 'RecordExpiry', expiresAt },
        context: contextOfTime('expiry', keyId, 'expired', '', expiresAt),
        written: () => {
          this.expiries.inc();
        },
      };
    });
  }

  private async warn() {
    const rows = await this.due('next_warning_at <= $1 and expires_at > $1 order by next_warning_at');
    return this.issue(rows, (row) => {
      const { key_id: keyId, tenant_id: tenantId, project_id: projectId } = row;
      const expiresAt = row.expires_at.toISOString();
      const key = {
        expiresAt,
        expirySetAt: row.expiry_set_at.toISOString(),
        warnedDays: row.warned_days === null ? [] : [row.warned_days],
      };
      const due = dueWarning(key, this.facts.policyOf({ tenantId, projectId }).warnDays, this.clock.now());
      if (due === null) return undefined;
      const { thresholdDays, dueAt } = due;
      return {
        command: { type: 'WarnExpiry', expiresAt, thresholdDays },
        context: contextOfTime('expiry', keyId, 'expiry-warning', String(thresholdDays), dueAt),
        written: () => {
          this.warnings.inc({ days: String(thresholdDays) });
          this.logger.warn({ keyId, tenantId, projectId, expiresAt, thresholdDays }, 'A key is about to expire.');
        },
      };
    });
  }

  private async due(condition: string): Promise<DeadlineRow[]> {
    try {
      const { rows } = await this.pool.query<DeadlineRow>(
        `select key_id, tenant_id, project_id, expires_at, expiry_set_at, warned_days
         from keys.key_deadlines where ${condition} limit ${BATCH_KEYS_MAX}`,
        [this.clock.now()],
      );
      return rows;
    } catch (error) {
      if (isTableMissing(error)) return [];
      throw error;
    }
  }

  private async issue(
    rows: readonly DeadlineRow[],
    commandOf: (
      row: DeadlineRow,
    ) => { command: TimeCommand['command']; context: CommandContext; written: () => void } | undefined,
  ): Promise<{ found: number; written: number; position: Position | null }> {
    let written = 0;
    let position: Position | null = null;
    await inParallel(rows, CONCURRENCY_MAX, async (row) => {
      const due = commandOf(row);
      if (due === undefined) return;
      const place = { tenantId: row.tenant_id, projectId: row.project_id };
      const done = await this.commands.execute(new TimeCommand(row.key_id, place, due.command, due.context));
      if (done.position !== null && (position === null || done.position > position)) position = done.position;
      if (!done.written) return;
      written += 1;
      due.written();
    });
    return { found: rows.length, written, position };
  }
}

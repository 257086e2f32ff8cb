import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import type { Pool } from 'pg';
import type { Clock } from '#libs/eventsourcing';
import { type AppConfig, CLOCK, CONFIG, type Logger, LOGGER, POOL } from '#libs/platform';
import { isTableMissing, Lease, LEASE_TIMES, LeaseSession } from '#libs/postgres';
import { OwnerClient } from '../forwarding/owner-client.js';
import { QuotaLedgers } from './quota-ledgers.js';

const LOOK_EVERY_MS = 5_000;
/** A loaded ledger has a timer of its own; this is for those that nobody has loaded. */
const OVERDUE_MS = 1_000;
const PROJECTS_MAX = 200;

/**
 * Writes the expiries of projects that nobody asks for: the read model tells which reservations are due, and a look at
 * their ledger sweeps them. What is granted does not hang on it, for every batch sweeps before it decides.
 */
@Injectable()
export class DueSweeper implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly ending = new AbortController();
  private readonly session: LeaseSession;
  private running: Promise<void> | undefined;

  constructor(
    private readonly ledgers: QuotaLedgers,
    private readonly owners: OwnerClient,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'quotasPeers'>,
    @Inject(POOL) private readonly pool: Pick<Pool, 'connect' | 'query'>,
    @Inject(LOGGER) private readonly log: Pick<Logger, 'warn'>,
  ) {
    this.session = new LeaseSession(pool);
  }

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  async onModuleDestroy(): Promise<void> {
    this.ending.abort();
    await this.running;
    this.session.close();
  }

  private async run(): Promise<void> {
    const { signal } = this.ending;
    const holder = randomUUID();
    let lease: Lease | undefined;
    while (!signal.aborted) {
      try {
        // Peers sweep what is their own; processes that know nothing of one another leave it to one of them.
        if (this.config.quotasPeers === undefined && lease?.signal.aborted !== false)
          lease = await Lease.tryAcquire(this.session, 'quota-sweeper', holder, LEASE_TIMES);
        if (this.config.quotasPeers !== undefined || lease !== undefined) await this.sweep();
      } catch (err) {
        this.log.warn({ err }, 'Due reservations of projects at rest cannot be told; it is tried again.');
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
    await lease?.release().catch(() => undefined);
  }

  private async sweep(): Promise<void> {
    for (const projectId of await this.overdue()) {
      if (this.ending.signal.aborted) return;
      if (!this.owners.isOwn(projectId)) continue;
      await this.ledgers
        .look(projectId, () => undefined)
        .catch((err: unknown) => {
          this.log.warn({ err, projectId }, 'The due reservations of a project were not swept.');
        });
    }
  }

  private async overdue(): Promise<string[]> {
    try {
      const { rows } = await this.pool.query<{ project_id: string }>(
        `select distinct project_id from quotas.reservations where status = 'open' and expires_at <= $1 limit $2`,
        [new Date(this.clock.nowMs() - OVERDUE_MS), PROJECTS_MAX],
      );
      return rows.map((row) => row.project_id);
    } catch (error) {
      if (isTableMissing(error)) return [];
      throw error;
    }
  }
}

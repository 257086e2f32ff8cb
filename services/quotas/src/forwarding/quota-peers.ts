import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import type { Pool } from 'pg';
import { type AppConfig, CONFIG, type Logger, LOGGER, POOL } from '#libs/platform';
import { heldLeases, Lease, LEASE_TIMES, LeaseSession } from '#libs/postgres';
import { ownerAmong } from './owner-among.js';

const PREFIX = 'quota-writer:';
const LOOK_EVERY_MS = 500;
const LOOK_MS_MAX = 2_000;

/**
 * Which process decides for a project. Each that shares in the work holds a lease on its own address, and the projects are
 * dealt out among those that hold one; whoever dies or is cut off loses it, and the others take over. Two that disagree
 * for a moment both decide, and the expected revision keeps them right.
 */
@Injectable()
export class QuotaPeers implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly ending = new AbortController();
  private readonly session: LeaseSession;
  private lease: Lease | undefined;
  private live: readonly string[] = [];
  private running: Promise<void> | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'quotasPeers'>,
    @Inject(POOL) pool: Pick<Pool, 'connect'>,
    @Inject(LOGGER) private readonly log: Pick<Logger, 'info' | 'warn'>,
  ) {
    this.session = new LeaseSession(pool);
  }

  /** The address of another process; null where this one decides itself. */
  ownerOf(projectId: string): string | null {
    const owner = ownerAmong(projectId, this.live);
    return owner === undefined || owner === this.config.quotasPeers?.own ? null : owner;
  }

  onApplicationBootstrap(): void {
    if (this.config.quotasPeers !== undefined) this.running = this.run(this.config.quotasPeers);
  }

  /** Lets the others take over before this process is gone. */
  async onModuleDestroy(): Promise<void> {
    this.ending.abort();
    await this.running;
    await this.lease?.release().catch(() => undefined);
    this.session.close();
  }

  private async run({ own, others }: NonNullable<AppConfig['quotasPeers']>): Promise<void> {
    const { signal } = this.ending;
    const holder = randomUUID();
    while (!signal.aborted) {
      try {
        if (this.lease?.signal.aborted !== false)
          this.lease = await Lease.tryAcquire(this.session, PREFIX + own, holder, LEASE_TIMES);
        const held = (await heldLeases(this.session, PREFIX, LOOK_MS_MAX)).map((name) => name.slice(PREFIX.length));
        // Commands go to no address but those of the configuration, whatever stands in the table.
        this.found(held.filter((one) => (one === own ? this.lease !== undefined : others.includes(one))));
      } catch (err) {
        this.log.warn({ err }, 'Who writes the quotas cannot be told; this process decides what comes to it.');
        this.live = [];
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  private found(live: readonly string[]): void {
    if (live.join() !== this.live.join()) this.log.info({ live }, 'The processes that write quotas.');
    this.live = live;
  }
}

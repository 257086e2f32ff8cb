import { setTimeout as sleep } from 'node:timers/promises';
import { type EventStore, openEvents, type Position } from '#libs/eventsourcing';
import {
  adoptCheckpoint,
  beginGeneration,
  type Checkpoint,
  dropBuilding,
  dropRetired,
  lockLive,
  switchGenerations,
} from './generations.js';
import { Lease, type LeaseSession, type LeaseTimes } from '../leases/lease.js';
import { applyPage, applyWithin, type PageContext } from './page.js';
import { inTransaction, isTransient, sqlStateOf } from '../transaction.js';

export const PAGE_EVENTS_MAX = 1_000;
/** How long the tables of a retired generation stand at least. */
export const RETIRED_GRACE_MS = 2_000;
const SWITCH_PAGES_MAX = 5;
const SWITCH_ATTEMPTS_MAX = 100;
const TRANSIENT_ATTEMPTS_MAX = 10;

export interface RebuildProgress {
  readonly eventsApplied: number;
  readonly position: Position;
}

export interface RebuildResult extends RebuildProgress {
  readonly generation: number;
  readonly durationMs: number;
}

/** Another process rebuilds this projection already. */
export class RebuildRunning extends Error {
  constructor(projection: string) {
    super(`The projection ${projection} is being rebuilt by another process.`);
    this.name = 'RebuildRunning';
  }
}

export interface RebuildOptions {
  readonly store: EventStore;
  readonly owner: string;
  readonly leaseSession: LeaseSession;
  readonly leaseTimes: LeaseTimes;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: RebuildProgress) => void) | undefined;
  readonly pageEventsMax?: number | undefined;
  readonly retiredGraceMs?: number | undefined;
}

/**
 * Builds the projection anew from the origin beside the live tables, which serve and are fed meanwhile, and switches to
 * the new ones in one short transaction once they have passed the live checkpoint. Throws RebuildRunning, UnknownEvent.
 */
export async function rebuild(context: PageContext, options: RebuildOptions): Promise<RebuildResult> {
  const { database, projection } = context;
  const startedMs = performance.now();
  const name = `${projection.name}:rebuild`;
  const lease = await Lease.tryAcquire(options.leaseSession, name, options.owner, options.leaseTimes);
  if (lease === undefined) throw new RebuildRunning(projection.name);
  const begun = await beginGeneration(database, projection, options.store.origin, lease.epoch).catch(
    async (error: unknown) => {
      await lease.release();
      throw error;
    },
  );
  let built: RebuildProgress;
  try {
    built = await new Build(context, options, lease, begun).run();
  } catch (error) {
    await dropBuilding(database, projection.name, begun.generation).catch(() => undefined);
    throw error;
  } finally {
    await lease.release().catch(() => undefined);
  }
  const durationMs = performance.now() - startedMs;
  await sleep(options.retiredGraceMs ?? RETIRED_GRACE_MS);
  // The rebuild is done: tables that cannot be dropped now are dropped by the next runner that starts.
  await dropRetired(database, projection.name, options.retiredGraceMs ?? RETIRED_GRACE_MS).catch(() => undefined);
  return { ...built, generation: begun.generation, durationMs };
}

class Build {
  private eventsApplied = 0;
  private readonly pageEventsMax: number;

  constructor(
    private readonly context: PageContext,
    private readonly options: RebuildOptions,
    private readonly lease: Lease,
    private checkpoint: Checkpoint,
  ) {
    this.pageEventsMax = options.pageEventsMax ?? PAGE_EVENTS_MAX;
  }

  async run(): Promise<RebuildProgress> {
    for (let attempt = 1; attempt <= SWITCH_ATTEMPTS_MAX; attempt += 1) {
      await this.catchUp();
      if (await this.trySwitch()) return this.progress();
      await sleep(Math.min(10 * attempt, 250));
    }
    throw new Error(
      `${this.context.projection.name} was built and could not be switched to: its view is always in use.`,
    );
  }

  private progress(): RebuildProgress {
    return { eventsApplied: this.eventsApplied, position: this.checkpoint.position };
  }

  private async catchUp(): Promise<void> {
    let failures = 0;
    for (;;) {
      try {
        await this.applyToHead();
        return;
      } catch (error) {
        failures += 1;
        if (!isTransient(error) || failures > TRANSIENT_ATTEMPTS_MAX) throw error;
        await sleep(Math.min(50 * 2 ** failures, 5_000));
        await this.reload();
      }
    }
  }

  /** The next page is read while one is applied. */
  private async applyToHead(): Promise<void> {
    let ahead = this.read(this.checkpoint.position);
    for (;;) {
      this.options.signal?.throwIfAborted();
      const page = await ahead;
      ahead = this.read(page.position);
      ahead.catch(() => undefined);
      if (page.position !== this.checkpoint.position) {
        const next = await applyPage(this.context, this.checkpoint, page);
        if (next === undefined) await this.reload();
        else this.checkpoint = next;
        if (next === undefined) return;
        this.eventsApplied += page.events.length;
        this.options.onProgress?.(this.progress());
      }
      if (page.caughtUp) return;
    }
  }

  private read(after: Position): ReturnType<EventStore['readAll']> {
    const filter = { categories: this.context.projection.categories };
    return this.options.store.readAll({ after, limit: this.pageEventsMax, filter });
  }

  private async reload(): Promise<void> {
    const { database, projection } = this.context;
    const checkpoint = await adoptCheckpoint(database, projection.name, 'building', this.lease.epoch);
    if (checkpoint === undefined) throw new Error(`The rebuild of ${projection.name} was taken over.`);
    this.checkpoint = checkpoint;
  }

  /**
   * Short or not at all: no lock is waited for longer than a quarter of a second, so that queries on the view never
   * queue behind the switch, and what is far behind goes back to catching up.
   */
  private async trySwitch(): Promise<boolean> {
    const { database, projection, codec } = this.context;
    let eventsApplied = 0;
    try {
      const switched = await inTransaction(database, async (client) => {
        await client.query(`set local lock_timeout = '250ms'`);
        const live = await lockLive(client, projection.name);
        if (live === undefined) throw new Error(`The projection ${projection.name} has no live generation.`);
        let built = this.checkpoint;
        for (let pages = 0; built.position < live.position; pages += 1) {
          const page = await this.read(built.position);
          if (pages === SWITCH_PAGES_MAX || page.position === built.position) return undefined;
          const opened = await openEvents(codec, page.events, projection.parts);
          if (!(await applyWithin(client, projection, built, opened, page.position))) return undefined;
          built = { ...built, position: page.position };
          eventsApplied += page.events.length;
        }
        await switchGenerations(client, projection, live, built);
        return built;
      });
      if (switched === undefined) return false;
      this.checkpoint = switched;
      this.eventsApplied += eventsApplied;
      return true;
    } catch (error) {
      // A poison event among the last ones is parked by catching up, where each event has its savepoint.
      if (isTransient(error) || sqlStateOf(error) !== undefined) {
        await this.reload();
        return false;
      }
      throw error;
    }
  }
}

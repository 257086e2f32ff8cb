import { setTimeout as sleep } from 'node:timers/promises';
import type { EventStore, Projection } from '#libs/eventsourcing';
import { type LeaseTimes, ProjectionHost, type ProjectionHostOptions } from '#libs/postgres';
import type { Pool } from 'pg';
import { codec, foldTally, readTally, type TallyOptions, tallyProjection } from './projection-fixture.js';

export interface StoreAndPool {
  readonly store: EventStore;
  readonly pool: Pool;
  close(): Promise<void>;
}

const leaseTimes: LeaseTimes = { ttlMs: 300, renewMs: 60 };
const REACHED_MS = 10_000;

/** A store, a database and the hosts of one test, each host as a process of its own would have it. */
export class ProjectionGround {
  readonly schema = 'tallies';
  readonly store: EventStore;
  readonly pool: Pool;
  private readonly hosts: ProjectionHost[] = [];

  constructor(private readonly ground: StoreAndPool) {
    this.store = ground.store;
    this.pool = ground.pool;
  }

  hostOf(projections: readonly Projection[], options: Partial<ProjectionHostOptions> = {}): ProjectionHost {
    const { store, pool } = this;
    const host = new ProjectionHost({
      database: pool,
      store,
      codec,
      leaseTimes,
      retiredGraceMs: 50,
      ...options,
      projections,
    });
    this.hosts.push(host);
    return host;
  }

  tally(options: Omit<TallyOptions, 'schema'> = {}): Projection {
    return tallyProjection({ schema: this.schema, ...options });
  }

  async expectReached(host: ProjectionHost, position: string, projection = 'tally'): Promise<void> {
    expect(await host.reach(projection, position, REACHED_MS)).toBe(true);
  }

  async expectExact(): Promise<void> {
    expect(await readTally(this.pool, this.schema)).toEqual(await foldTally(this.store));
  }

  /** Polls with a bound: the state of another process is not announced. */
  async until(reached: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + REACHED_MS;
    while (!(await reached())) {
      if (performance.now() > deadline) throw new Error('The awaited state was not reached.');
      await sleep(5);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.stop()));
    await this.ground.close();
  }
}

import { type DynamicModule, Global, Inject, Injectable, Module, type OnApplicationShutdown } from '@nestjs/common';
import { IndexFollower, type Position, Refusal } from '#libs/eventsourcing';
import { ProjectionHost, ReactorHost } from '#libs/postgres';
import type { AppConfig } from '../config/config.js';
import type { Logger } from '../telemetry/logger.js';
import { Metrics } from '../telemetry/metrics.js';
import { AcknowledgedPositions, ReadGate, ReadModels } from '../requests/read-gate.js';
import { Readiness } from '../telemetry/readiness.js';
import { PositionGate } from '../requests/request-contexts.js';
import { CLOCK, CONFIG, DATA_KEYS, INSTALLATION_KEY, LEDGER, LOGGER, PEPPERS, POOL } from '../tokens.js';
import type { Storage } from './storage.js';

const STORAGE = Symbol('STORAGE');

/** A position is known if the indexes of this process have passed it, or else if the store's head has. */
class StorePositions extends PositionGate {
  constructor(private readonly storage: Storage) {
    super();
  }

  isPosition(text: string): boolean {
    return this.storage.store.isPosition(text);
  }

  async checkPosition(position: Position): Promise<void> {
    if (position <= this.storage.follower.position) return;
    if (position > (await this.storage.store.head()))
      throw new Refusal('POSITION_UNKNOWN', 'The position lies beyond the head of the store.');
  }
}

/** Tells operators how far every follower of the log is, and closes the storage after everything else. */
@Injectable()
class StorageWatch implements OnApplicationShutdown {
  constructor(
    @Inject(STORAGE) private readonly storage: Storage,
    @Inject(CONFIG) config: AppConfig,
    readiness: Readiness,
    metrics: Metrics,
  ) {
    const { database, shredder, clock, projections, reactors } = storage;
    readiness.fact('tier', database.tier);
    readiness.fact('appendOnlyByGrant', database.appendOnlyByGrant);
    if (storage.duties.followsIndexes) this.watchIndexes(config, readiness, metrics);
    readiness.check('disk', () => ({
      ok: database.diskGuard?.refusal() === undefined,
      freeBytes: database.diskGuard?.freeBytes ?? null,
    }));
    readiness.check('projections', async () => {
      const status = await projections.status();
      return {
        ok: status.every(({ state }) => state !== 'failed'),
        projections: status.map(({ name, state, parkedCount, stalenessMs }) => ({
          name,
          state,
          parkedCount,
          stalenessMs: stalenessMs === null ? null : Math.round(stalenessMs),
        })),
      };
    });
    readiness.check('reactors', () => {
      const status = reactors.status();
      return { ok: status.every(({ state }) => state !== 'failed'), reactors: status };
    });
    metrics.gauge('steward_reactor_lag_ms', 'How long the reactor that is furthest behind has been so.', () =>
      Math.round(Math.max(0, ...reactors.status().map(({ lagMs }) => lagMs ?? 0))),
    );
    metrics.gauge('steward_reactions_waiting', 'Keys of events whose reaction failed and is tried again.', () =>
      reactors.status().reduce((sum, { waitingKeys }) => sum + waitingKeys, 0),
    );
    metrics.gauge(
      'steward_shredder_lag_ms',
      'How long a due destruction of data keys has waited.',
      () => shredder.lagMs ?? 0,
    );
    metrics.gauge(
      'steward_clock_skew_ms',
      'Wall clock of this process less the clock of the store.',
      () => clock.skewMs,
    );
  }

  private watchIndexes(config: AppConfig, readiness: Readiness, metrics: Metrics): void {
    const { follower } = this.storage;
    readiness.check('indexes', () => {
      const stalenessMs = Math.round(follower.stalenessMs());
      return { ok: follower.failure === undefined && stalenessMs <= config.verifyStalenessMaxMs, stalenessMs };
    });
    metrics.gauge('steward_index_staleness_ms', 'Age of the in-memory indexes of keys and rights.', () =>
      Math.min(follower.stalenessMs(), Number.MAX_SAFE_INTEGER),
    );
    metrics.gauge(
      'steward_index_events_total',
      'Events applied to the in-memory indexes.',
      () => follower.counters.eventsApplied,
    );
  }

  async onApplicationShutdown(): Promise<void> {
    await this.storage.close();
  }
}

/** Everything that services inject of the storage, once a process; imported by the composition that opened it. */
@Global()
@Module({})
export class StorageModule {
  static of(storage: Storage, config: AppConfig, logger: Logger): DynamicModule {
    const provided = [
      { provide: STORAGE, useValue: storage },
      { provide: LEDGER, useValue: storage.ledger },
      { provide: POOL, useValue: storage.pool },
      { provide: DATA_KEYS, useValue: storage.dataKeys },
      { provide: INSTALLATION_KEY, useValue: storage.installationKey },
      // Without them whoever asks for peppers fails at the start, and not at the first key.
      ...(storage.peppers === undefined ? [] : [{ provide: PEPPERS, useValue: storage.peppers }]),
      { provide: CLOCK, useValue: storage.clock },
      { provide: LOGGER, useValue: logger },
      { provide: CONFIG, useValue: config },
      { provide: IndexFollower, useValue: storage.follower },
      { provide: ProjectionHost, useValue: storage.projections },
      { provide: ReactorHost, useValue: storage.reactors },
      { provide: ReadModels, useValue: storage.projections },
      { provide: AcknowledgedPositions, useValue: storage.acknowledged },
      { provide: PositionGate, useValue: new StorePositions(storage) },
      ReadGate,
    ];
    return {
      module: StorageModule,
      providers: [...provided, StorageWatch],
      exports: provided,
    };
  }
}

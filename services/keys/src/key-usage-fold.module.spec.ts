import { type DynamicModule, Global, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOGGER, Metrics, POOL, Readiness } from '#libs/platform';
import pg from 'pg';
import { KeyUsageFoldModule } from './key-usage-fold.module.js';

const NOBODY_LISTENS = 1;
const WAIT_MS_MAX = 5_000;
const config = {
  brokers: [`127.0.0.1:${NOBODY_LISTENS}`],
  tls: undefined,
  sasl: undefined,
  topics: { partitionCount: 1, replicationFactor: 1, retentionMs: undefined },
};
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

@Global()
@Module({})
class Surroundings {
  static of(pool: pg.Pool): DynamicModule {
    const providers = [{ provide: POOL, useValue: pool }, { provide: LOGGER, useValue: silent }, Metrics, Readiness];
    return { module: Surroundings, providers, exports: providers };
  }
}

@Module({})
class Projector {
  static of(pool: pg.Pool): DynamicModule {
    return { module: Projector, imports: [Surroundings.of(pool), KeyUsageFoldModule.of(config)] };
  }
}

it('a projector that cannot fold is ready all the same, and tells that it does not', async () => {
  const pool = new pg.Pool({ host: '127.0.0.1', port: NOBODY_LISTENS });
  const app = await NestFactory.createApplicationContext(Projector.of(pool), { logger: false });
  try {
    const answered = () => app.get(Readiness).answer();
    const deadline = performance.now() + WAIT_MS_MAX;
    while ((await answered()).checks['keyUsage']?.['state'] !== 'crashed') {
      if (performance.now() > deadline) throw new Error('It was not told.');
      await sleep(20);
    }
    expect(await answered()).toMatchObject({ ready: true, checks: { keyUsage: { state: 'crashed' } } });
  } finally {
    await app.close();
    await pool.end();
  }
});

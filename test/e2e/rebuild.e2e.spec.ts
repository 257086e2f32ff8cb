import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventTypes } from '#libs/contracts';
import type { Projection } from '#libs/eventsourcing';
import { createLogger, loadConfig, openStorage, type Storage } from '#libs/platform';
import { digestOfTable } from '#libs/postgres';
import { writeHistory } from '#libs/testing';
import { runSteward } from '../../services/cli/src/program.js';
import { projections } from '../../services/cli/src/session.js';

/** STEWARD_FAULT_SIZE=full folds the 100,000 events of the release check. */
const full = process.env['STEWARD_FAULT_SIZE'] === 'full';
const EVENTS = full ? 100_000 : 5_000;
/** With every read model and its control, as many as the pool lets in within its bound also on a small machine. */
const WRITERS = 16;
/** Between two histories of the one writer that goes on, so that a rebuild can overtake it on a small machine. */
const WRITE_PAUSE_MS = 20;
const READ_PAUSE_MS = 2;
const REACHED_MS = full ? 600_000 : 60_000;
const TEST_MS = full ? 1_800_000 : 240_000;

/** The same projection that nobody rebuilds: it is fed by the runner from the first event on. */
const control = (projection: Projection): Projection => ({
  ...projection,
  name: `control-${projection.name}`,
  schema: `control_${projection.schema}`,
});

const viewsOf = (projection: Projection): string[] =>
  projection.tables.map(({ name }) => `${projection.schema}.${name}`);

describe(`a rebuild of every read model with ${EVENTS} events and writes going on`, () => {
  let scratch: string;
  let env: Record<string, string>;
  let storage: Storage;
  const printed: string[] = [];

  const steward = (...args: string[]): Promise<number> =>
    runSteward(args, {
      env,
      print: (text) => printed.push(text),
      tell: (text) => printed.push(text),
      rewrites: false,
      isAttended: false,
      signal: new AbortController().signal,
    });

  const everything = projections.flatMap((projection) => [projection, control(projection)]);

  async function caughtUp(): Promise<void> {
    const head = await storage.store.head();
    for (const { name } of everything) expect(await storage.projections.reach(name, head, REACHED_MS)).toBe(true);
  }

  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'steward-rebuild-'));
    await chmod(scratch, 0o711);
    env = { STEWARD_DATA_DIR: join(scratch, 'data') };
    storage = await openStorage(loadConfig(env), createLogger({ level: 'silent' }));
    for (const projection of everything) storage.projections.register(projection);
    storage.projections.start();
    storage.shredder.start();
  });

  afterAll(async () => {
    await storage.close();
    await rm(scratch, { recursive: true, force: true });
  });

  it(
    'leaves tables equal to those that were never rebuilt, and answers every query throughout',
    async () => {
      let history = 0;
      let events = 0;
      const types = new Set<string>();
      const startedMs = performance.now();
      const fill = async (): Promise<void> => {
        while (events < EVENTS) {
          const stored = await writeHistory(storage, history++);
          events += stored.length;
          for (const { type } of stored) types.add(type);
        }
      };
      await Promise.all(Array.from({ length: WRITERS }, fill));
      const filledMs = performance.now();
      await caughtUp();
      const caughtUpMs = performance.now();
      expect([...types].sort()).toEqual(Object.keys(eventTypes).sort());

      const over = new AbortController();
      let written = 0;
      const writer = async (): Promise<void> => {
        while (!over.signal.aborted) {
          written += (await writeHistory(storage, history++)).length;
          await sleep(WRITE_PAUSE_MS);
        }
      };
      let answers = 0;
      let slowestMs = 0;
      const empty: string[] = [];
      const reader = async (): Promise<void> => {
        while (!over.signal.aborted)
          for (const view of projections.flatMap(viewsOf)) {
            const askedMs = performance.now();
            const { rows } = await storage.pool.query(`select 1 from ${view} limit 1`);
            slowestMs = Math.max(slowestMs, performance.now() - askedMs);
            answers += 1;
            if (rows.length === 0) empty.push(view);
            await sleep(READ_PAUSE_MS);
          }
      };
      const traffic = Promise.all([writer(), reader(), reader()]);
      try {
        expect({ code: await steward('rebuild', '--all'), printed }).toMatchObject({ code: 0 });
      } finally {
        over.abort();
        // A query that fails, fails the test.
        await traffic;
      }
      const rebuiltMs = performance.now();
      expect(empty).toEqual([]);
      expect(answers).toBeGreaterThan(100);
      expect(written).toBeGreaterThan(100);

      await caughtUp();
      const generations = await storage.projections.status();
      for (const { name } of projections) expect(generations.find((one) => one.name === name)?.generation).toBe(2);
      for (const projection of projections)
        for (const [n, view] of viewsOf(projection).entries()) {
          const rebuilt = await digestOfTable(storage.pool, view);
          expect(rebuilt.rows).toBeGreaterThan(0);
          expect({ view, ...rebuilt }).toEqual({
            view,
            ...(await digestOfTable(storage.pool, viewsOf(control(projection))[n] as string)),
          });
        }

      expect({ code: await steward('check'), printed }).toMatchObject({ code: 0 });
      console.log(
        [
          `${events} events written in ${Math.round(filledMs - startedMs)} ms, projected ${Math.round(caughtUpMs - filledMs)} ms later`,
          `rebuild of all in ${Math.round(rebuiltMs - caughtUpMs)} ms with ${written} events written and ${answers} queries answered meanwhile, the slowest in ${Math.round(slowestMs)} ms`,
          ...printed,
        ].join('\n'),
      );
    },
    TEST_MS,
  );
});

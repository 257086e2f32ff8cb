import { randomUUID } from 'node:crypto';
import { eventTypes } from '#libs/contracts';
import {
  type Actor,
  Codec,
  type CommandContext,
  FixedClock,
  type Ledger,
  MemoryDataKeys,
  Refusal,
} from '#libs/eventsourcing';
import { PostgresEventStore } from '#libs/postgres';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../../../libs/postgres/src/testing/embedded-ledger.js';
import { defaultCatalogue } from '../domain/catalogue.js';
import { gpu, limit, ofProject, reserve, T0 } from '../testing/given-quota.js';
import { ProjectWriter } from './project-writer.js';
import { WRITER_LIMITS } from './writer-limits.js';

let server: EmbeddedLedger;
const stores: PostgresEventStore[] = [];
const actor: Actor = { type: 'service', id: 'compute', via: 'internal' };

beforeAll(async () => {
  server = await startEmbeddedLedger();
});
afterAll(async () => {
  await Promise.all(stores.map((store) => store.close()));
  await server.stop();
});

const context = (): CommandContext => {
  const commandId = randomUUID();
  return { commandId, correlationId: commandId, causationId: null, requestHash: null, actor, actorPart: null };
};

const REPEATS_MAX = 50;

/** As a client of the program does it: what was refused for want of time is asked again under the same reservation id. */
async function granted(writer: ProjectWriter, wish: Parameters<typeof reserve>): Promise<boolean> {
  for (let repeats = 0; ; repeats += 1)
    try {
      await writer.run(reserve(...wish), context());
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.code === 'QUOTA_EXCEEDED') return false;
      if ((error.code !== 'OUTCOME_UNKNOWN' && error.code !== 'OVERLOADED') || repeats === REPEATS_MAX) throw error;
    }
}

/** A writer as a process of its own has it: no store, codec or memory in common with another. */
function aWriter(onLostRace: () => void = () => undefined): ProjectWriter {
  const store = new PostgresEventStore({ connection: server.program });
  stores.push(store);
  const ledger: Ledger = {
    store,
    codec: new Codec(eventTypes, new MemoryDataKeys()),
    clock: new FixedClock(Date.parse(T0)),
    onAppended: () => Promise.resolve(),
  };
  const scope = { tenantId: 'acme', projectId: 'GOV1' };
  const watch = { appended: () => undefined, waits: () => undefined, lostRace: onLostRace };
  return new ProjectWriter({ ledger, scope, catalogue: () => defaultCatalogue, limits: WRITER_LIMITS, watch });
}

it('two competing writers grant exactly the limit', async () => {
  let conflicts = 0;
  const onLostRace = (): void => {
    conflicts += 1;
  };
  const writers = [aWriter(onLostRace), aWriter(onLostRace)] as const;
  await writers[0].run(limit(ofProject, 1_000), context());
  let next = 0;
  const told = { granted: 0, denied: 0 };
  const client = async (n: number): Promise<void> => {
    const writer = writers[n % 2] as ProjectWriter;
    for (let wish = (next += 1); wish <= 1_500; wish = next += 1)
      told[(await granted(writer, [wish, `user-${n}`, [gpu(1)]])) ? 'granted' : 'denied'] += 1;
  };
  await Promise.all(Array.from({ length: 64 }, (_, n) => client(n)));
  expect(told).toEqual({ granted: 1_000, denied: 500 });
  expect(conflicts).toBeGreaterThan(4);
  const fresh = aWriter();
  const reserved = await fresh.look((state) => state.project.counters.map((counter) => counter?.reserved));
  expect(reserved).toEqual([1_000]);
  await Promise.all([...writers, fresh].map((writer) => writer.close()));
});

import { eventTypes, quotaCatalogueStream } from '#libs/contracts';
import {
  Codec,
  type CommandContext,
  commandIdOf,
  FixedClock,
  MemoryDataKeys,
  MemoryEventStore,
  runCommand,
} from '#libs/eventsourcing';
import { catalogueDecider, defaultCatalogue } from '../domain/catalogue.js';
import type { QuotaCommand } from '../domain/commands.js';
import { byDefault, clear, gpu, limit, ofProject, reserve, T0 } from '../testing/given-quota.js';
import { ProjectWriter } from './project-writer.js';
import { WRITER_LIMITS } from './writer-limits.js';

const keyed = (key: string): CommandContext => {
  const commandId = commandIdOf(['test', key]);
  const actor = { type: 'service', id: 'compute', via: 'internal' } as const;
  return { commandId, correlationId: commandId, causationId: null, requestHash: 'hash', actor, actorPart: null };
};

/** A catalogue without limits, until `lowered` leaves a thousandth of a GPU to everybody. */
function world() {
  const clock = new FixedClock(Date.parse(T0));
  const store = new MemoryEventStore(clock);
  const codec = new Codec(eventTypes, new MemoryDataKeys());
  const ledger = { store, codec, clock, onAppended: () => Promise.resolve() };
  let catalogue = defaultCatalogue;
  const restarted = (): ProjectWriter =>
    new ProjectWriter({
      ledger,
      scope: { tenantId: 'acme', projectId: 'GOV1' },
      catalogue: () => catalogue,
      limits: WRITER_LIMITS,
    });
  const lowered = async (): Promise<void> => {
    const { state } = await runCommand(ledger, {
      stream: quotaCatalogueStream,
      decider: catalogueDecider,
      command: {
        type: 'SetCatalogueResource',
        service: 'container-compute',
        resource: 'gpu',
        unit: 'milliGpu',
        defaultProjectLimit: 1,
        defaultMemberLimit: 1,
      },
      scope: { tenantId: null, projectId: null },
      context: keyed('catalogue'),
    });
    catalogue = state;
  };
  return { restarted, lowered };
}

const commands: [string, QuotaCommand][] = [
  ['a reservation', reserve(1, 'ada', [gpu(2_000)])],
  ['a limit of the project', limit(ofProject, 5)],
  ['a limit taken away', clear(byDefault)],
];

it.each(commands)(
  '%s is answered as it was, after a restart and whatever the catalogue says now',
  async (_, command) => {
    const { restarted, lowered } = world();
    const writer = restarted();
    await writer.run(limit(byDefault, 4_000), keyed('before'));
    const first = await writer.run(command, keyed('once'));
    await lowered();
    const again = await restarted().run(command, keyed('once'));
    expect(again).toEqual({
      ...first,
      answer: { ...first.answer, ...(command.type === 'Reserve' ? { replayed: true } : {}) },
      replayed: true,
    });
  },
);

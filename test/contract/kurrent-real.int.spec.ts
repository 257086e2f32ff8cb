import { KurrentEventStore, parseEventStoreUrl } from '#libs/kurrentdb';
import { describeOnReal } from '#libs/testing';
import type { Capability, StoreUnderTest } from '../../libs/eventsourcing/src/testing/contract-item.js';
import { describeEventStore } from '../../libs/eventsourcing/src/testing/event-store.contract.js';
import { kurrentStoreUnderTest } from './kurrent-store.js';

interface RealServer {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

const IMAGE = 'kurrentplatform/kurrentdb:25.1';
const PORT = 2113;
const FULL_APPEND_BYTES = 4 * 1024 * 1024;

async function startContainer(): Promise<RealServer | undefined> {
  try {
    const { GenericContainer, Wait } = await import('testcontainers');
    const container = await new GenericContainer(IMAGE)
      .withExposedPorts(PORT)
      .withEnvironment({
        KURRENTDB_INSECURE: 'true',
        KURRENTDB_RUN_PROJECTIONS: 'None',
        KURRENTDB_MAX_APPEND_SIZE: String(FULL_APPEND_BYTES),
        KURRENTDB_TELEMETRY_OPTOUT: 'true',
      })
      .withWaitStrategy(Wait.forHttp('/health/live', PORT).forStatusCodeMatching((code) => code < 300))
      .withStartupTimeout(120_000)
      .start();
    return {
      url: `esdb://${container.getHost()}:${container.getMappedPort(PORT)}?tls=false`,
      stop: async () => {
        await container.stop();
      },
    };
  } catch {
    // No engine answers here, or it has no such image: the suite says that it was left out.
    return undefined;
  }
}

const given = process.env['STEWARD_TEST_EVENTSTORE_URL'] ?? '';
const server: RealServer | undefined =
  given === '' ? await startContainer() : { url: given, stop: () => Promise.resolve() };

function describeContract({ url, stop }: RealServer): void {
  const { hosts, tls, discovers } = parseEventStoreUrl(url);
  const [host] = hosts;
  // Behind TLS or before a cluster no proxy of ours can stand, so what needs a failing network is left out there.
  const proxied = !tls && !discovers && hosts.length === 1 && host !== undefined;
  const stores: KurrentEventStore[] = [];
  const open = (): KurrentEventStore => {
    const store = new KurrentEventStore({ url });
    stores.push(store);
    return store;
  };
  const direct = (): StoreUnderTest => ({
    store: open(),
    another: () => Promise.resolve(open()),
    close: () => Promise.resolve(),
  });
  const capabilities: Capability[] = [
    ...(proxied ? (['loseReplies', 'restartServer'] as const) : []),
    ...(given === '' ? (['fullAppends'] as const) : []),
  ];

  afterAll(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await stop();
  });

  // Every item has streams of its own, and nothing is deleted: the server keeps what earlier runs wrote.
  describeEventStore(
    'KurrentDB (real)',
    () =>
      proxied
        ? kurrentStoreUnderTest({ host: host.address, port: host.port, stop: () => Promise.resolve() })
        : Promise.resolve(direct()),
    capabilities,
  );
}

describeOnReal(
  'kurrentdb',
  server === undefined ? 'neither STEWARD_TEST_EVENTSTORE_URL nor a container engine is at hand' : undefined,
  'Event store contract on KurrentDB (real)',
  () => {
    if (server !== undefined) describeContract(server);
  },
);

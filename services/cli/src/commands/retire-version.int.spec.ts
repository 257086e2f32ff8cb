import { randomUUID } from 'node:crypto';
import { eventTypes, type KeyEvent } from '#libs/contracts';
import { Codec, FixedClock, MemoryDataKeys } from '#libs/eventsourcing';
import { PostgresEventStore } from '#libs/postgres';
import { sampleEvents } from '#libs/testing';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../../../libs/postgres/src/testing/embedded-ledger.js';
import { pepperUses } from './retire-version.command.js';

const CREATED = '2026-01-01T00:00:00.000Z';
const OVERLAP_ENDS = '2026-01-02T00:00:00.000Z';
const LATER = '2026-01-03T00:00:00.000Z';

describe('the uses of a version of the pepper', () => {
  let ledger: EmbeddedLedger;
  let store: PostgresEventStore;
  const codec = new Codec(eventTypes, new MemoryDataKeys());
  const created = sampleEvents.find(({ event }) => event.type === 'KeyCreated')?.event as Extract<
    KeyEvent,
    { type: 'KeyCreated' }
  >;
  const verifier = { verifier: { hmac: 'ab'.repeat(32) } };
  const rotated: KeyEvent = {
    type: 'KeyRotated',
    data: { version: 2, pepperVersion: '2', madeBy: 'steward', previousVersion: 1, previousRetiresAt: OVERLAP_ENDS },
    private: verifier,
  };
  const upgraded: KeyEvent = {
    type: 'KeyVerifierUpgraded',
    data: { version: 1, from: '1', to: '2' },
    private: verifier,
  };
  const deleted: KeyEvent = { type: 'KeyDeleted', data: { dataKeys: [] } };

  async function aKey(id: string, ...events: readonly KeyEvent[]): Promise<void> {
    const stream = `key-${id.padStart(16, '0')}`;
    const commandId = randomUUID();
    const prepared = await codec.encode({
      stream,
      tenantId: 'acme',
      projectId: 'GOV112345',
      lastRevision: 0,
      lastChainHash: null,
      recordedAt: CREATED,
      context: {
        commandId,
        correlationId: commandId,
        causationId: null,
        requestHash: null,
        actor: { type: 'system', id: 'test', via: 'internal' },
        actorPart: null,
      },
      events: [created, ...events],
    });
    await store.append({ stream, expectedRevision: 0, events: prepared });
  }

  const uses = (version: string, at: string): Promise<number> =>
    pepperUses({
      connection: ledger.program,
      ledgerElsewhere: undefined,
      store,
      codec,
      clock: new FixedClock(Date.parse(at)),
      version,
    });

  beforeAll(async () => {
    ledger = await startEmbeddedLedger();
    store = new PostgresEventStore({ connection: ledger.program });
    await aKey('stands');
    await aKey('rotated', rotated);
    await aKey('upgraded', upgraded);
    await aKey('deleted', deleted);
  });

  afterAll(async () => {
    await store.close();
    await ledger.stop();
  });

  it('are the secrets that still verify under it: not those re-peppered, retired or of deleted keys', async () => {
    expect(await uses('1', CREATED)).toBe(2);
    expect(await uses('1', LATER)).toBe(1);
    expect(await uses('2', LATER)).toBe(2);
    expect(await uses('3', LATER)).toBe(0);
  });
});

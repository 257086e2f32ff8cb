import { createHash, randomUUID } from 'node:crypto';
import { eventTypes } from '#libs/contracts';
import { type Actor, Codec, type DataKey, type DataKeys, type EventStore, type StoredEvent } from '#libs/eventsourcing';

/** Data keys that stand in no table, for ledgers that nobody opens again. */
class DerivedDataKeys implements DataKeys {
  obtain(owners: readonly string[]): Promise<ReadonlyMap<string, DataKey>> {
    const bytesOf = (owner: string): Buffer => createHash('sha256').update(owner).digest();
    return Promise.resolve(
      new Map(owners.map((owner) => [owner, { name: `${owner}#0123456789abcdef`, bytes: bytesOf(owner) }])),
    );
  }
  open(): Promise<ReadonlyMap<string, Buffer>> {
    return Promise.resolve(new Map());
  }
  destroy(): Promise<void> {
    return Promise.resolve();
  }
  standing(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }
}

const alice: Actor = { type: 'user', id: 'alice', via: 'key:key_0000000000000002' };
/** What no topic may ever hold. */
export const PRIVATE_COMMENT = 'for nobody but the auditors';
const EVENTS_AN_APPEND = 20;
const APPENDS_AT_ONCE = 16;

/** Streams of all three contexts that grow side by side, every event with a sealed private part; at least `count` events. */
export async function writeManyEvents(store: EventStore, count: number, streamCount: number): Promise<void> {
  const codec = new Codec(eventTypes, new DerivedDataKeys());
  const kinds = [
    { category: 'key', event: { type: 'KeyDisabled' as const, data: {} } },
    { category: 'tenant', event: { type: 'TenantSuspended' as const, data: {} } },
    { category: 'projectQuota', event: { type: 'ProjectQuotaUnfrozen' as const, data: {} } },
  ];
  const tails = Array.from({ length: streamCount }, (_, n) => ({
    kind: kinds[n % kinds.length] as (typeof kinds)[number],
    id: randomUUID(),
    last: undefined as StoredEvent | undefined,
  }));
  const rounds = Math.ceil(count / (streamCount * EVENTS_AN_APPEND));
  for (let round = 0; round < rounds; round += 1)
    for (let at = 0; at < tails.length; at += APPENDS_AT_ONCE)
      await Promise.all(
        tails.slice(at, at + APPENDS_AT_ONCE).map(async (tail) => {
          const stream = `${tail.kind.category}-${tail.id}`;
          const lastRevision = tail.last?.revision ?? 0;
          const commandId = randomUUID();
          const events = await codec.encode({
            stream,
            tenantId: 'acme',
            projectId: null,
            lastRevision,
            lastChainHash: tail.last?.chainHash ?? null,
            recordedAt: '2026-01-01T00:00:00.000Z',
            context: {
              commandId,
              correlationId: commandId,
              causationId: null,
              requestHash: null,
              actor: alice,
              actorPart: { ip: null, userAgent: null, comment: PRIVATE_COMMENT },
            },
            events: Array.from({ length: EVENTS_AN_APPEND }, () => tail.kind.event),
          });
          tail.last = (await store.append({ stream, expectedRevision: lastRevision, events })).events.at(-1);
        }),
      );
}

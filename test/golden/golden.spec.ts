import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { eventTypes } from '#libs/contracts';
import {
  Codec,
  commandIdOf,
  type DataKey,
  type DataKeys,
  eventIdOf,
  jcs,
  keyIdOfCommand,
  keyIdOfImport,
  reactionContext,
  requestHashOf,
  type StoredEvent,
} from '#libs/eventsourcing';
import { sampleEvents } from '#libs/testing';

/** `UPDATE_GOLDEN=1` writes the files anew; a change of one byte of what stands there already is a change of history. */
const update = process.env['UPDATE_GOLDEN'] === '1';
const eventsFile = new URL('./events.jsonl', import.meta.url);
const derivationsFile = new URL('./derivations.json', import.meta.url);

class NamedDataKeys implements DataKeys {
  obtain(owners: readonly string[]): Promise<ReadonlyMap<string, DataKey>> {
    return Promise.resolve(new Map(owners.map((owner) => [owner, this.keyOf(owner)])));
  }
  open(names: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    return Promise.resolve(new Map(names.map((name) => [name, this.keyOf(name.slice(0, -17)).bytes])));
  }
  destroy(): Promise<void> {
    return Promise.resolve();
  }
  standing(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }
  private keyOf(owner: string): DataKey {
    return { name: `${owner}#0123456789abcdef`, bytes: createHash('sha256').update(owner).digest() };
  }
}

async function encodeSamples(codec: Codec): Promise<StoredEvent[]> {
  const stored: StoredEvent[] = [];
  const tails = new Map<string, StoredEvent>();
  for (const [n, sample] of sampleEvents.entries()) {
    const tail = tails.get(sample.stream);
    const commandId = commandIdOf(['golden', n]);
    const [event] = await codec.encode({
      ...sample.scope,
      stream: sample.stream,
      lastRevision: tail?.revision ?? 0,
      lastChainHash: tail?.chainHash ?? null,
      recordedAt: `2026-01-01T00:00:00.${String(n).padStart(3, '0')}Z`,
      context: {
        commandId,
        correlationId: commandId,
        causationId: null,
        requestHash: n % 2 === 0 ? null : 'cd'.repeat(32),
        actor: sample.actor,
        actorPart: sample.actorPart,
      },
      events: [sample.event],
    });
    if (event === undefined) throw new Error('The codec lost an event.');
    const recorded: StoredEvent = {
      ...event,
      stream: sample.stream,
      revision: (tail?.revision ?? 0) + 1,
      position: String(n + 1).padStart(20, '0'),
      storedAt: '2026-01-01T00:00:00.000Z',
    };
    tails.set(sample.stream, recorded);
    stored.push(recorded);
  }
  return stored;
}

describe('golden files', () => {
  let ivs = 0;
  const codec = new Codec(eventTypes, new NamedDataKeys(), {}, () => {
    ivs += 1;
    return Buffer.alloc(12, ivs);
  });

  it('an envelope of every event type has the bytes and hashes that are checked in', async () => {
    const stored = await encodeSamples(codec);
    const lines = stored.map((event) =>
      JSON.stringify({
        envelope: event.envelope,
        leafHash: event.leafHash.toString('hex'),
        chainHash: event.chainHash.toString('hex'),
        privateParts: event.privateParts,
      }),
    );
    if (update) writeFileSync(eventsFile, lines.join('\n') + '\n');
    expect(lines).toEqual(readFileSync(eventsFile, 'utf8').trimEnd().split('\n'));
    expect(new Set(stored.map((event) => event.type))).toEqual(new Set(Object.keys(eventTypes)));
  });

  it('canonicalising a parsed envelope gives its bytes back, integer-like keys too', () => {
    for (const line of readFileSync(eventsFile, 'utf8').trimEnd().split('\n')) {
      const { envelope } = JSON.parse(line) as { envelope: string };
      expect(jcs(JSON.parse(envelope))).toBe(envelope);
    }
  });

  it('private parts of the golden events open to what went in', async () => {
    const stored = await encodeSamples(codec);
    for (const [n, sample] of sampleEvents.entries()) {
      const event = stored[n] as StoredEvent;
      if (sample.actorPart !== null)
        expect((await codec.openParts([event], 'actor')).get(event)).toEqual({ value: sample.actorPart });
    }
  });

  it('every derivation gives the value that is checked in', () => {
    const installationKey = Buffer.from('00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', 'hex');
    const commandId = commandIdOf(['req', 'acme', 'alice', 'POST', '/v1/projects/GOV112345/keys', 'once-1']);
    const digest = createHash('sha256').update('a token of another system').digest();
    const cause = { id: eventIdOf(commandId, 'project-GOV112345', 0), correlationId: commandId };
    const derived = {
      commandOfRequest: commandId,
      commandOfRequestWithoutTenant: commandIdOf(['req', null, 'bootstrap-admin', 'POST', '/v1/tenants', 'once-2']),
      commandOfReaction: reactionContext('key-offboarding', cause, 'key-9DC9pg4cMivLPKBD').commandId,
      commandOfReactionPart: reactionContext('key-offboarding', cause, 'key-9DC9pg4cMivLPKBD', 2).commandId,
      commandOfTime: commandIdOf(['time', 'key-9DC9pg4cMivLPKBD', 'expired', '', '2026-12-31T00:00:00.000Z']),
      eventId: eventIdOf(commandId, 'key-9DC9pg4cMivLPKBD', 0),
      keyIdOfCommand: keyIdOfCommand(installationKey, commandId),
      keyIdOfImport: keyIdOfImport(installationKey, digest),
      requestHash: requestHashOf(installationKey, 'POST', '/v1/tenants?dryRun=true', { b: 1, a: 'é' }),
    };
    if (update) writeFileSync(derivationsFile, JSON.stringify(derived, null, 2) + '\n');
    expect(derived).toEqual(JSON.parse(readFileSync(derivationsFile, 'utf8')));
  });
});

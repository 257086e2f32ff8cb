import { readFileSync, writeFileSync } from 'node:fs';
import { eventTypes } from '#libs/contracts';
import { type Envelope, leafHashOf, type SealedPart, type StoredEvent, UnknownEvent } from '#libs/eventsourcing';
import { eventTopics, messageOf, partitionOf } from '#libs/kafka';

/** `UPDATE_GOLDEN=1` writes the file anew; what stands there consumers rely on. */
const update = process.env['UPDATE_GOLDEN'] === '1';
const messagesFile = new URL('./kafka-messages.jsonl', import.meta.url);

const linesOf = (file: URL): string[] => readFileSync(file, 'utf8').trimEnd().split('\n');

interface GoldenEvent {
  readonly envelope: string;
  readonly leafHash: string;
  readonly chainHash: string;
  readonly privateParts: Record<string, SealedPart>;
}

const stored = linesOf(new URL('./events.jsonl', import.meta.url)).map((line, n): StoredEvent => {
  const golden = JSON.parse(line) as GoldenEvent;
  const { id, stream, revision, type, tenantId, projectId } = JSON.parse(golden.envelope) as Envelope;
  return {
    ...golden,
    id,
    stream,
    revision,
    type,
    tenantId,
    projectId,
    leafHash: Buffer.from(golden.leafHash, 'hex'),
    chainHash: Buffer.from(golden.chainHash, 'hex'),
    position: String(n + 1).padStart(20, '0'),
    storedAt: '2026-01-01T00:00:00.000Z',
  };
});

describe('messages on Kafka', () => {
  it('topic, key, partition of twelve, headers and value of every event type are those that are checked in', () => {
    const lines = stored.map((event) => {
      const { topic, key, headers, value } = messageOf(event);
      return JSON.stringify({ topic, key, partition: partitionOf(key, 12), headers, value: value.toString('base64') });
    });
    if (update) writeFileSync(messagesFile, lines.join('\n') + '\n');
    expect(lines).toEqual(linesOf(messagesFile));
    expect(new Set(stored.map(({ type }) => type))).toEqual(new Set(Object.keys(eventTypes)));
  });

  it('the value is the envelope to the byte, so that its leaf hash can be computed from it', () => {
    for (const event of stored) expect(leafHashOf(messageOf(event).value.toString('utf8'))).toEqual(event.leafHash);
  });

  it('nothing of a private part leaves but the name of its data key and its hash', () => {
    for (const event of stored) {
      const { headers, value } = messageOf(event);
      const text = JSON.stringify(headers) + value.toString('utf8');
      for (const { ciphertext, iv, tag } of Object.values(event.privateParts))
        for (const secret of [ciphertext, iv, tag]) expect(text).not.toContain(secret);
    }
  });

  it('all events of a stream go to one topic, and every topic is known beforehand', () => {
    const topics = new Map<string, Set<string>>();
    for (const event of stored)
      topics.set(event.stream, (topics.get(event.stream) ?? new Set()).add(messageOf(event).topic));
    expect([...topics.values()].every(({ size }) => size === 1)).toBe(true);
    expect([...eventTopics].sort()).toEqual(['steward.keys.events', 'steward.quotas.events', 'steward.tenancy.events']);
  });

  it('an event has the header of its cause where there is one, and a tenant where there is one', () => {
    const [event] = stored as [StoredEvent];
    const changed = (fields: Partial<Envelope>): StoredEvent => ({
      ...event,
      envelope: JSON.stringify({ ...(JSON.parse(event.envelope) as Envelope), ...fields }),
    });
    expect(messageOf(changed({ causationId: null, tenantId: null })).headers).not.toHaveProperty('ce_causationid');
    expect(messageOf(changed({ tenantId: null })).headers).not.toHaveProperty('ce_tenantid');
    expect(messageOf(changed({ causationId: 'c', tenantId: 'acme' })).headers).toMatchObject({
      ce_causationid: 'c',
      ce_tenantid: 'acme',
    });
    expect(() => messageOf(changed({ type: 'NeverHeardOf' }))).toThrow(UnknownEvent);
    expect(() => messageOf(changed({ schemaVersion: 99 }))).toThrow(UnknownEvent);
  });
});

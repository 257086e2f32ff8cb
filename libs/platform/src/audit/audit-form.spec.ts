import { eventTypes } from '#libs/contracts';
import { type CommandContext, Codec, FixedClock, MemoryDataKeys, MemoryEventStore } from '#libs/eventsourcing';
import { auditForms, auditMessage } from './audit-form.js';

const context: CommandContext = {
  commandId: '6f2c1c3e-5f0b-4c52-9a44-0d9a0d3f0a01',
  correlationId: '6f2c1c3e-5f0b-4c52-9a44-0d9a0d3f0a02',
  causationId: null,
  requestHash: null,
  actor: { type: 'user', id: 'alice', via: 'internal' },
  actorPart: { ip: '192.0.2.1', userAgent: null, comment: 'a new colleague' },
};

async function aMember(dataKeys: MemoryDataKeys, codec: Codec) {
  const stream = 'project-GOV1';
  const scope = { tenantId: 'acme', projectId: 'GOV1' };
  const person = { displayName: 'Bob', email: null };
  const events = await codec.encode({
    ...scope,
    stream,
    lastRevision: 0,
    lastChainHash: null,
    recordedAt: '2026-01-01T00:00:00.000Z',
    context,
    events: [{ type: 'MemberAdded', data: { userId: 'bob', role: 'tenant_user' }, private: { person } }],
  });
  const store = new MemoryEventStore(new FixedClock());
  return (await store.append({ stream, expectedRevision: 0, events })).events;
}

describe('the audit form', () => {
  const dataKeys = new MemoryDataKeys();
  const codec = new Codec(eventTypes, dataKeys);
  const all = { maySee: () => true };

  it('shows what the reader may see and hides the rest', async () => {
    const stored = await aMember(dataKeys, codec);
    const [event] = await auditForms(codec, stored, { maySee: (part) => part === 'person' });
    expect(event).toMatchObject({
      stream: 'project-GOV1',
      revision: 1,
      type: 'MemberAdded',
      data: { userId: 'bob', role: 'tenant_user' },
      private: { person: { displayName: 'Bob', email: null }, actor: { hidden: true } },
    });
    expect(event).not.toHaveProperty('raw');
  });

  it('has the bytes that were stored, if they are asked for', async () => {
    const stored = await aMember(dataKeys, codec);
    const [event] = await auditForms(codec, stored, { ...all, raw: true });
    expect(Buffer.from(event?.raw ?? '', 'base64').toString('utf8')).toBe(stored[0]?.envelope);
    expect(auditMessage(event as never)).toMatchObject({ raw: Buffer.from(stored[0]?.envelope ?? '') });
  });

  it('tells a part that was erased from one whose key is missing', async () => {
    const own = new MemoryDataKeys();
    const stored = await aMember(own, new Codec(eventTypes, own));
    await own.destroy(await own.standing('user:bob'));
    const erased = await auditForms(new Codec(eventTypes, own), stored, all);
    expect(erased[0]?.private['person']).toEqual({ erased: true });
    expect(erased[0]?.private['actor']).toEqual(context.actorPart);
    const missing = await auditForms(new Codec(eventTypes, new MemoryDataKeys()), stored, all);
    expect(missing[0]?.private).toEqual({ person: { missing: true }, actor: { missing: true } });
  });
});

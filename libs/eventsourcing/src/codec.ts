import type { StewardEvent } from '#libs/contracts';
import { jcs } from './canonical-json.js';
import { type DataKey, type DataKeys, openPart, randomIv, sealedHash, sealPart } from './data-keys.js';
import type { DomainEvent, EventMeta } from './decider.js';
import {
  type Actor,
  type ActorPart,
  APPEND_BYTES_MAX,
  chainHashOf,
  type Envelope,
  ENVELOPE_BYTES_MAX,
  eventIdOf,
  leafHashOf,
  type PrivateReference,
} from './envelope.js';
import { AppendTooLarge, type NewEvent, type SealedPart, type StoredEvent } from './event-store.js';

/** An event as the program reads it: today's shape of the data, the private parts still sealed. */
export interface RecordedEvent extends EventMeta {
  readonly id: string;
  readonly stream: string;
  readonly position: string;
  readonly storedAt: string;
  readonly type: StewardEvent['type'];
  readonly schemaVersion: number;
  readonly tenantId: string | null;
  readonly projectId: string | null;
  readonly correlationId: string;
  readonly causationId: string | null;
  readonly requestHash: string | null;
  readonly data: object;
  readonly private: Readonly<Record<string, PrivateReference>>;
  readonly leafHash: Buffer;
  readonly chainHash: Buffer;
}

/** A part that was opened, or why it cannot be. */
export type OpenedPart = { readonly value: unknown } | { readonly erased: true } | { readonly missing: true };

/** `type@n` to the data of version n + 1; pure, run on reading. */
export type Upcasters = Readonly<Record<string, (data: object) => object>>;

/** An unknown type, or a version that this release cannot read: whoever follows the stream stops, nothing is skipped. */
export class UnknownEvent extends Error {
  constructor(
    readonly stream: string,
    readonly revision: number,
    readonly type: string,
    readonly schemaVersion: number,
  ) {
    super(`${stream}/${revision} is a ${type} of version ${schemaVersion}, which this release cannot read.`);
    this.name = 'UnknownEvent';
  }
}

/** What the command brings to each of its events. */
export interface CommandContext {
  readonly commandId: string;
  readonly correlationId: string;
  readonly causationId: string | null;
  readonly requestHash: string | null;
  readonly actor: Actor;
  /** Always there for users; for services and projects only with a comment; null for the system. */
  readonly actorPart: ActorPart | null;
  /** What its events bear beside their envelopes, see traceCommand. */
  readonly traceparent?: string;
}

export interface StreamScope {
  readonly tenantId: string | null;
  readonly projectId: string | null;
}

export interface EncodeRequest extends StreamScope {
  readonly stream: string;
  readonly lastRevision: number;
  readonly lastChainHash: Buffer | null;
  readonly recordedAt: string;
  readonly context: CommandContext;
  readonly events: readonly DomainEvent[];
}

/** The owner of the data key that seals a part (docs/events.md, Private parts). */
function dataKeyOwner(part: string, event: DomainEvent, stream: string, actor: Actor): string {
  switch (part) {
    case 'verifier':
      return `key:key_${stream.slice('key-'.length)}`;
    case 'person':
      return `user:${(event.data as { userId: string }).userId}`;
    case 'actor':
      return `${actor.type}:${actor.id}`;
    default:
      throw new TypeError(`No private part is called ${part}.`);
  }
}

interface PlainPart {
  readonly part: string;
  readonly owner: string;
  readonly value: object;
}

/** What an event has of its own beside what it says. */
interface EventPlace {
  readonly id: string;
  readonly revision: number;
  readonly parts: Readonly<Record<string, SealedPart>>;
  readonly chainHash: Buffer | null;
}

/** Turns a typed event into an envelope and back, on every store. */
export class Codec {
  constructor(
    private readonly types: Readonly<Record<string, { schemaVersion: number }>>,
    private readonly dataKeys: DataKeys,
    private readonly upcasters: Upcasters = {},
    private readonly newIv: () => Buffer = randomIv,
  ) {}

  async encode(request: EncodeRequest): Promise<NewEvent[]> {
    const { stream, context } = request;
    const plain = request.events.map((event) => this.plainParts(event, stream, context));
    const owners = [...new Set(plain.flatMap((parts) => parts.map(({ owner }) => owner)))];
    const keys: ReadonlyMap<string, DataKey> = owners.length === 0 ? new Map() : await this.dataKeys.obtain(owners);

    let chainHash = request.lastChainHash;
    let sizeBytes = 0;
    return request.events.map((event, n) => {
      const revision = request.lastRevision + n + 1;
      const privateParts: Record<string, SealedPart> = {};
      for (const { part, owner, value } of plain[n] ?? []) {
        const key = keys.get(owner);
        if (key === undefined) throw new Error(`The data key of ${owner} was not obtained.`);
        privateParts[part] = sealPart(key, this.newIv(), stream, revision, part, jcs(value));
      }
      const id = eventIdOf(context.commandId, stream, n);
      const envelope = this.envelopeOf(request, event, { id, revision, parts: privateParts, chainHash });
      sizeBytes += Buffer.byteLength(envelope, 'utf8');
      if (sizeBytes > APPEND_BYTES_MAX) throw new AppendTooLarge(`The change is over ${APPEND_BYTES_MAX} bytes.`);
      const leafHash = leafHashOf(envelope);
      chainHash = chainHashOf(chainHash, leafHash);
      return {
        id,
        type: event.type,
        tenantId: request.tenantId,
        projectId: request.projectId,
        envelope,
        leafHash,
        chainHash,
        privateParts,
        ...(context.traceparent === undefined ? {} : { traceparent: context.traceparent }),
      };
    });
  }

  private plainParts(event: DomainEvent, stream: string, { actor, actorPart }: CommandContext): PlainPart[] {
    const parts: Record<string, object> = { ...event.private, ...(actorPart === null ? {} : { actor: actorPart }) };
    return Object.entries(parts).map(([part, value]) => ({
      part,
      value,
      owner: dataKeyOwner(part, event, stream, actor),
    }));
  }

  private envelopeOf(
    request: EncodeRequest,
    event: DomainEvent,
    { id, revision, parts, chainHash }: EventPlace,
  ): string {
    const { stream, context } = request;
    const type = this.types[event.type];
    if (type === undefined) throw new UnknownEvent(stream, revision, event.type, 0);
    // In the order of canonical JSON, which then has nothing to sort.
    const envelope: Envelope = {
      actor: context.actor,
      causationId: context.causationId,
      commandId: context.commandId,
      correlationId: context.correlationId,
      data: event.data,
      id,
      prev: chainHash === null ? null : chainHash.toString('hex'),
      private: Object.fromEntries(
        Object.entries(parts).map(([part, sealed]) => [part, { key: sealed.key, hash: sealedHash(sealed) }]),
      ),
      projectId: request.projectId,
      recordedAt: request.recordedAt,
      requestHash: context.requestHash,
      revision,
      schemaVersion: type.schemaVersion,
      stream,
      tenantId: request.tenantId,
      type: event.type,
      v: 1,
    };
    const text = jcs(envelope);
    const sizeBytes = Buffer.byteLength(text, 'utf8');
    if (sizeBytes > ENVELOPE_BYTES_MAX)
      throw new AppendTooLarge(`A ${event.type} of ${sizeBytes} bytes is over ${ENVELOPE_BYTES_MAX} bytes.`);
    return text;
  }

  decode(stored: StoredEvent): RecordedEvent {
    const envelope = JSON.parse(stored.envelope) as Envelope;
    const known = this.types[envelope.type];
    if (known === undefined || envelope.schemaVersion > known.schemaVersion)
      throw new UnknownEvent(stored.stream, stored.revision, envelope.type, envelope.schemaVersion);
    let data = envelope.data;
    for (let version = envelope.schemaVersion; version < known.schemaVersion; version += 1) {
      const upcast = this.upcasters[`${envelope.type}@${version}`];
      if (upcast === undefined) throw new UnknownEvent(stored.stream, stored.revision, envelope.type, version);
      data = upcast(data);
    }
    return {
      id: envelope.id,
      stream: stored.stream,
      revision: stored.revision,
      position: stored.position,
      storedAt: stored.storedAt,
      type: envelope.type as StewardEvent['type'],
      schemaVersion: known.schemaVersion,
      tenantId: envelope.tenantId,
      projectId: envelope.projectId,
      actor: envelope.actor,
      commandId: envelope.commandId,
      correlationId: envelope.correlationId,
      causationId: envelope.causationId,
      requestHash: envelope.requestHash,
      recordedAt: envelope.recordedAt,
      data,
      private: envelope.private,
      leafHash: stored.leafHash,
      chainHash: stored.chainHash,
    };
  }

  /** Opens one part of many events with one look at the data keys; events without the part are absent from the answer. */
  async openParts(events: readonly StoredEvent[], part: string): Promise<Map<StoredEvent, OpenedPart>> {
    const sealed = events.flatMap((event) => {
      const one = event.privateParts[part];
      return one === undefined ? [] : [{ event, one }];
    });
    const opened = new Map<StoredEvent, OpenedPart>();
    if (sealed.length === 0) return opened;
    const keys = await this.dataKeys.open([...new Set(sealed.map(({ one }) => one.key))]);
    for (const { event, one } of sealed) {
      const key = keys.get(one.key) ?? 'missing';
      if (key === 'destroyed') opened.set(event, { erased: true });
      else if (key === 'missing') opened.set(event, { missing: true });
      else opened.set(event, { value: JSON.parse(openPart(key, event.stream, event.revision, part, one)) });
    }
    return opened;
  }
}

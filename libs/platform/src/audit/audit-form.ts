import {
  type Actor,
  type Codec,
  ENVELOPE_BYTES_MAX,
  type OpenedPart,
  type RecordedEvent,
  type StoredEvent,
} from '#libs/eventsourcing';
import {
  BooleanField,
  CustomField,
  EnumField,
  IdField,
  IntegerField,
  ObjectField,
  ObjectListField,
  TextField,
  TimeField,
} from '../fields/fields.js';
import type { Principal } from '../auth/principal.js';

/** A private part as its reader may see it: its content, or why there is none. */
export type PartShown = Readonly<Record<string, unknown>>;

const TEXT = { max: 128 };
const nullable = { nullable: true } as const;
const AnyObject = (description: string): PropertyDecorator =>
  CustomField(() => undefined, { type: 'object', additionalProperties: true, description });

class ActorView {
  @EnumField(['user', 'service', 'project', 'system'])
  type!: Actor['type'];

  @IdField()
  id!: string;

  @TextField({ max: 512, description: '`key:key_<16>`, `oidc:<issuer>` or `internal`.' })
  via!: string;

  @IdField({ optional: true })
  onBehalfOf?: string;
}

/** What auditors read of an event (docs/events.md, Audit form). */
export class AuditedEvent {
  @TextField(TEXT)
  position!: string;

  @TimeField()
  storedAt!: string;

  @TextField(TEXT)
  eventId!: string;

  @TextField(TEXT)
  stream!: string;

  @IntegerField({ min: 1, max: Number.MAX_SAFE_INTEGER })
  revision!: number;

  @TextField(TEXT)
  type!: string;

  @IntegerField({ min: 1, max: 1_000 })
  schemaVersion!: number;

  @IdField(nullable)
  tenantId!: string | null;

  @IdField(nullable)
  projectId!: string | null;

  @ObjectField(() => ActorView)
  actor!: ActorView;

  @TextField(TEXT)
  commandId!: string;

  @TextField(TEXT)
  correlationId!: string;

  @TextField({ ...TEXT, ...nullable })
  causationId!: string | null;

  @TimeField()
  recordedAt!: string;

  @AnyObject('By the type of the event.')
  data!: object;

  @AnyObject('By part: its content, or `{erased: true}`, `{missing: true}` or `{hidden: true}`.')
  private!: Readonly<Record<string, PartShown>>;

  @TextField({ ...TEXT, description: 'Hex.' })
  leafHash!: string;

  @TextField({ ...TEXT, description: 'Hex.' })
  chainHash!: string;

  @TextField({
    max: 4 * Math.ceil(ENVELOPE_BYTES_MAX / 3),
    optional: true,
    description: 'With `?raw=true`: the bytes of the envelope, from which the hashes are made, in base64.',
  })
  raw?: string;
}

class HistoryPage {
  @TextField({ max: 2048, ...nullable })
  nextCursor!: string | null;

  @BooleanField()
  hasMore!: boolean;
}

export class AuditedEventList {
  @ObjectListField(() => AuditedEvent, { itemsMax: 200 })
  data!: AuditedEvent[];

  @ObjectField(() => HistoryPage)
  page!: HistoryPage;
}

export interface AuditFormOptions {
  /** Whether the reader may see this private part of the event. Nobody may see a verifier. */
  readonly maySee: (part: string, event: RecordedEvent) => boolean;
  /** Adds the envelope's bytes. */
  readonly raw?: boolean;
}

/** Events in the audit form. A private part that the reader may not see is not even opened. Throws UnknownEvent. */
export async function auditForms(
  codec: Codec,
  stored: readonly StoredEvent[],
  { maySee, raw = false }: AuditFormOptions,
): Promise<AuditedEvent[]> {
  const events = stored.map((one) => {
    const parts: Record<string, PartShown> = {};
    return { stored: one, event: codec.decode(one), parts };
  });
  const toOpen = new Map<string, typeof events>();
  for (const one of events)
    for (const part of Object.keys(one.event.private)) {
      one.parts[part] = { hidden: true };
      if (part === 'verifier' || !maySee(part, one.event)) continue;
      const seen = toOpen.get(part);
      if (seen === undefined) toOpen.set(part, [one]);
      else seen.push(one);
    }
  for (const [part, seen] of toOpen) {
    const opened = await codec.openParts(
      seen.map((one) => one.stored),
      part,
    );
    for (const one of seen) {
      const content: OpenedPart = opened.get(one.stored) ?? { missing: true };
      one.parts[part] = 'value' in content ? (content.value as PartShown) : content;
    }
  }
  return events.map(({ stored: { envelope }, event, parts }) => {
    const form = auditForm(event, parts);
    if (raw) form.raw = Buffer.from(envelope, 'utf8').toString('base64');
    return form;
  });
}

/** Whether the reader did it. */
export const isActOf = ({ actor }: RecordedEvent, { type, id }: Principal): boolean =>
  actor.type === type && actor.id === id;

/** The message of steward/v1/audit.proto. */
export const auditMessage = ({ data, private: parts, raw, ...others }: AuditedEvent): object => ({
  ...others,
  dataJson: JSON.stringify(data),
  privateJson: JSON.stringify(parts),
  ...(raw === undefined ? {} : { raw: Buffer.from(raw, 'base64') }),
});

function auditForm(event: RecordedEvent, parts: Readonly<Record<string, PartShown>>): AuditedEvent {
  return {
    position: event.position,
    storedAt: event.storedAt,
    eventId: event.id,
    stream: event.stream,
    revision: event.revision,
    type: event.type,
    schemaVersion: event.schemaVersion,
    tenantId: event.tenantId,
    projectId: event.projectId,
    actor: event.actor,
    commandId: event.commandId,
    correlationId: event.correlationId,
    causationId: event.causationId,
    recordedAt: event.recordedAt,
    data: event.data,
    private: parts,
    leafHash: event.leafHash.toString('hex'),
    chainHash: event.chainHash.toString('hex'),
  };
}

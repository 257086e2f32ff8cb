import type { Actor, RecordedEvent } from '#libs/eventsourcing';
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
} from '#libs/platform';

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

export function auditForm(event: RecordedEvent, parts: Readonly<Record<string, PartShown>>): AuditedEvent {
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

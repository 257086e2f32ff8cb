import type { Actor, RecordedEvent } from '#libs/eventsourcing';

/** A private part as its reader may see it: its content, or why there is none. */
export type PartShown = Readonly<Record<string, unknown>>;

/** What auditors read of an event (docs/events.md, Audit form). */
export interface AuditedEvent {
  readonly position: string;
  readonly storedAt: string;
  readonly eventId: string;
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
  readonly schemaVersion: number;
  readonly tenantId: string | null;
  readonly projectId: string | null;
  readonly actor: Actor;
  readonly commandId: string;
  readonly correlationId: string;
  readonly causationId: string | null;
  readonly recordedAt: string;
  readonly data: object;
  readonly private: Readonly<Record<string, PartShown>>;
  /** Hex. */
  readonly leafHash: string;
  /** Hex. */
  readonly chainHash: string;
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

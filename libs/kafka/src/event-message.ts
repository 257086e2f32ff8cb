import { type EventContext, eventTypes } from '#libs/contracts';
import { type Envelope, type StoredEvent, UnknownEvent } from '#libs/eventsourcing';

/** What goes to Kafka: a key, the bytes, and headers that are text. */
export interface OutgoingMessage {
  readonly topic: string;
  readonly key: string;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

export const topicOf = (context: EventContext): string => `steward.${context}.events`;

/** Where each context's events stand. */
export const eventTopics: readonly string[] = [
  ...new Set(Object.values(eventTypes).map(({ context }) => topicOf(context))),
];

/**
 * An event as a CloudEvent in binary mode (docs/events.md, On Kafka). The value is the envelope to the byte, so that its
 * leaf hash can be computed from it; sealed parts stay behind. Throws UnknownEvent for a type or version that this release
 * does not know: its topic and schema would be a guess.
 */
export function messageOf(event: StoredEvent): OutgoingMessage {
  const envelope = JSON.parse(event.envelope) as Envelope;
  const known = (eventTypes as Readonly<Partial<Record<string, (typeof eventTypes)['KeyCreated']>>>)[envelope.type];
  if (known === undefined || envelope.schemaVersion > known.schemaVersion)
    throw new UnknownEvent(event.stream, event.revision, envelope.type, envelope.schemaVersion);
  return {
    topic: topicOf(known.context),
    key: event.stream,
    value: Buffer.from(event.envelope, 'utf8'),
    headers: {
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_id: envelope.id,
      ce_source: `/steward/${known.context}`,
      ce_type: `steward.${known.context}.${envelope.type}.v${envelope.schemaVersion}`,
      ce_subject: event.stream,
      ce_time: envelope.recordedAt,
      ce_sequence: String(event.revision),
      ce_position: event.position,
      // An attribute of a CloudEvent has no null: what has no value is absent.
      ...(envelope.tenantId === null ? {} : { ce_tenantid: envelope.tenantId }),
      ce_correlationid: envelope.correlationId,
      ...(envelope.causationId === null ? {} : { ce_causationid: envelope.causationId }),
      ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent }),
    },
  };
}

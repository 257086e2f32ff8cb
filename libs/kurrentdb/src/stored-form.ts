import type { JSONEventData } from '@eventstore/db-client';
import { categories, categoryOf } from '#libs/contracts';
import { isTraceparent, jcs, type NewEvent, type SealedPart, type StoredEvent } from '#libs/eventsourcing';
import { type LogPosition, positionOf } from './positions.js';

/** What stands in an event's metadata: all that is not the envelope. */
interface StoredMetadata {
  /** Of one call of append: who finds it on what stands knows that it wrote it itself. */
  readonly appendId: string;
  readonly tenantId: string | null;
  readonly projectId: string | null;
  readonly leafHash: string;
  readonly chainHash: string;
  readonly privateParts: Readonly<Record<string, SealedPart>>;
  readonly traceparent?: string;
  /** What the server's own tools and projections find related events by. */
  readonly $correlationId?: string;
  readonly $causationId?: string;
}

/** An event as the client hands it over. */
export interface Recorded {
  readonly streamId: string;
  readonly id: string;
  readonly revision: bigint;
  readonly type: string;
  readonly data: unknown;
  readonly metadata?: unknown;
  readonly isJson: boolean;
  readonly created: Date;
  readonly position?: LogPosition;
}

export interface ReadEvent {
  readonly event: StoredEvent;
  readonly appendId: string;
}

/** In a stream of ours stands an event that Steward did not write: what follows it must not pass it by. */
export class ForeignEvent extends Error {
  constructor(stream: string, revision: number) {
    super(`${stream}/${revision} was not written by Steward. Give Steward an event store of its own.`);
    this.name = 'ForeignEvent';
  }
}

const ledgerCategories: ReadonlySet<string> = new Set(categories);
const UNKNOWN_POSITION = 2n ** 64n - 1n;

/**
 * A JSON event, so that the server's own tools can read it. It comes back parsed, so only canonical text comes back to
 * the byte, and any other is refused. Throws TypeError.
 */
export function proposedOf(event: NewEvent, appendId: string): JSONEventData {
  const data = JSON.parse(event.envelope) as Record<string, unknown>;
  if (jcs(data) !== event.envelope) throw new TypeError('An envelope is canonical JSON.');
  const { correlationId, causationId } = data;
  const metadata: StoredMetadata = {
    appendId,
    tenantId: event.tenantId,
    projectId: event.projectId,
    leafHash: event.leafHash.toString('hex'),
    chainHash: event.chainHash.toString('hex'),
    privateParts: event.privateParts,
    ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent }),
    ...(typeof correlationId === 'string' ? { $correlationId: correlationId } : {}),
    ...(typeof causationId === 'string' ? { $causationId: causationId } : {}),
  };
  return { id: event.id, type: event.type, contentType: 'application/json', data, metadata: { ...metadata } };
}

/** The position of any record, the server's own too. */
export function recordPosition({ position, streamId }: Recorded): string {
  if (position === undefined || position.commit === UNKNOWN_POSITION)
    throw new Error(`The event store does not tell the position of an event of ${streamId}: it must be 22.6 or later.`);
  return positionOf(position);
}

/** True for what Steward wrote; a look at the outside alone. */
export const isOfLedger = ({ streamId, type, metadata }: Recorded): boolean =>
  !streamId.startsWith('$') &&
  !type.startsWith('$') &&
  typeof (metadata as Partial<StoredMetadata> | undefined)?.leafHash === 'string';

/** Many followers are handed the same record, and making the canonical text is what costs. */
const readAlready = new WeakMap<Recorded, ReadEvent>();

/** Undefined for the server's own events and those of streams that are none of Steward's. Throws ForeignEvent. */
export function readEventOf(recorded: Recorded): ReadEvent | undefined {
  const already = readAlready.get(recorded);
  if (already !== undefined) return already;
  const read = decoded(recorded);
  if (read !== undefined) readAlready.set(recorded, read);
  return read;
}

function decoded(recorded: Recorded): ReadEvent | undefined {
  const { streamId: stream, type } = recorded;
  if (stream.startsWith('$') || type.startsWith('$')) return undefined;
  const revision = Number(recorded.revision) + 1;
  const metadata = recorded.metadata as Partial<StoredMetadata> | undefined;
  if (!recorded.isJson || typeof metadata?.leafHash !== 'string' || typeof metadata.chainHash !== 'string') {
    if (ledgerCategories.has(categoryOf(stream))) throw new ForeignEvent(stream, revision);
    return undefined;
  }
  return {
    appendId: metadata.appendId ?? '',
    event: {
      id: recorded.id,
      stream,
      revision,
      type,
      tenantId: metadata.tenantId ?? null,
      projectId: metadata.projectId ?? null,
      envelope: jcs(recorded.data),
      leafHash: Buffer.from(metadata.leafHash, 'hex'),
      chainHash: Buffer.from(metadata.chainHash, 'hex'),
      privateParts: metadata.privateParts ?? {},
      position: recordPosition(recorded),
      storedAt: recorded.created.toISOString(),
      ...(isTraceparent(metadata.traceparent) ? { traceparent: metadata.traceparent } : {}),
    },
  };
}

import { correlationIdOf, envelopeStartOf } from './envelope.js';
import type { EventFilter, StoredEvent } from './event-store.js';

const isWithin = (event: StoredEvent, { tenantIds, projectIds }: NonNullable<EventFilter['within']>): boolean =>
  (event.tenantId !== null && tenantIds.includes(event.tenantId)) ||
  (event.projectId !== null && projectIds.includes(event.projectId));

/** For stores that cannot leave the choice to a server. */
export function matchesFilter(event: StoredEvent, filter: EventFilter | undefined): boolean {
  if (filter === undefined) return true;
  const category = event.stream.split('-', 1)[0] ?? '';
  return (
    (filter.tenantId === undefined || filter.tenantId === event.tenantId) &&
    (filter.projectId === undefined || filter.projectId === event.projectId) &&
    (filter.within === undefined || isWithin(event, filter.within)) &&
    (filter.categories?.includes(category) ?? true) &&
    (filter.types?.includes(event.type) ?? true) &&
    (filter.stream === undefined || filter.stream === event.stream) &&
    (filter.streamPrefix === undefined || event.stream.startsWith(filter.streamPrefix)) &&
    (filter.actorId === undefined || event.envelope.startsWith(envelopeStartOf(filter.actorId))) &&
    (filter.correlationId === undefined || correlationIdOf(event.envelope) === filter.correlationId)
  );
}

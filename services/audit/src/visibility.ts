import { categoryOf, idOf } from '#libs/contracts';
import type { EventFilter, RecordedEvent, StoredEvent } from '#libs/eventsourcing';
import { isActOf, type KeyDirectory, permits, type Principal, type VisibleScope } from '#libs/platform';

/** Who reads what of the history (docs/guides/audit.md). */

export type OwnerOf = (keyId: string) => ReturnType<KeyDirectory['find']>;

/** Whether any of the reader's rules shows the event; of the own ones, those on keys that are the reader's now. */
export function isVisible(event: StoredEvent, visible: readonly VisibleScope[], find: OwnerOf): boolean {
  return visible.some((scope) => {
    switch (scope.kind) {
      case 'all':
        return true;
      case 'tenant':
        return event.tenantId === scope.tenantId;
      case 'project':
        return event.projectId === scope.projectId;
      case 'own': {
        if (event.projectId !== scope.projectId || categoryOf(event.stream) !== 'key') return false;
        const owner = find(`key_${idOf(event.stream)}`)?.owner;
        return owner?.type === scope.ownerType && owner.id === scope.ownerId;
      }
    }
  });
}

/** The filter narrowed to where the reader may see anything at all, so that the store reads little in vain. */
export function narrowed(filter: EventFilter, visible: readonly VisibleScope[]): EventFilter {
  if (visible.some(({ kind }) => kind === 'all')) return filter;
  const tenantIds = [...new Set(visible.flatMap((scope) => (scope.kind === 'tenant' ? [scope.tenantId] : [])))];
  const projectIds = [...new Set(visible.flatMap((scope) => ('projectId' in scope ? [scope.projectId] : [])))];
  const inKeys = visible.every(({ kind }) => kind === 'own') ? { categories: ['key'] } : {};
  const [tenantId] = tenantIds;
  const [projectId] = projectIds;
  if (tenantId !== undefined && tenantIds.length + projectIds.length === 1 && filter.tenantId === undefined)
    return { ...filter, tenantId };
  if (projectId !== undefined && tenantIds.length + projectIds.length === 1 && filter.projectId === undefined)
    return { ...filter, ...inKeys, projectId };
  return { ...filter, ...inKeys, within: { tenantIds, projectIds } };
}

/**
 * Where somebody acted from is seen by whoever audits the place, and of the own acts by oneself; names and addresses of
 * members by whoever may read the member.
 */
export function maySee(principal: Principal, part: string, event: RecordedEvent): boolean {
  const { tenantId, projectId } = event;
  switch (part) {
    case 'actor':
      return isActOf(event, principal) || permits(principal, 'audit:read', { tenantId, projectId });
    case 'person': {
      const { userId } = event.data as { userId: string };
      return permits(principal, 'members:read', { tenantId, projectId, userId });
    }
    default:
      return false;
  }
}

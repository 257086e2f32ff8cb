import { idOf, type MemberRole, type PersonPart, type ProjectEvent, type SubjectEvent } from '#libs/contracts';
import type { OpenedEvent } from '#libs/eventsourcing';
import { type PlaceOf, placeKey } from './quota-rows.js';

export interface MemberRow {
  readonly project_id: string;
  readonly user_id: string;
  readonly role: MemberRole;
  readonly display_name: string | null;
}

type MemberEvent = ProjectEvent | SubjectEvent;

/** The members whose standing rows must be known before the page can be applied. */
export const membersNamedIn = (events: readonly OpenedEvent[]): PlaceOf[] =>
  events.flatMap((event) => {
    const { type, data } = event as unknown as MemberEvent;
    return type === 'MemberRoleChanged' || type === 'MemberProfileChanged'
      ? [{ projectId: idOf(event.stream), id: data.userId }]
      : [];
  });

/** The name as the event bears it; null if the part is not there, was erased or is missing. */
function nameOf(event: OpenedEvent): string | null {
  const part = event.opened['person'];
  return part !== undefined && 'value' in part ? (part.value as PersonPart).displayName : null;
}

/** Folds a page of tenancy's events into the members that the quota page shows. */
export class MemberChanges {
  /** Null for one who left. */
  readonly rows = new Map<string, MemberRow | null>();
  /** Whose names are wiped before `rows` are written. */
  readonly erased: string[] = [];

  constructor(private readonly standing: Map<string, MemberRow>) {}

  add(event: OpenedEvent): void {
    const { type, data } = event as unknown as MemberEvent;
    const projectId = idOf(event.stream);
    switch (type) {
      case 'MemberAdded':
        this.set({ project_id: projectId, user_id: data.userId, role: data.role, display_name: nameOf(event) });
        return;
      case 'MemberRoleChanged':
        this.set({ ...this.member(projectId, data.userId), role: data.to });
        return;
      case 'MemberProfileChanged':
        this.set({ ...this.member(projectId, data.userId), display_name: nameOf(event) });
        return;
      case 'MemberRemoved':
        this.rows.set(placeKey(projectId, data.userId), null);
        return;
      case 'SubjectErased':
        this.erase(data.subjectId);
        return;
      case 'ProjectCreated':
      case 'ProjectClosed':
      case 'MemberSuspended':
      case 'MemberResumed':
      case 'ServiceAccessGranted':
      case 'ServiceAccessRevoked':
      case 'KeyPolicySet':
      case 'KeyPolicyRemoved':
        return;
    }
  }

  private set(row: MemberRow): void {
    this.rows.set(placeKey(row.project_id, row.user_id), row);
  }

  private member(projectId: string, userId: string): MemberRow {
    const key = placeKey(projectId, userId);
    const row = this.rows.has(key) ? this.rows.get(key) : this.standing.get(key);
    if (row === undefined || row === null) throw new Error(`The member ${userId} of ${projectId} is not there.`);
    return row;
  }

  private erase(userId: string): void {
    this.erased.push(userId);
    for (const rows of [this.rows, this.standing] as Map<string, MemberRow | null>[])
      for (const [key, row] of rows) if (row?.user_id === userId) rows.set(key, { ...row, display_name: null });
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { type MemberRole, type PersonPart, type ProjectEvent, projectStream } from '#libs/contracts';
import type { Ledger, StoredEvent } from '#libs/eventsourcing';
import { LEDGER } from '#libs/platform';

export interface ProjectMember {
  readonly userId: string;
  readonly role: MemberRole;
  readonly displayName: string | null;
}

interface Found {
  readonly role: MemberRole;
  /** The event that last said how the person is called. */
  readonly named: StoredEvent | null;
}

/** The members of a project as its stream has them, by id. */
@Injectable()
export class ProjectMembers {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  async of(projectId: string): Promise<ProjectMember[]> {
    const { store, codec } = this.ledger;
    const members = new Map<string, Found>();
    for (const stored of await store.readStream(projectStream(projectId))) {
      const event = codec.decode(stored) as unknown as ProjectEvent;
      const named = 'person' in stored.privateParts ? stored : null;
      if (event.type === 'MemberAdded') members.set(event.data.userId, { role: event.data.role, named });
      else if (event.type === 'MemberRemoved') members.delete(event.data.userId);
      else if (event.type === 'MemberProfileChanged' || event.type === 'MemberRoleChanged') {
        const member = members.get(event.data.userId);
        if (member === undefined) continue;
        const role = event.type === 'MemberRoleChanged' ? event.data.to : member.role;
        members.set(event.data.userId, { role, named: named ?? member.named });
      }
    }
    const parts = await codec.openParts(
      [...members.values()].flatMap(({ named }) => named ?? []),
      'person',
    );
    return [...members]
      .map(([userId, { role, named }]) => {
        const part = named === null ? undefined : parts.get(named);
        const person = part !== undefined && 'value' in part ? (part.value as PersonPart) : null;
        return { userId, role, displayName: person?.displayName ?? null };
      })
      .sort((a, b) => (a.userId < b.userId ? -1 : 1));
  }
}

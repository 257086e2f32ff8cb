import { Inject, Injectable } from '@nestjs/common';
import { type PersonPart, projectStream } from '#libs/contracts';
import type { Ledger } from '#libs/eventsourcing';
import { LEDGER } from '#libs/platform';

export const NOBODY: PersonPart = { displayName: null, email: null };

/** Names and e-mails of members: private parts of the project's events, opened one at a time. */
@Injectable()
export class People {
  constructor(@Inject(LEDGER) private readonly ledger: Ledger) {}

  /** As the event at that revision has it; nulls if none was given or it was erased since. */
  async at(projectId: string, revision: number | null): Promise<PersonPart> {
    if (revision === null) return NOBODY;
    const [event] = await this.ledger.store.readStream(projectStream(projectId), { from: revision, to: revision });
    if (event === undefined) return NOBODY;
    const part = (await this.ledger.codec.openParts([event], 'person')).get(event);
    return part !== undefined && 'value' in part ? (part.value as PersonPart) : NOBODY;
  }
}

import { Injectable } from '@nestjs/common';
import { type KeyEvent, type KeyOwner, keyStream } from '#libs/contracts';
import type { EventIndex, OpenedEvent } from '#libs/eventsourcing';
import { KeyDirectory, type KeyEntry } from '#libs/platform';

/**
 * Whose each key is, by following the log; deleted keys too. Of most owners there are many keys, so an owner at a place
 * stands once and each key is a name and a reference. Nobody appends events of keys in this process, so they come in the
 * order of the log and without gaps.
 */
@Injectable()
export class KeyOwners extends KeyDirectory implements EventIndex {
  readonly categories = ['key'];
  readonly parts = [];
  private readonly entries = new Map<string, KeyEntry>();
  private readonly byStream = new Map<string, KeyEntry>();

  get size(): number {
    return this.byStream.size;
  }

  override find(keyId: string): KeyEntry | undefined {
    return this.byStream.get(keyStream(keyId));
  }

  apply(recorded: OpenedEvent): 'applied' {
    const { stream } = recorded;
    // Only streams of keys come here, and every event of those is one of KeyEvent's.
    const event = recorded as unknown as KeyEvent;
    const known = this.byStream.get(stream);
    if (event.type === 'KeyCreated' || event.type === 'KeyImported')
      this.byStream.set(stream, this.entry(recorded, event.data.owner, false));
    else if (event.type === 'KeyOwnershipTransferred')
      this.byStream.set(stream, this.entry(recorded, event.data.to, false));
    else if (event.type === 'KeyDeleted' && known !== undefined)
      this.byStream.set(stream, this.entry(known, known.owner, true));
    return 'applied';
  }

  private entry(
    { tenantId, projectId }: Pick<KeyEntry, 'tenantId' | 'projectId'>,
    { type, id, role }: KeyOwner,
    deleted: boolean,
  ): KeyEntry {
    const name = JSON.stringify([tenantId, projectId, type, id, role, deleted]);
    let entry = this.entries.get(name);
    if (entry === undefined) {
      entry = { tenantId, projectId, owner: { type, id, role }, deleted };
      this.entries.set(name, entry);
    }
    return entry;
  }
}

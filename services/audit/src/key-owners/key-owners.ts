import { Injectable } from '@nestjs/common';
import { idOf, type KeyEvent, type KeyOwner } from '#libs/contracts';
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
  private readonly keys = new Map<string, KeyEntry>();

  get size(): number {
    return this.keys.size;
  }

  override find(keyId: string): KeyEntry | undefined {
    return this.keys.get(keyId.slice(PREFIX.length));
  }

  apply(recorded: OpenedEvent): 'applied' {
    const id = idOf(recorded.stream);
    const event = recorded as unknown as KeyEvent;
    const known = this.keys.get(id);
    if (event.type === 'KeyCreated' || event.type === 'KeyImported')
      this.keys.set(id, this.entry(recorded, event.data.owner, false));
    else if (event.type === 'KeyOwnershipTransferred') this.keys.set(id, this.entry(recorded, event.data.to, false));
    else if (event.type === 'KeyDeleted' && known !== undefined)
      this.keys.set(id, this.entry(known, known.owner, true));
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

const PREFIX = 'key_';

import type { Envelope, LedgerRow } from '#libs/eventsourcing';
import type { DataKeyState, FullRead } from '#libs/postgres';
import type { Fault } from './fault.js';
import { isEnvelope, jsonOf } from './stream-check.js';

/** Within this time of its event a destruction need not be done: the reactor has 5 s, and the check its own delay. */
const DESTRUCTION_MS_MAX = 10_000;
const DELETIONS = ['KeyDeleted', 'SubjectErased'];

type Keys = Pick<FullRead, 'dataKeys' | 'destroyedDataKeys' | 'envelopes'>;

interface Named {
  readonly row: LedgerRow;
  readonly envelope: Envelope;
}

const namesIn = (envelope: Envelope): string[] => {
  const { dataKeys } = envelope.data as { dataKeys?: unknown };
  return Array.isArray(dataKeys) ? dataKeys.filter((name) => typeof name === 'string') : [];
};

const keyOwnerOf = (stream: string): string => `key:key_${stream.slice('key-'.length)}`;

/**
 * The keys of private parts: each is there or was destroyed, what a deletion names is destroyed, and what is destroyed
 * was named by a deletion.
 */
export class DataKeyCheck {
  constructor(
    private readonly keys: Keys,
    private readonly nowMs: number,
    private readonly onFault: (fault: Fault) => void,
  ) {}

  async page(events: readonly Named[]): Promise<void> {
    const deletions = events.filter(({ row, envelope }) => this.isDue(row, envelope));
    const names = events.flatMap(({ envelope }) => Object.values(envelope.private).map(({ key }) => key));
    const deleted = deletions.flatMap(({ envelope }) => namesIn(envelope));
    // A key's own data key must be gone whether or not the event named all of them.
    const owners = deletions.flatMap(({ row }) => (row.type === 'KeyDeleted' ? [keyOwnerOf(row.stream)] : []));
    const found = await this.keys.dataKeys([...new Set([...names, ...deleted])], owners);
    const states = new Map(found.map((key) => [key.name, key]));

    for (const { row, envelope } of events)
      for (const [part, { key }] of Object.entries(envelope.private))
        if (!states.has(key))
          this.onFault({
            ...placeOf(row),
            kind: 'data-key-missing',
            detail: `the data key of the part ${part} is lost`,
          });
    for (const { row, envelope } of deletions) {
      const wanted = new Set(namesIn(envelope));
      const standing = found.filter(
        ({ name, owner, destroyed }) =>
          !destroyed && (wanted.has(name) || (row.type === 'KeyDeleted' && owner === keyOwnerOf(row.stream))),
      );
      for (const name of [...standing.map((key) => key.name), ...[...wanted].filter((one) => !states.has(one))])
        this.onFault({
          ...placeOf(row),
          kind: 'destruction-outstanding',
          detail: `the data key ${name} is not destroyed yet; a running Steward does it within seconds`,
        });
    }
  }

  /** Every destroyed key, whether or not an event refers to it. Answers how many. */
  async destroyed(): Promise<number> {
    let count = 0;
    for await (const page of this.keys.destroyedDataKeys()) {
      count += page.length;
      const streams = page.map(deletionStreamOf).filter((stream) => stream !== undefined);
      const envelopes = (await this.keys.envelopes([...new Set(streams)], DELETIONS)).map(jsonOf).filter(isEnvelope);
      const named = new Set(envelopes.flatMap(namesIn));
      for (const key of page)
        if (deletionStreamOf(key) !== undefined && !named.has(key.name))
          this.onFault({
            kind: 'data-key-destroyed-unasked',
            detail: `the data key ${key.name} is destroyed, and no event asked for it`,
          });
    }
    return count;
  }

  private isDue(row: LedgerRow, envelope: Envelope): boolean {
    return DELETIONS.includes(envelope.type) && Date.parse(row.storedAt) + DESTRUCTION_MS_MAX <= this.nowMs;
  }
}

/** Where the event stands that may destroy it; undefined for keys that no event of the log names. */
function deletionStreamOf({ owner }: DataKeyState): string | undefined {
  const [, kind, id] = /^([a-z]+):(.*)$/s.exec(owner) ?? [];
  if (kind === 'key') return `key-${id?.slice('key_'.length) ?? ''}`;
  return kind === 'user' || kind === 'service' || kind === 'project' ? `subject-${id ?? ''}` : undefined;
}

const placeOf = ({ stream, revision, position }: LedgerRow): Pick<Fault, 'stream' | 'revision' | 'position'> => ({
  stream,
  revision,
  position,
});

import {
  chainHashOf,
  type Envelope,
  eventIdOf,
  jcs,
  leafHashOf,
  type LedgerRow,
  type PrivateReference,
  sealedHash,
  type SealedPart,
} from '#libs/eventsourcing';
import type { Fault, FaultKind } from './fault.js';

/** Of the program's clock, which is a sample of the store's: so far it may run ahead. */
const CLOCK_TOLERANCE_MS = 1_000;

/** How far an id is looked for behind a gap. */
const GONE_MAX = 1_000;

const RFC_3339_MS = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;

export interface StreamCheckOptions {
  readonly types: Readonly<Record<string, { readonly schemaVersion: number }>>;
  /** Now, by the store's clock, ms since the epoch. */
  readonly nowMs: number;
  readonly onFault: (fault: Fault) => void;
  /** How many events before this revision the command has written to the stream. */
  readonly countOfCommand: (stream: string, beforeRevision: number, commandId: string) => Promise<number>;
}

/** What must be known of the event before, to judge the next of its stream. */
interface Before {
  readonly row: LedgerRow;
  readonly envelope: Envelope | undefined;
  /** The place of the event among its command's own. */
  readonly nth: number;
}

/**
 * Holds every event of the ledger, given by stream and revision, against docs/events.md. It remembers one event, so a
 * stream may be of any length. A fault is told once: hashes are compared with what is stored before, not with what a
 * fault before it would have made of them.
 */
export class StreamCheck {
  private before: Before | undefined;
  /** How many revisions of the stream are not there. */
  private gone = 0;
  streams = 0;
  events = 0;

  constructor(private readonly options: StreamCheckOptions) {}

  /** Answers the parsed envelope, or undefined if it is none. */
  async event(row: LedgerRow): Promise<Envelope | undefined> {
    this.events += 1;
    if (this.before?.row.stream !== row.stream) this.endStream();
    const before = this.before;
    if (before === undefined) this.streams += 1;
    const follows = row.revision === (before?.row.revision ?? 0) + 1;
    if (!follows) {
      this.gone += row.revision - (before?.row.revision ?? 0) - 1;
      this.fault(row, 'revision-gap', `the revision before it is ${before?.row.revision ?? 0}`);
    }

    const envelope = this.parsed(row);
    this.hashes(row, follows ? before : undefined, follows);
    let nth = 0;
    if (envelope !== undefined) {
      this.columns(row, envelope);
      this.type(row, envelope);
      this.privateParts(row, envelope);
      if (follows) this.previous(row, envelope, before);
      this.recordedAt(row, envelope, before?.envelope);
      nth = await this.eventId(row, envelope, before);
    }
    this.before = { row, envelope, nth };
    return envelope;
  }

  end(): void {
    this.endStream();
  }

  private endStream(): void {
    if (this.before === undefined) return;
    const { row, envelope } = this.before;
    this.before = undefined;
    this.gone = 0;
    const at = envelope?.recordedAt;
    if (typeof at === 'string' && Date.parse(at) > this.options.nowMs + CLOCK_TOLERANCE_MS)
      this.fault(row, 'future', `the stream's last event is recorded at ${at}, which is still to come`);
  }

  private fault({ stream, revision, position }: LedgerRow, kind: FaultKind, detail: string): void {
    this.options.onFault({ kind, stream, revision, position, detail });
  }

  private parsed(row: LedgerRow): Envelope | undefined {
    const { envelope: text } = row;
    const value = jsonOf(text);
    if (!isEnvelope(value)) {
      this.fault(row, 'envelope-malformed', 'the envelope is not a JSON object with the fields of version 1');
      return undefined;
    }
    if (canonical(value) !== text) this.fault(row, 'envelope-not-canonical', 'the bytes are not canonical JSON');
    return value;
  }

  private hashes(row: LedgerRow, before: Before | undefined, follows: boolean): void {
    if (!leafHashOf(row.envelope).equals(row.leafHash))
      this.fault(row, 'leaf-hash', 'the envelope does not have the stored leaf hash');
    if (follows && !chainHashOf(before?.row.chainHash ?? null, row.leafHash).equals(row.chainHash))
      this.fault(row, 'chain-hash', 'the chain hash does not follow from the event before');
  }

  private previous(row: LedgerRow, envelope: Envelope, before: Before | undefined): void {
    if (envelope.prev !== (before?.row.chainHash.toString('hex') ?? null))
      this.fault(row, 'previous-hash', 'the envelope names another chain hash of the event before');
  }

  private columns(row: LedgerRow, envelope: Envelope): void {
    const pairs = {
      stream: row.stream === envelope.stream,
      revision: row.revision === envelope.revision,
      event_id: row.id === envelope.id,
      type: row.type === envelope.type,
      tenant_id: row.tenantId === envelope.tenantId,
      project_id: row.projectId === envelope.projectId,
    };
    const wrong = Object.entries(pairs).flatMap(([column, equal]) => (equal ? [] : [column]));
    if (wrong.length > 0) this.fault(row, 'column-mismatch', `not as in the envelope: ${wrong.join(', ')}`);
  }

  private type(row: LedgerRow, envelope: Envelope): void {
    const known = this.options.types[envelope.type];
    if (known === undefined) this.fault(row, 'type-unknown', `this release knows no type ${envelope.type}`);
    else if (envelope.schemaVersion > known.schemaVersion)
      this.fault(row, 'type-unknown', `this release knows no version ${envelope.schemaVersion} of ${envelope.type}`);
  }

  private privateParts(row: LedgerRow, envelope: Envelope): void {
    const stored = row.privateText === null ? {} : jsonOf(row.privateText);
    const parts = isRecord(stored) ? stored : undefined;
    if (parts === undefined) {
      this.fault(row, 'private-part', 'the private parts are not a JSON object');
      return;
    }
    for (const part of new Set([...Object.keys(parts), ...Object.keys(envelope.private)])) {
      const reference = envelope.private[part];
      const sealed = parts[part];
      if (reference === undefined) this.fault(row, 'private-part', `the envelope knows no part ${part}`);
      else if (sealed === undefined) this.fault(row, 'private-part', `the part ${part} is not there`);
      else if (!isSealed(sealed) || !belongs(sealed, reference))
        this.fault(row, 'private-part', `the part ${part} is not the one that the envelope names`);
    }
  }

  private recordedAt(row: LedgerRow, { recordedAt }: Envelope, before: Envelope | undefined): void {
    if (!RFC_3339_MS.test(recordedAt))
      this.fault(row, 'envelope-malformed', 'recordedAt is not RFC 3339 UTC with milliseconds');
    else if (before !== undefined && recordedAt < before.recordedAt)
      this.fault(row, 'recorded-at-backwards', `${recordedAt} is before the ${before.recordedAt} of the event before`);
  }

  /** A command's events nearly always stand together; only where they do not is the stream asked. */
  private async eventId(row: LedgerRow, envelope: Envelope, before: Before | undefined): Promise<number> {
    const { commandId, id } = envelope;
    const near = before?.envelope?.commandId === commandId ? before.nth + 1 : 0;
    if (idOf(commandId, row.stream, near) === id) return near;
    const counted = await this.options.countOfCommand(row.stream, row.revision, commandId);
    // Events that are gone were counted when the id was made.
    for (let gone = 0; gone <= Math.min(this.gone, GONE_MAX); gone += 1)
      if (idOf(commandId, row.stream, counted + gone) === id) return counted + gone;
    this.fault(row, 'event-id', 'the id does not follow from the command, the stream and its place');
    return counted;
  }
}

function idOf(commandId: string, stream: string, nth: number): string | undefined {
  try {
    return eventIdOf(commandId, stream, nth);
  } catch {
    // A commandId that is no uuid gives no id.
    return undefined;
  }
}

export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function canonical(value: object): string | undefined {
  try {
    return jcs(value);
  } catch {
    // Lone surrogates have no canonical form.
    return undefined;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isText = (value: unknown): value is string => typeof value === 'string';

export function isEnvelope(value: unknown): value is Envelope {
  if (!isRecord(value) || value['v'] !== 1) return false;
  const texts = ['id', 'stream', 'type', 'commandId', 'correlationId', 'recordedAt'];
  const numbers = ['revision', 'schemaVersion'];
  const records = ['actor', 'data', 'private'];
  return (
    texts.every((field) => isText(value[field])) &&
    numbers.every((field) => typeof value[field] === 'number') &&
    records.every((field) => isRecord(value[field])) &&
    Object.values(value['private'] as object).every((part) => isRecord(part) && isText(part['key']))
  );
}

const isSealed = (value: unknown): value is SealedPart =>
  isRecord(value) && [value['key'], value['iv'], value['ciphertext'], value['tag']].every(isText);

const belongs = (sealed: SealedPart, { key, hash }: PrivateReference): boolean =>
  sealed.key === key && sealedHash(sealed) === hash;

import { randomUUID } from 'node:crypto';
import type { StewardEvent } from '#libs/contracts';
import type { Codec, DataKeys, EventStore, StoredEvent } from '#libs/eventsourcing';
import { type SampleEvent, sampleEvents } from './sample-events.js';

/** The ids of the sample events, each with what makes it another's: no two histories share a stream. */
const IDS: readonly (readonly [RegExp, (n: number) => string])[] = [
  [/\bacme\b/g, (n) => `acme-${n}`],
  [/\bGOV112345\b/g, (n) => `GOV1-${n}`],
  [/\bGOV000001\b/g, (n) => `GOV0-${n}`],
  [/9DC9pg4cMivLPKBD/g, (n) => `k${String(n).padStart(15, '0')}`],
  [/0importedImport0/g, (n) => `i${String(n).padStart(15, '0')}`],
  [/\balice\b/g, (n) => `alice-${n}`],
  [/\bbob\b/g, (n) => `bob-${n}`],
  [/\bbatch-runner\b/g, (n) => `batch-runner-${n}`],
];

const SINGLE_STREAMS: ReadonlySet<string> = new Set(['quotaCatalogue-platform']);

const samplesText = JSON.stringify(sampleEvents);

/** How much of each stream a history holds, so that things of every state stand side by side. */
const PARTS = [1, 0.75, 0.5, 0.25] as const;

/**
 * The n-th history of the sample events, by stream in the order of their first events, with ids of its own. Every type
 * is in one of any four that follow each other.
 */
export function sampleHistory(n: number): ReadonlyMap<string, readonly SampleEvent[]> {
  const text = IDS.reduce((replaced, [id, own]) => replaced.replaceAll(id, own(n)), samplesText);
  const streams = new Map<string, SampleEvent[]>();
  for (const sample of JSON.parse(text) as SampleEvent[]) {
    // What there is but one of on a platform, each history has for itself.
    const stream = SINGLE_STREAMS.has(sample.stream) ? `${sample.stream}-${n}` : sample.stream;
    streams.set(stream, [...(streams.get(stream) ?? []), sample]);
  }
  const part = PARTS[n % PARTS.length] ?? 1;
  return new Map([...streams].map(([stream, events]) => [stream, events.slice(0, Math.ceil(events.length * part))]));
}

export interface HistoryLedger {
  readonly store: EventStore;
  readonly codec: Codec;
  readonly dataKeys: DataKeys;
}

const EPOCH_MS = Date.UTC(2026, 0, 1);

/** Appends a whole history, one command for each run of events by the same actor, and answers what was stored. */
export async function writeHistory(ledger: HistoryLedger, n: number): Promise<StoredEvent[]> {
  const stored: StoredEvent[] = [];
  const recordedAt = new Date(EPOCH_MS + n).toISOString();
  for (const [stream, samples] of sampleHistory(n)) {
    let last: StoredEvent | undefined;
    for (const run of runsByActor(samples)) {
      const [first] = run as [SampleEvent];
      const commandId = randomUUID();
      const { actor, actorPart, scope } = first;
      const events = await ledger.codec.encode({
        ...scope,
        stream,
        lastRevision: last?.revision ?? 0,
        lastChainHash: last?.chainHash ?? null,
        recordedAt,
        context: { commandId, correlationId: commandId, causationId: null, requestHash: null, actor, actorPart },
        events: await Promise.all(run.map(({ event }) => withStandingKeys(event, stream, ledger.dataKeys))),
      });
      const appended = await ledger.store.append({ stream, expectedRevision: last?.revision ?? 0, events });
      last = appended.events.at(-1);
      stored.push(...appended.events);
    }
  }
  return stored;
}

function runsByActor(samples: readonly SampleEvent[]): SampleEvent[][] {
  const runs: SampleEvent[][] = [];
  for (const sample of samples) {
    const run = runs.at(-1);
    if (run?.[0]?.actor.id === sample.actor.id) run.push(sample);
    else runs.push([sample]);
  }
  return runs;
}

/** A deletion names the data keys that really stand. */
async function withStandingKeys(event: StewardEvent, stream: string, dataKeys: DataKeys): Promise<StewardEvent> {
  if (event.type === 'KeyDeleted') {
    const owner = `key:key_${stream.slice('key-'.length)}`;
    return { ...event, data: { dataKeys: [...(await dataKeys.standing(owner))] } };
  }
  if (event.type !== 'SubjectErased') return event;
  const { subjectId } = event.data;
  return { ...event, data: { subjectId, dataKeys: [...(await dataKeys.standing(`user:${subjectId}`))] } };
}

import { eventTypes } from '#libs/contracts';
import type { Codec, EventStore, LedgerRead, Position, PositionFault, Projection } from '#libs/eventsourcing';
import { compareWithFold, type Comparison, FullRead } from '#libs/postgres';
import type pg from 'pg';
import { DataKeyCheck } from './data-key-check.js';
import type { Fault, FaultKind } from './fault.js';
import { jsonOf, isEnvelope, StreamCheck } from './stream-check.js';

export interface CheckOptions {
  /** As the program's role. */
  readonly connection: pg.ClientConfig;
  /** Where the events do not stand in that database. */
  readonly ledgerElsewhere: LedgerRead | undefined;
  readonly pool: pg.Pool;
  readonly store: EventStore;
  readonly codec: Codec;
  readonly projections: readonly Projection[];
  readonly onFault: (fault: Fault) => void;
  readonly onProgress: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface CheckResult {
  readonly events: number;
  readonly streams: number;
  readonly head: Position;
  readonly destroyedDataKeys: number;
  readonly faults: number;
  readonly ledgerMs: number;
  readonly readModels: readonly CheckedReadModel[];
  readonly readModelsMs: number;
}

export interface CheckedReadModel {
  readonly projection: string;
  /** `absent` = no tables of this release's version stand yet, so there is nothing to compare. */
  readonly state: 'equal' | 'different' | 'absent';
  readonly tables: readonly { readonly table: string; readonly rows: number }[];
}

const POSITION_FAULTS: Readonly<Record<PositionFault['kind'], FaultKind>> = {
  gap: 'position-gap',
  'time-backwards': 'stored-at-backwards',
  head: 'head-mismatch',
};

/**
 * Reads the whole ledger and holds it against docs/events.md, then every read model against a fresh fold. It writes
 * nothing that stays, and Steward may run meanwhile. Faults are told as they are found.
 */
export async function checkStore(options: CheckOptions): Promise<CheckResult> {
  let faults = 0;
  const onFault = (fault: Fault): void => {
    faults += 1;
    options.onFault(fault);
  };
  const startedMs = performance.now();
  const ledger = await checkLedger({ ...options, onFault });
  const ledgerMs = performance.now() - startedMs;
  const readModels: CheckedReadModel[] = [];
  for (const projection of options.projections)
    try {
      readModels.push(await checkReadModel(projection, { ...options, onFault }));
    } catch (error) {
      // A log with faults may not be foldable at all; a sound one always is.
      if (faults === 0 || options.signal.aborted) throw error;
      onFault({ kind: 'read-model-differs', detail: `${projection.name}: the log cannot be folded` });
      readModels.push({ projection: projection.name, state: 'different', tables: [] });
    }
  const readModelsMs = performance.now() - startedMs - ledgerMs;
  return {
    ...ledger,
    faults,
    ledgerMs: Math.round(ledgerMs),
    readModels,
    readModelsMs: Math.round(readModelsMs),
  };
}

async function checkLedger(
  options: CheckOptions,
): Promise<Pick<CheckResult, 'events' | 'streams' | 'head' | 'destroyedDataKeys'>> {
  const { store, onFault, onProgress, signal } = options;
  const head = await store.head();
  const nowMs = await store.nowMs();
  const read = await FullRead.open(options.connection, options.ledgerElsewhere);
  try {
    for await (const { kind, ...place } of read.positionFaults()) onFault({ kind: POSITION_FAULTS[kind], ...place });
    const dataKeys = new DataKeyCheck(read, nowMs, onFault);
    const streams = new StreamCheck({
      types: eventTypes,
      nowMs,
      onFault,
      countOfCommand: (stream, before, commandId) => countOfCommand(store, stream, before, commandId),
    });
    for await (const page of read.byStream(head)) {
      signal.throwIfAborted();
      const sound = [];
      for (const row of page) {
        const envelope = await streams.event(row);
        if (envelope !== undefined) sound.push({ row, envelope });
      }
      await dataKeys.page(sound);
      onProgress(`${streams.events} events of ${streams.streams} streams checked`);
    }
    streams.end();
    return {
      head,
      events: streams.events,
      streams: streams.streams,
      destroyedDataKeys: await dataKeys.destroyed(),
    };
  } finally {
    await read.close();
  }
}

const COUNT_PAGE = 1_000;

async function countOfCommand(store: EventStore, stream: string, before: number, commandId: string): Promise<number> {
  let count = 0;
  for (let from = 1; from < before; from += COUNT_PAGE) {
    const events = await store.readStream(stream, { from, to: Math.min(from + COUNT_PAGE, before) - 1 });
    for (const { envelope: text } of events) {
      const envelope = jsonOf(text);
      if (isEnvelope(envelope) && envelope.commandId === commandId) count += 1;
    }
  }
  return count;
}

async function checkReadModel(projection: Projection, options: CheckOptions): Promise<CheckedReadModel> {
  const { pool, store, codec, signal, onFault, onProgress } = options;
  const comparison = await compareWithFold(projection, {
    database: pool,
    store,
    codec,
    signal,
    onProgress: ({ eventsApplied }) => {
      onProgress(`${projection.name}: ${eventsApplied} events folded`);
    },
  });
  if (comparison === undefined) return { projection: projection.name, state: 'absent', tables: [] };
  for (const detail of differencesOf(comparison))
    onFault({ kind: 'read-model-differs', position: comparison.position, detail });
  for (const key of comparison.parkedKeys)
    onFault({ kind: 'parked', detail: `${projection.name}: events are parked under ${key}` });
  return {
    projection: projection.name,
    state: comparison.tables.every(({ equal }) => equal) ? 'equal' : 'different',
    tables: comparison.tables.map(({ table, liveRows }) => ({ table, rows: liveRows })),
  };
}

function differencesOf({ projection, tables }: Comparison): string[] {
  return tables
    .filter(({ equal }) => !equal)
    .map(({ table, liveRows, foldedRows, differing }) => {
      const rows = differing.length === 0 ? '' : `; among them ${differing.join(', ')}`;
      return `${projection}: the table ${table} has ${liveRows} rows and a fold of the log ${foldedRows}, and they differ${rows}`;
    });
}

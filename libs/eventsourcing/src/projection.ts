import type { OpenedPart, RecordedEvent } from './codec.js';

/** An event with the private parts opened that its reader asked for. */
export interface OpenedEvent extends RecordedEvent {
  readonly opened: Readonly<Record<string, OpenedPart>>;
}

/** SQL inside the projection's own transaction: the rows and the checkpoint move together or not at all. */
export interface ProjectionTransaction {
  query(text: string, values?: readonly unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
}

export interface ProjectionTable {
  /** The name that queries use: a view over the live generation's table. */
  readonly name: string;
  /** `create table` and its indexes for a physical table of the given (schema-qualified) name and bare name. */
  readonly ddl: (qualified: string, bare: string) => string;
}

/**
 * A read model fed by following the store. Tables are `<schema>.<table>_v<version>_g<generation>`, so a rebuild stands
 * beside the live ones; `apply` writes to the names it is given and never to a view.
 */
export interface Projection {
  readonly name: string;
  readonly schema: string;
  readonly version: number;
  /** The stream categories it follows. */
  readonly categories: readonly string[];
  /** The private parts it needs opened. */
  readonly parts: readonly string[];
  readonly tables: readonly ProjectionTable[];
  /** A page of events in log order. Must give the same rows for any page size. */
  apply(
    tx: ProjectionTransaction,
    tables: Readonly<Record<string, string>>,
    events: readonly OpenedEvent[],
  ): Promise<void>;
  /** Events of one key stay in order behind a poison event of that key; the stream unless told otherwise. */
  readonly parkBy?: (event: RecordedEvent) => string;
}

/**
 * State in memory fed by following the store, and at once by what this process appended itself. It applies each stream
 * by revision: what it has seen already it skips, a gap it leaves to the follower.
 */
export interface EventIndex {
  readonly categories: readonly string[];
  readonly parts: readonly string[];
  apply(event: OpenedEvent): 'applied' | 'seen' | 'gap';
}

import type { EventStore, LedgerRead } from '#libs/eventsourcing';
import { KurrentEventStore, LedgerScan } from '#libs/kurrentdb';
import { PostgresEventStore, type PostgresEventStoreOptions } from '#libs/postgres';
import type { AppConfig } from '../config/config.js';

export type LedgerStore = EventStore & { close(): Promise<void> };

/** The event store of the configured tier: one of its own where there is one, else the database. */
export function openLedger(
  config: AppConfig,
  database: PostgresEventStoreOptions,
): { readonly store: LedgerStore; readonly ledgerElsewhere: LedgerRead | undefined } {
  if (config.eventStoreUrl === undefined)
    return { store: new PostgresEventStore(database), ledgerElsewhere: undefined };
  const store = new KurrentEventStore({ url: config.eventStoreUrl.reveal() });
  return { store, ledgerElsewhere: new LedgerScan(store) };
}

export { type EventStoreUrl, EventStoreUrlInvalid, parseEventStoreUrl } from './event-store-url.js';
export { KurrentEventStore, type KurrentEventStoreOptions } from './kurrent-event-store.js';
export { EventStoreAccessDenied } from './kurrent-errors.js';
export { LedgerScan } from './ledger-scan.js';
export { ForeignEvent } from './stored-form.js';
export { STORE_TIMERS, type StoreTimers } from './timers.js';

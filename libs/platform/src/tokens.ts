/** Injection tokens of what has no class of its own. Inject with `@Inject(LEDGER) ledger: Ledger`. */

/** `Ledger` of eventsourcing: store, codec, clock, onAppended. */
export const LEDGER = Symbol('LEDGER');
/** `pg.Pool` of the program's role, for read models. */
export const POOL = Symbol('POOL');
/** `Buffer` of 32 bytes from the key-encryption file: derives key IDs and request hashes, never rotated. */
export const INSTALLATION_KEY = Symbol('INSTALLATION_KEY');
/** `DataKeys` of eventsourcing. */
export const DATA_KEYS = Symbol('DATA_KEYS');
/** `Peppers` of the keys service. */
export const PEPPERS = Symbol('PEPPERS');
/** `Clock` of eventsourcing. */
export const CLOCK = Symbol('CLOCK');
/** pino `Logger`. */
export const LOGGER = Symbol('LOGGER');
/** `AppConfig`. */
export const CONFIG = Symbol('CONFIG');

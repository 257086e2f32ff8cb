export * from './given.js';
export * from './sample-events.js';
export * from './steward-process.js';
export * from './project-fixture.js';
export * from './seeded-random.js';
export * from './external-postgres.js';
export * from './scratch-ledger.js';
export * from './tcp-proxy.js';

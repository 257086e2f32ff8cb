export * from './error-codes.js';
export * from './event-types.js';
export * from './key-events.js';
export * from './quota-events.js';
export * from './scopes.js';
export * from './streams.js';
export * from './tenancy-events.js';
export * from './verify-codes.js';

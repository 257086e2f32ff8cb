export * from './clock.js';
export * from './codec.js';
export * from './data-keys.js';
export * from './decider.js';
export * from './envelope.js';
export * from './event-store.js';
export * from './run-command.js';
export * from './projection.js';

export * from './access.js';
export * from './principal.js';
export * from './request-context.js';
export * from './tokens.js';
export * from './read-gate.js';

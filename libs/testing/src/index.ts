export * from './sample-events.js';
export * from './steward-process.js';

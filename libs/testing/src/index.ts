export * from './sample-events.js';

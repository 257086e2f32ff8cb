import type { StorageDuties } from '../storage/storage.js';

/** Of a service with an API of its own, apart: projections are the projector's, peppers the keys service's. */
export const API_DUTIES: StorageDuties = {
  holdsPeppers: false,
  founds: false,
  followsIndexes: true,
  runsProjections: false,
};

export const KEYS_DUTIES = { ...API_DUTIES, holdsPeppers: true } as const;

export const PROJECTOR_DUTIES: StorageDuties = { ...API_DUTIES, followsIndexes: false, runsProjections: true };

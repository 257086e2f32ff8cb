import type { Position } from '#libs/eventsourcing';

/** The kinds of fault that `steward check` tells apart. Scripts read them, so a kind never changes its name. */
export const faultKinds = [
  'position-gap',
  'stored-at-backwards',
  'head-mismatch',
  'revision-gap',
  'envelope-malformed',
  'envelope-not-canonical',
  'column-mismatch',
  'type-unknown',
  'leaf-hash',
  'chain-hash',
  'previous-hash',
  'event-id',
  'recorded-at-backwards',
  'future',
  'private-part',
  'data-key-missing',
  'data-key-destroyed-unasked',
  'destruction-outstanding',
  'read-model-differs',
  'parked',
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  readonly kind: FaultKind;
  readonly detail: string;
  readonly stream?: string;
  readonly revision?: number;
  readonly position?: Position;
}
